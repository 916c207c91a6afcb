"""The one door to the screen: everything on standard output and standard error passes it.

`guard` puts it before both streams, so that a terminal never obeys text from outside, whoever prints it. Our own
escapes (colours, the picture of a run) are written by a `Painter` and a `Screen`.
"""

from __future__ import annotations

import codecs
import os
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from typing import TextIO

from provision.command import Fix, program
from provision.errors import OutputLost
from provision.output.pulse import Pulse, draws, is_terminal, moves
from provision.system.visible import visible

SPELT = "provision.spelt"
"""How a character is written for which a stream's encoding has none."""
ASCII = str.maketrans("✓✗·━╌▀’\xa0", "+x-=-#' ") | str.maketrans({"→": "->", "↳": "->", "…": "..."})


def _spelt(error: UnicodeError) -> tuple[str, int]:
    """Our own signs in ASCII, other characters by their numbers."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end].translate(ASCII)
    return text.encode("ascii", "backslashreplace").decode("ascii"), error.end


codecs.register_error(SPELT, _spelt)


class Door:
    """A stream that shows what others wrote instead of obeying it; it offers no bytes and no other way round.

    Where it takes no more (a file on a full disk), what is written to it is lost: for the output of a command (`data`)
    that is an OutputLost, and for what is only said nothing, as it must never stop a command.
    """

    def __init__(self, stream: TextIO, *, data: bool = True, pulse: Pulse | None = None) -> None:
        self.bare = stream
        """For escapes of our own alone: a `Painter`'s and a `Screen`'s."""
        self.pulse = pulse
        """What moves on the terminal while nobody writes to it."""
        self._data = data
        self._lost: OutputLost | None = None

    def write(self, text: str) -> int:
        """Write text, made visible. Raises BrokenPipeError, OutputLost."""
        self._put(visible(text))
        return len(text)

    def _put(self, text: str) -> None:
        if self._lost is not None:
            raise self._lost
        with self._taken(), self._aside(text):
            self.bare.write(text)

    def writelines(self, lines: list[str]) -> None:
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Hand on what was written. Raises BrokenPipeError, OutputLost."""
        with self._taken(), self._aside():
            self.bare.flush()

    def canvas(self) -> TextIO:
        """The same stream for who writes escapes of our own."""
        return Canvas(self.bare, data=self._data, pulse=self.pulse)  # type: ignore[return-value]

    def _aside(self, text: str = "") -> AbstractContextManager[None]:
        return nullcontext() if self.pulse is None else self.pulse.aside(text)

    @contextmanager
    def _taken(self) -> Iterator[None]:
        try:
            yield
        except BrokenPipeError:
            raise
        except OSError as error:
            with suppress(OSError, ValueError):  # what is still held would fail again at the end
                os.dup2(os.open(os.devnull, os.O_WRONLY), self.fileno())
            if self._data:
                self._lost = OutputLost(
                    f"Standard output cannot be written ({error.strerror}).",
                    hint=Fix("Check the disk that it is written to:", program("df", "-h")),
                )
                raise self._lost from error

    def isatty(self) -> bool:
        return self.bare.isatty()

    def fileno(self) -> int:
        return self.bare.fileno()

    @property
    def closed(self) -> bool:
        return self.bare.closed

    @property
    def encoding(self) -> str:
        return self.bare.encoding or "utf-8"

    @property
    def errors(self) -> str | None:
        return self.bare.errors


class Canvas(Door):
    """The way for escapes of our own, which a painter writes."""

    def write(self, text: str) -> int:
        """Write text as it is. Raises BrokenPipeError, OutputLost."""
        self._put(text)
        return len(text)


def guard() -> None:
    """Put the door before this process's streams, and let no character that their encoding lacks end it."""
    pulse = _pulse()
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is not None and not isinstance(stream, Door):
            with suppress(AttributeError, ValueError):
                stream.reconfigure(errors=SPELT)
            setattr(sys, name, Door(stream, data=name == "stdout", pulse=pulse))
    with suppress(AttributeError, ValueError):
        sys.stdin.reconfigure(errors="replace")  # type: ignore[union-attr]


def _pulse() -> Pulse | None:
    """What moves while nothing is written; where a pager has the terminal, standard output is none."""
    if not (moves(sys.argv, os.environ) and draws(sys.stderr, os.environ) and is_terminal(sys.stdout)):
        return None
    pulse = Pulse(sys.stderr)
    pulse.start()
    return pulse


def rest() -> None:
    """Let nothing move any more: a person types, or the command is over."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, Door) and stream.pulse is not None:
            stream.pulse.rest()


def out() -> Door | None:
    """Standard output, through the door; None where it was closed before we began."""
    return _through(sys.stdout)


def err() -> Door | None:
    """Standard error, likewise."""
    return _through(sys.stderr, data=False)


def _through(stream: object, *, data: bool = True) -> Door | None:
    if stream is None or isinstance(stream, Door):
        return stream
    return Door(stream, data=data)  # type: ignore[arg-type]


def say(door: Door | None, text: str, *, end: str = "\n") -> None:
    """Write a text and hand it on at once; nothing where the stream was closed before we began."""
    if door is not None:
        door.write(text + end)
        door.flush()
