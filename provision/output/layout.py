"""Text for people, laid out: lines of styled words, wrapped between words for a width, coloured for a terminal. Pure.

Whatever stands in a line is made visible here, before our own escapes are added.

A command, a path or anything else in the style KEPT is never broken: one that is longer than the terminal is wide is
left to the terminal to wrap, so that what is copied from it is whole.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from provision.system.visible import visible

Span = tuple[str, str]
"""A text and its style: a name of CODES, several of them, KEPT, or nothing."""
KEPT = "kept"
CODES = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "cyan": "36", "paper": "30;107"}
WIDEST = 120
"""Longer rows of prose are hard to read."""
NARROWEST = 24
"""Columns that text needs beside what it hangs from; with fewer it hangs at the left."""
GAPS = " \t\n"
AMOUNT = r"\(?[<~]?\d[\d.,]* (?:B|kB|MB|GB|GiB|s|min|h|%)\b"
PIECES = re.compile(rf"`[^`\n]+`|{AMOUNT}|[{GAPS}]+|[^{GAPS}`]+|`")
"""Words, spaces, commands in backticks, and amounts with their units; a no-break space is none."""


@dataclass(frozen=True, slots=True)
class Line:
    """A paragraph; rows after its first are indented by `hang` columns."""

    spans: tuple[Span, ...]
    hang: int = 0


def line(*spans: Span | str, hang: int = 0) -> Line:
    """A paragraph of spans, and of texts without a style."""
    return Line(tuple((span, "") if isinstance(span, str) else span for span in spans), hang)


def prose(text: str, style: str = "") -> list[Line]:
    """A text as paragraphs, one a line of it; each hangs where its words begin."""
    return [line((each, style), hang=len(each) - len(each.lstrip())) for each in text.split("\n")]


def columns_of(text: str) -> int:
    """How many columns a terminal takes for a text."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def rows_of(lines: Sequence[Line], width: int | None) -> list[list[Span]]:
    """The lines as rows of a terminal that is so wide; None: it does not wrap."""
    return [row for each in lines for row in _wrapped(each, width)]


def plain_text(lines: Sequence[Line], width: int | None = None) -> str:
    """The lines without colours."""
    return "\n".join("".join(text for text, _ in row) for row in rows_of(lines, width))


def painted_text(lines: Sequence[Line], width: int | None = None, *, colour: bool = True) -> str:
    """The lines for a terminal, with its escapes for colours."""
    if not colour:
        return plain_text(lines, width)
    return "\n".join("".join(map(_painted, _by_codes(row))) for row in rows_of(lines, width))


def _by_codes(row: Sequence[Span]) -> Iterator[Span]:
    """The texts of a row, those of the same looks in one, with the codes for them."""
    coded = [(text, ";".join(CODES[name] for name in style.split() if name in CODES)) for text, style in row]
    for codes, spans in groupby(coded, key=lambda span: span[1]):
        yield "".join(text for text, _ in spans), codes


def _painted(span: Span) -> str:
    text, codes = span
    return f"\x1b[{codes}m{text}\x1b[0m" if codes and text else text


def _wrapped(paragraph: Line, width: int | None) -> Iterator[list[Span]]:
    """The rows of a paragraph, of which the first has a word at least."""
    limit = None if width is None else min(width, WIDEST)
    hang = paragraph.hang if limit is None or limit - paragraph.hang >= NARROWEST else min(paragraph.hang, 4)
    row: list[Span] = []
    gap: list[Span] = []
    used = 0
    begun = False
    for word in _words(paragraph.spans):
        if _is_gap(word):
            gap += word
            continue
        wide, apart = _columns(word), _columns(gap)
        if begun and limit is not None and used + apart + wide > limit and used + apart > hang:
            yield row
            row, used, apart, gap = [(" " * hang, "")], hang, 0, []
        row += [*gap, *word]
        used, gap, begun = used + apart + wide, [], True
    yield row


def _is_gap(word: Sequence[Span]) -> bool:
    return not "".join(text for text, _ in word).strip(GAPS)


def _columns(word: Sequence[Span]) -> int:
    return sum(columns_of(text) for text, _ in word)


def _words(spans: Sequence[Span]) -> Iterator[list[Span]]:
    """Words and the spaces between them; a word may have several styles."""
    word: list[Span] = []
    for text, style in spans:
        kept = KEPT in style.split()
        for piece in [visible(text, one_line=True)] if kept else PIECES.findall(visible(text)):
            if piece.strip(GAPS):
                word.append((piece, style))
                continue
            if word:
                yield word
                word = []
            yield [(piece.replace("\n", " "), style)]
    if word:
        yield word
