"""Logs that grow: rotated at a start, limited in size, and followed.

A log has at most LIMIT_BYTES; the one before it is kept as `.1`.
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

from provision.system.strict import Unreadable, open_file, read_file, read_tail

LIMIT_BYTES = 10_000_000
"""About half a million lines; ComfyUI logs about 100 when it starts."""
KNOWN_BYTES = 4_096
"""How much of the text read last is searched for in the rotated log, to go on from there."""


def before(log: Path) -> Path:
    """The path of the log before this one."""
    return log.with_name(f"{log.name}.1")


def rotate(log: Path) -> None:
    """Rename a log to `.1`, if that is possible."""
    with suppress(OSError):
        log.replace(before(log))


def open_log(log: Path) -> BinaryIO | None:
    """Open a log to append to; None where there is no regular file (a FIFO is not waited for) or the disk is full."""
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


def tail_of(log: Path, size: int) -> str:
    """The last whole lines of a log; empty where there is none."""
    with suppress(OSError, Unreadable):
        return read_tail(log, size)
    return ""


def wait_for_keeper(log: Path, timeout_s: float) -> None:
    """Wait until the `log_keeper` of a server's log has ended."""
    deadline = time.monotonic() + timeout_s
    with suppress(OSError, Unreadable), open_file(log) as stream:
        while time.monotonic() < deadline:
            with suppress(BlockingIOError):
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            time.sleep(0.01)


@dataclass(slots=True)
class OwnLog:
    """The tool's own log, rotated when it is full. After an error nothing more is written."""

    path: Path
    limit: int = LIMIT_BYTES
    stream: BinaryIO | None = None
    guard: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.stream = open_log(self.path)

    def write(self, line: str) -> None:
        """Add a line."""
        if self.stream is None:
            return
        try:
            self.stream.write(f"{line}\n".encode("utf-8", "backslashreplace"))
            if self.stream.tell() > self.limit:
                self._begin_anew()
        except OSError:
            self.close()

    def _begin_anew(self) -> None:
        """Rotate the log, unless another command has done so already."""
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
    """Reads a growing log by whole lines; of a rotated one the rest comes first."""

    path: Path
    place: int = 0
    known: bytes = b""
    """The text read last, up to `place`."""
    begun: bytes = b""
    """The beginning of a line that is not complete yet."""

    def lines(self) -> Iterator[str]:
        """The whole lines since the last call."""
        text = self._more().decode("utf-8", "replace")
        yield from text.replace("\r\n", "\n").replace("\r", "\n").split("\n")[:-1]

    def _more(self) -> bytes:
        rest = b""
        try:
            with open_file(self.path) as stream:
                if not self._goes_on(stream):
                    rest, self.place, self.known = self._rest_of_before(), 0, b""
                stream.seek(self.place)
                new = stream.read()
        except (OSError, Unreadable):
            return rest
        whole, self.begun = new[: new.rfind(b"\n") + 1], new[new.rfind(b"\n") + 1 :]
        self.place += len(whole)
        self.known = (self.known + whole)[-KNOWN_BYTES:]
        return rest + whole

    def _goes_on(self, stream: BinaryIO) -> bool:
        """Whether this is the log that was read, and neither a new one nor truncated."""
        stream.seek(self.place - len(self.known))
        return stream.read(len(self.known)) == self.known

    def _rest_of_before(self) -> bytes:
        """The rest of the rotated log, found by the text read last: its place may have moved."""
        with suppress(OSError, Unreadable):
            text = read_file(before(self.path))
            found = text.rfind(self.known)
            return text[found + len(self.known) :] if found >= 0 else b""
        return b""
