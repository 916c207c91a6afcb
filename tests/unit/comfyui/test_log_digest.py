"""The lines of a log that may matter: of any size in bounded memory, with the numbers that an editor shows."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator

import pytest

from provision.comfyui.log_digest import (
    ALIKE_MAX,
    KEPT_MAX_BYTES,
    LAST_MAX,
    LINE_MAX_BYTES,
    TROUBLE,
    WORDS,
    digest,
)
from tests.support.paths import CHECKOUT

DULL = b"2026-11-22 10:00:00 step 7 of 20\n"
ERROR = b"RuntimeError: MPS backend out of memory\n"


def kept(*pieces: bytes) -> list[tuple[int, str]]:
    found = digest(pieces)
    return list(zip(found.numbers, found.lines, strict=True))


def numbered(pattern: bytes, count: int) -> Iterator[bytes]:
    """Lines of many shapes, in pieces of about a hundred lines."""
    names = [
        b"%c%c%c%c" % (97 + n % 26, 97 + n // 26 % 26, 97 + n // 676 % 26, 97 + n // 17576 % 26) for n in range(count)
    ]
    yield from (b"".join(pattern % name for name in names[at : at + 100]) for at in range(0, count, 100))


def test_lines_keep_their_numbers_and_what_is_dull_is_dropped() -> None:
    assert kept(DULL * 3 + ERROR + DULL + b"fatal: end") == [(4, ERROR.decode().strip()), (6, "fatal: end")]


def test_one_search_finds_each_word_wherever_it_stands() -> None:
    texts = [(word, b"zz%szz\n%s" % (word, word)) for word in WORDS]
    assert not [word for word, text in texts if len(TROUBLE.findall(text)) != 2]


def test_one_search_finds_the_lines_that_have_a_word_and_no_others() -> None:
    lines = [
        line for log in sorted((CHECKOUT / "tests/facts/logs").iterdir()) for line in log.read_bytes().splitlines()
    ]
    small = [line.lower() for line in lines]
    assert [bool(TROUBLE.search(line)) for line in small] == [any(word in line for word in WORDS) for line in small]


@pytest.mark.parametrize("size", [1, 7, 64])
def test_pieces_may_end_anywhere(size: int) -> None:
    text = DULL + ERROR.replace(b"\n", b"\r\n") + DULL + "Größe: error\n".encode()
    pieces = [text[at : at + size] for at in range(0, len(text), size)]
    assert kept(*pieces) == [(2, ERROR.decode().strip()), (4, "Größe: error")]


def test_colours_and_marks_are_taken_out() -> None:
    line = b"\xef\xbb\xbf\x1b[31m[ERROR]\x1b[0m failed\x1b[K \x1b]8;;http://x\x07link\x1b]8;;\x07"
    assert kept(line) == [(1, "[ERROR] failed link")]


def test_of_a_line_of_progress_the_part_with_the_error_is_kept() -> None:
    line = b"".join(b"\r %d%%|##  | %d/20" % (at, at) for at in range(20_000)) + b"\rError: cut\n"
    assert kept(line + ERROR) == [(1, "Error: cut"), (2, ERROR.decode().strip())]


def test_of_what_repeats_the_first_and_the_last_are_kept() -> None:
    found = kept(*[b"error %d\n" % at for at in range(5000)])
    assert [number for number, _ in found] == [*range(1, ALIKE_MAX + 1), *range(5001 - LAST_MAX, 5001)]


def test_a_line_without_end_is_looked_through() -> None:
    found = kept(*[b"x" * 1_000_000] * 4, b" fatal: end ", *[b"y" * 1_000_000] * 4)
    assert any("fatal: end" in line for _, line in found)
    assert all(len(line) <= LINE_MAX_BYTES for _, line in found)


@pytest.mark.parametrize(
    "pattern", [b"step %s of a long way, without a word of trouble in it\n", b"%s error " + b"z" * 90 + b"\n"]
)
def test_memory_is_bounded_whatever_the_lines_are(pattern: bytes) -> None:
    tracemalloc.start()
    found = digest([*numbered(pattern, 60_000), ERROR])
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert found.lines[-1] == ERROR.decode().strip()
    assert sum(map(len, found.lines)) <= KEPT_MAX_BYTES + LAST_MAX * LINE_MAX_BYTES
    assert peak < 40_000_000
