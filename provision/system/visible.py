"""Escape characters that a terminal would obey, or that a reader would not see (`\\x1b`, `\\u202e`).

Escaped are control characters (C0 but newline and tab, DEL, C1), line and paragraph separators, lone surrogates, and
all that Unicode calls ignorable by default: bidi overrides and isolates, zero-width characters, tags, fillers. Kept are
joiners between characters that join (Persian, Indic scripts, emoji), and the sixteen variation selectors that pick an
emoji's look. Sources: Unicode's `Default_Ignorable_Code_Point` (DerivedCoreProperties.txt) and UTR 36, "Unicode
Security Considerations".
"""

from __future__ import annotations

import re
import shlex

CONTROLS = r"\x00-\x08\x0b-\x1f\x7f-\x9f"
IGNORABLE = (
    "\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\u3164"
    "\ufeff\uffa0\ufff0-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
"""All but the joiners (U+200C, U+200D) and the variation selectors (U+FE00 to U+FE0F); with interlinear annotation."""
SEPARATORS = "\u2028\u2029"
JOINING = "\u0600-\u08ff\u0900-\u0dff\u1000-\u109f\u1780-\u17ff\u1800-\u18af\u2190-\u2bff\ufe0f\U0001f000-\U0001faff"
"""Arabic and related scripts, the scripts of India and its neighbours, Mongolian, and emoji."""
HIDDEN = re.compile(
    f"[{CONTROLS}{IGNORABLE}{SEPARATORS}\ud800-\udfff]|(?<![{JOINING}])[\u200c\u200d]|[\u200c\u200d](?![{JOINING}])"
)
COLOURS = re.compile(r"\x1b\[[0-9;:]*m")


def visible(text: str, *, one_line: bool = False) -> str:
    """Escape the text; with `one_line` newlines and tabs too."""
    text = HIDDEN.sub(_written, text.replace("\r\n", "\n"))
    return text.replace("\n", "\\n").replace("\t", "\\t") if one_line else text


def uncoloured(text: str) -> str:
    """A program's output without its colours."""
    return COLOURS.sub("", text)


def shell_word(word: str) -> str:
    """Quote a word for any POSIX shell; invisible characters become `printf` escapes, and keep their bytes."""
    parts, place = [], 0
    for found in HIDDEN.finditer(word):
        if found.start() > place:
            parts.append(shlex.quote(word[place : found.start()]))
        octets = "".join(f"\\{octet:03o}" for octet in _octets(found[0]))
        parts.append(f"\"$(printf '{octets}')\"")
        place = found.end()
    if place < len(word) or not parts:
        parts.append(shlex.quote(word[place:]))
    return "".join(parts)


def shell_words(words: list[str] | tuple[str, ...]) -> str:
    """A command line for any POSIX shell, quoted as `shell_word` does."""
    return " ".join(map(shell_word, words))


def _octets(character: str) -> bytes:
    """The bytes of a character in a file's name; a question mark for a surrogate that stands for none."""
    try:
        return character.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return b"?"


def _written(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
