"""A stream that lines go to, as wide and as coloured as it is."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from provision.output.layout import Line, painted_text, rows_of
from provision.output.safe_streams import Door

FALLBACK = (80, 24)
"""Columns and rows of a terminal that does not say."""


class Colour(StrEnum):
    """When there are colours; `auto` asks the terminal, and NO_COLOR (no-color.org)."""

    AUTO = "auto"
    ALWAYS = "always"
    NEVER = "never"


@dataclass(frozen=True, slots=True)
class Outlet:
    """Standard output or standard error; None where it was closed before we began."""

    door: Door | None
    colour: Colour = Colour.AUTO

    @property
    def is_terminal(self) -> bool:
        """Whether somebody looks at it."""
        return self.door is not None and not self.door.closed and self.door.isatty()

    @property
    def size(self) -> tuple[int, int]:
        """Columns and rows of the terminal."""
        return terminal_size(self.door, os.environ)

    @property
    def width(self) -> int | None:
        """Columns to wrap at; None where it is no terminal."""
        return self.size[0] if self.is_terminal else None

    @property
    def coloured(self) -> bool:
        """Whether colours are written."""
        if self.colour is not Colour.AUTO:
            return self.colour is Colour.ALWAYS
        return self.is_terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM", "") not in ("", "dumb")

    def write(self, lines: Sequence[Line]) -> int:
        """Write lines, and return how many rows they take. Raises BrokenPipeError, OutputLost."""
        if self.door is None or not lines:
            return 0
        canvas = self.door.canvas()
        canvas.write(painted_text(lines, self.width, colour=self.coloured) + "\n")
        canvas.flush()
        return len(rows_of(lines, self.width))


def terminal_size(door: Door | None, environ: Mapping[str, str]) -> tuple[int, int]:
    """Columns and rows: of the terminal, COLUMNS and LINES before it."""
    try:
        found = os.get_terminal_size(door.fileno()) if door is not None else FALLBACK
    except (OSError, ValueError, AttributeError):
        found = FALLBACK
    named = (environ.get("COLUMNS", ""), environ.get("LINES", ""))
    columns, rows = (
        int(given) if given.isdigit() and int(given) else seen or usual
        for given, seen, usual in zip(named, found, FALLBACK, strict=True)
    )
    return columns, rows
