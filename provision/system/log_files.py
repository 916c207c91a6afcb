"""Logs that grow: begun anew at a start, kept within bounds, and followed while they are.

A log has at most LIMIT_BYTES, and what was before it is kept once, as `.1`.
"""

from __future__ import annotations

import fcntl
import os
import stat
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from provision.system.strict import Unreadable, read_file

LIMIT_BYTES = 10_000_000
"""Half a million lines, more or less; a start of ComfyUI with its nodes says 100."""
KNOWN_BYTES = 4_096
"""By so much of what was read last the place is found again in the log before."""


def before(log: Path) -> Path:
    """Where the log before this one lies."""
    return log.with_name(f"{log.name}.1")


def rotate(log: Path) -> None:
    """Begin a new log, where there is one that can be moved; it is kept as `.1`."""
    with suppress(OSError):
        log.replace(before(log))


def open_log(log: Path) -> BinaryIO | None:
    """A log to append to; None where it cannot be: what lies there is no file, or the disk is full.

    A FIFO that nobody reads is not waited for.
    """
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(
            log, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY, 0o644
        )
    except OSError:
        return None
    if stat.S_ISREG(os.fstat(handle).st_mode):
        return os.fdopen(handle, "ab", buffering=0)
    os.close(handle)
    return None


def open_to_read(log: Path) -> BinaryIO:
    """A log to read from. Raises OSError, also for what is no file: a FIFO is not waited for."""
    handle = os.open(log, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    if stat.S_ISREG(os.fstat(handle).st_mode):
        return os.fdopen(handle, "rb")
    os.close(handle)
    raise OSError(f"{log} is not a regular file")


def tail_of(log: Path, size: int) -> str:
    """The end of a log; empty where there is none."""
    with suppress(OSError), open_to_read(log) as stream:
        stream.seek(max(0, os.fstat(stream.fileno()).st_size - size))
        return stream.read(size).decode("utf-8", "replace")
    return ""


def wait_for_keeper(log: Path, timeout_s: float) -> None:
    """Wait until a server's log is looked after by nobody any more (see `log_keeper`)."""
    deadline = time.monotonic() + timeout_s
    with suppress(OSError), open_to_read(log) as stream:
        while time.monotonic() < deadline:
            with suppress(BlockingIOError):
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            time.sleep(0.01)


@dataclass(slots=True)
class OwnLog:
    """The tool's own log: lines of text, begun anew when it is full. What cannot be written is not kept."""

    path: Path
    limit: int = LIMIT_BYTES
    stream: BinaryIO | None = None
    guard: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.stream = open_log(self.path)

    def write(self, line: str) -> None:
        """Add a line; where that fails nothing more is written."""
        if self.stream is None:
            return
        try:
            self.stream.write(f"{line}\n".encode("utf-8", "backslashreplace"))
            if self.stream.tell() > self.limit:
                self._begin_anew()
        except OSError:
            self.close()

    def _begin_anew(self) -> None:
        """Another command may have done so already: what is moved is what this one writes to, or nothing."""
        with suppress(OSError):
            if self.stream is not None and os.path.samestat(os.fstat(self.stream.fileno()), self.path.stat()):
                rotate(self.path)
        self.close()
        self.stream = open_log(self.path)

    def close(self) -> None:
        """Write no more."""
        stream, self.stream = self.stream, None
        if stream is not None:
            with suppress(OSError):
                stream.close()


@dataclass(slots=True)
class Follower:
    """A log that grows, read by whole lines; one that was begun anew is read to its end first."""

    path: Path
    place: int = 0
    known: bytes = b""
    """What was read last, up to the place."""
    begun: bytes = b""
    """A line that is not whole yet."""

    def lines(self) -> Iterator[str]:
        """The whole lines that came since."""
        text = self._more().decode("utf-8", "replace")
        yield from text.replace("\r\n", "\n").replace("\r", "\n").split("\n")[:-1]

    def _more(self) -> bytes:
        rest = b""
        try:
            with open_to_read(self.path) as stream:
                if not self._goes_on(stream):
                    rest, self.place, self.known = self._rest_of_before(), 0, b""
                stream.seek(self.place)
                new = stream.read()
        except OSError:
            return rest
        whole, self.begun = new[: new.rfind(b"\n") + 1], new[new.rfind(b"\n") + 1 :]
        self.place += len(whole)
        self.known = (self.known + whole)[-KNOWN_BYTES:]
        return rest + whole

    def _goes_on(self, stream: BinaryIO) -> bool:
        """Whether this is still the log that was read, and not a new one of that name, or what was cut off."""
        stream.seek(self.place - len(self.known))
        return stream.read(len(self.known)) == self.known

    def _rest_of_before(self) -> bytes:
        """What the log before got after it was read last; the place is found by what was read: it may have moved."""
        with suppress(OSError, Unreadable):
            text = read_file(before(self.path))
            found = text.rfind(self.known)
            return text[found + len(self.known) :] if found >= 0 else b""
        return b""
