"""The last lines of a terminal, drawn again and again below lines that stay.

A terminal that becomes narrower wraps what was drawn, so what is erased is counted in rows of its width now; a frame
written during the change is counted by the old width, and may leave rows behind. What is typed meanwhile is not
echoed; it waits for the shell, which shows it and runs it, as after every other program.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import IO, Any, TextIO

HIDE, SHOW, CLEAR_BELOW, CLEAR_LINE = "\x1b[?25l", "\x1b[?25h", "\x1b[J", "\x1b[K"
BEGIN_FRAME, END_FRAME = "\x1b[?2026h", "\x1b[?2026l"
"""Synchronised output: terminals that know it show a frame at once, others ignore it."""
FRAMES_PER_S = 8
FALLBACK = (80, 24)


@dataclass(frozen=True, slots=True)
class Drawn:
    """A line as it is written, with its colours, and how many columns it takes."""

    text: str
    cells: int


Picture = Callable[[int, int], Sequence[Drawn]]
"""Lines for a width and a height, each of them shorter than the width."""


class Screen:
    """Draws a picture below all that is printed through `above`, from `start` to `stop`, under `guard`."""

    def __init__(self, stream: IO[str], picture: Picture, guard: threading.RLock) -> None:
        self._stream, self._picture, self._guard = stream, picture, guard
        self._drawn: list[int] = []
        self._drawn_at = 0
        self._over = threading.Event()
        self._ticker: threading.Thread | None = None
        self._quiet = QuietInput()

    @property
    def running(self) -> bool:
        return self._ticker is not None

    def start(self) -> None:
        """Start drawing; nothing when it is drawn already."""
        with self._guard:
            if self._ticker is not None:
                return
            self._quiet.begin()
            self._over = threading.Event()
            self._write(HIDE)
            self._draw()
            self._ticker = threading.Thread(target=self._tick, args=(self._over,), name="screen", daemon=True)
            self._ticker.start()

    def stop(self) -> None:
        """Erase the picture; what was printed stays."""
        with self._guard:
            if self._ticker is None:
                return
            self._over.set()
            self._ticker = None
            self._write(self._erased() + SHOW)
            self._quiet.end()

    def above(self, show: Callable[[], None]) -> None:
        """Print something that stays, by a function that prints it."""
        with self._guard:
            if self._ticker is None:
                show()
                return
            self._write(BEGIN_FRAME + self._erased())
            show()
            self._draw()
            self._write(END_FRAME)

    def _tick(self, over: threading.Event) -> None:
        while not over.wait(1 / FRAMES_PER_S):
            with self._guard:
                if over.is_set():
                    return
                self._draw()

    # -- drawing; called under the guard ----------------------------------------------------------------------

    def _size(self) -> tuple[int, int]:
        try:
            width, height = os.get_terminal_size(self._stream.fileno())
        except (OSError, ValueError, AttributeError):
            width, height = FALLBACK
        return width or FALLBACK[0], height or FALLBACK[1]

    def _draw(self) -> None:
        width, height = self._size()
        lines = self._picture(width, height)
        before = self._erased() if width != self._drawn_at else self._home()
        text = "".join(f"{line.text}{CLEAR_LINE}\n" for line in lines)
        self._write(f"{BEGIN_FRAME}{before}{text}{CLEAR_BELOW}{END_FRAME}")
        self._drawn, self._drawn_at = [line.cells for line in lines], width

    def _home(self) -> str:
        """To the first row of what is drawn: a line that is wider than the terminal is today takes several rows."""
        width, _ = self._size()
        rows = sum(max(1, -(-cells // width)) for cells in self._drawn)
        return f"\x1b[{rows}A\r" if rows else "\r"

    def _erased(self) -> str:
        text = self._home() + CLEAR_BELOW
        self._drawn = []
        return text

    def _write(self, text: str) -> None:
        with suppress(OSError, ValueError):  # a terminal that is gone ends the picture, not the work
            self._stream.write(text)
            self._stream.flush()


class QuietInput:
    """The terminal's echo, switched off for a while; Ctrl-C and its kind work as ever."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stdin
        self._before: list[Any] | None = None

    def begin(self) -> None:
        """Switch the echo off, if standard input is a terminal and we are in the foreground."""
        import termios

        with suppress(OSError, ValueError, AttributeError, termios.error):
            descriptor = self._stream.fileno()
            if not os.isatty(descriptor) or os.tcgetpgrp(descriptor) != os.getpgrp():
                return
            before = termios.tcgetattr(descriptor)
            quiet = [*before]
            quiet[3] &= ~(termios.ECHO | termios.ECHONL)
            termios.tcsetattr(descriptor, termios.TCSADRAIN, quiet)
            self._before = before

    def end(self) -> None:
        """Restore the echo; what was typed meanwhile is kept for the shell."""
        import termios

        if self._before is None:
            return
        with suppress(OSError, ValueError, AttributeError, termios.error):
            termios.tcsetattr(self._stream.fileno(), termios.TCSADRAIN, self._before)
        self._before = None


def drop_typed(stream: TextIO) -> None:
    """Drop what was typed so far: it is no answer to a question that was not asked yet."""
    import termios

    with suppress(OSError, ValueError, AttributeError, termios.error):
        termios.tcflush(stream.fileno(), termios.TCIFLUSH)
