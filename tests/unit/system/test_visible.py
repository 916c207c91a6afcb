"""What is written out of others' text, what stays, and words that a shell reads back exactly."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from provision.system.visible import HIDDEN, shell_word, shell_words, uncoloured, visible

SHOWN = {
    "\x00": r"\x00",
    "\x07": r"\x07",
    "\x08": r"\x08",
    "\x0b": r"\x0b",
    "\r": r"\x0d",
    "\x1b": r"\x1b",
    "\x7f": r"\x7f",
    "\x85": r"\x85",
    "\x9b": r"\x9b",
    "\x9d": r"\x9d",
    "\xad": r"\xad",
    "\u061c": r"\u061c",
    "\u200b": r"\u200b",
    "\u200e": r"\u200e",
    "\u200f": r"\u200f",
    "\u2028": r"\u2028",
    "\u2029": r"\u2029",
    "\u202a": r"\u202a",
    "\u202e": r"\u202e",
    "\u2060": r"\u2060",
    "\u2066": r"\u2066",
    "\u2069": r"\u2069",
    "\u3164": r"\u3164",
    "\ufeff": r"\ufeff",
    "\ufff9": r"\ufff9",
    "\ufffb": r"\ufffb",
    "\udcff": r"\udcff",
    "\U000e0041": r"\U000e0041",
    "\U000e01ef": r"\U000e01ef",
    "\U0001d173": r"\U0001d173",
}


@pytest.mark.parametrize("character", SHOWN, ids=lambda character: f"{ord(character):x}")
def test_what_acts_or_hides_is_written_out(character: str) -> None:
    assert visible(f"a{character}b") == f"a{SHOWN[character]}b"
    assert visible(character) == SHOWN[character]


@pytest.mark.parametrize(
    "text",
    [
        "two\nlines\tand a tab",
        "é ü 김나 日本語",
        "👩‍💻 🏳️‍🌈 ❤️‍🔥",
        "می‌خواهم",
        "क्‍ष",
        "Screenshot at 9.41.00\u202fAM.png",
        "a\xa0b",
        "עברית",
        "✓ · → ━ ⠋ ▀",
        r"C:\x1b",
    ],
)
def test_what_people_write_stays(text: str) -> None:
    assert visible(text) == text


def test_a_joiner_where_nothing_joins_is_written_out() -> None:
    assert visible("pay\u200dpal \u200cx") == r"pay\u200dpal \u200cx"
    assert visible("\u200d👩") == r"\u200d👩"


def test_a_line_ends_alike_on_all_systems() -> None:
    assert visible("a\r\nb\rc") == "a\nb\\x0dc"
    assert visible("a\nb\tc", one_line=True) == r"a\nb\tc"


def test_every_control_and_format_character_of_unicode_is_written_out_or_seen_by_all() -> None:
    """But for the joiners, and the signs of Arabic and its kin that stand before numbers and are drawn."""
    drawn = {*range(0x600, 0x606), 0x6DD, 0x70F, 0x890, 0x891, 0x8E2, 0x110BD, 0x110CD, *range(0x13430, 0x13456)}
    for code in range(sys.maxunicode + 1):
        character = chr(code)
        if unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp") and character not in "\n\t":
            assert code in drawn or visible(character) != character, hex(code)


@given(st.text(alphabet=st.characters()))
def test_what_was_made_visible_is_not_made_so_again(text: str) -> None:
    once = visible(text)
    assert visible(once) == once
    once.encode("utf-8")


def test_colours_of_a_program_are_dropped_and_nothing_else() -> None:
    assert uncoloured("\x1b[1;32mok\x1b[0m \x1b[38:5:1mx \x1b[2J") == "ok x \x1b[2J"


SHELLS = [found for found in map(shutil.which, ("sh", "bash", "zsh", "dash")) if found]
WORD = st.text(alphabet=st.characters(blacklist_categories=["Cs"], blacklist_characters="\x00"), max_size=12)


@pytest.mark.parametrize("shell", SHELLS)
@settings(deadline=None, max_examples=20)
@given(
    words=st.lists(
        min_size=1,
        elements=WORD | st.sampled_from(["a\nb", "'", '"$(id)`', "\x1b]0;x\x07", "\u202egnp", "a\\b%s\x9b1"]),
    )
)
def test_a_shell_reads_words_back_exactly(shell: str, words: list[str]) -> None:
    line = shell_words(words)
    assert not HIDDEN.search(line)
    asked = f"{sys.executable} -c 'import os, sys; print(*map(os.fsencode, sys.argv[1:]), sep=chr(10))' {line}"
    ran = subprocess.run([shell, "-c", asked], capture_output=True, text=True, check=True)
    assert ran.stdout.splitlines() == [repr(os.fsencode(word)) for word in words]


def test_a_name_that_is_no_text_keeps_its_bytes(tmp_path: Path) -> None:
    name = os.fsdecode(os.fsencode(tmp_path) + b"/\xff\xfe")
    subprocess.run(["sh", "-c", f"touch {shell_word(name)}"], check=True)
    assert Path(name).exists()
