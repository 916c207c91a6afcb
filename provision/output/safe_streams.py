"""The one door to the screen: everything on standard output and standard error passes it.

`guard` puts it before both streams, so that a terminal never obeys text from outside, whoever prints it. Our own
escapes (colours, the picture of a run) are written by a `Painter` and a `Screen`.
"""

from __future__ import annotations

import codecs
import sys
from contextlib import suppress
from typing import TextIO

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
    """A stream that shows what others wrote instead of obeying it; it offers no bytes and no other way round."""

    def __init__(self, stream: TextIO) -> None:
        self.bare = stream
        """For escapes of our own alone: a `Painter`'s and a `Screen`'s."""

    def write(self, text: str) -> int:
        self.bare.write(visible(text))
        return len(text)

    def writelines(self, lines: list[str]) -> None:
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        self.bare.flush()

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


def guard() -> None:
    """Put the door before this process's streams, and let no character that their encoding lacks end it."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is not None and not isinstance(stream, Door):
            with suppress(AttributeError, ValueError):
                stream.reconfigure(errors=SPELT)
            setattr(sys, name, Door(stream))
    with suppress(AttributeError, ValueError):
        sys.stdin.reconfigure(errors="replace")  # type: ignore[union-attr]


def out() -> Door | None:
    """Standard output, through the door; None where it was closed before we began."""
    return _through(sys.stdout)


def err() -> Door | None:
    """Standard error, likewise."""
    return _through(sys.stderr)


def _through(stream: object) -> Door | None:
    if stream is None or isinstance(stream, Door):
        return stream
    return Door(stream)  # type: ignore[arg-type]


def say(door: Door | None, text: str, *, end: str = "\n") -> None:
    """Write a text and hand it on at once; nothing where the stream was closed before we began."""
    if door is not None:
        door.write(text + end)
        door.flush()
