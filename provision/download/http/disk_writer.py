"""Where all connections of a download put their bytes: into the hash, and through one thread into the part.

Threads that write to one file wait for its lock in turns, and burn a processor meanwhile, so that one writes for all.
What goes to the hash straight from memory needs no copy in the page cache, and is written past it (`O_DIRECT`; on
macOS `F_NOCACHE`): 2 GiB then cost the processor 0.2 s in place of 0.8 to 3, the last fsync has nothing left to do,
and 7 GB of weights do not push everything else out of memory. What comes out of order is written through the cache,
from which the hash reads it soon after.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future, wait
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue

from provision.download.hashing import Hasher
from provision.download.http.buffers import Buffer, Buffers
from provision.download.retry import in_background
from provision.system.disk_errors import unusable

ALIGNED_BYTES = 4096
"""Writing past the page cache takes whole blocks only (open(2), O_DIRECT)."""


@dataclass(frozen=True, slots=True)
class _Piece:
    """Bytes in a buffer, on their way to the disk. `hashed`: the hash has them from the same memory."""

    at: int
    data: memoryview
    buffer: Buffer
    hashed: bool
    written: Callable[[], None]


class DiskWriter:
    """Takes what connections bring; `ended` is done when the last of it is written, or holds what went wrong.

    `over` is set then: nobody should wait any longer for a buffer to be given back.
    """

    def __init__(self, part: Path, buffers: Buffers, hasher: Hasher) -> None:
        self.buffers = buffers
        self.ended: Future[None]
        self.over = threading.Event()
        self.cached_bytes = 0
        """How much was written through the page cache."""
        self._part, self._follower = part, hasher
        self._queue: SimpleQueue[_Piece | Callable[[], None] | None] = SimpleQueue()

    def start(self) -> None:
        """Begin to write."""
        self.ended = in_background(self._run, "disk")

    def stop(self, patience_s: float | None = None) -> None:
        """Write what was put so far, then end; with a patience, a disk that hangs is left to itself."""
        self._queue.put(None)
        wait((self.ended,), timeout=patience_s)

    def put(self, at: int, data: memoryview, buffer: Buffer, written: Callable[[], None] = lambda: None) -> None:
        """Bytes of a buffer for a place in the file; `written` is called when they are there.

        The caller's hold on the buffer stays the caller's; the disk and the hash have their own.
        """
        self.buffers.share(buffer, 2)
        hashed = self._follower.offer(at, data, lambda: self.buffers.give(buffer))
        if not hashed:
            self.buffers.give(buffer)
        self._queue.put(_Piece(at, data, buffer, hashed, written))

    def then(self, call: Callable[[], None]) -> None:
        """Call this when all that was put so far is written."""
        self._queue.put(call)

    def _run(self) -> None:
        try:
            with _Disk(self._part) as disk:
                while (item := self._queue.get()) is not None:
                    if not isinstance(item, _Piece):
                        item()
                        continue
                    if not disk.write(item.data, item.at, past_cache=item.hashed):
                        self.cached_bytes += len(item.data)
                    item.written()
                    self.buffers.give(item.buffer)
        except OSError as error:
            raise unusable(self._part, error) from error
        finally:
            self.over.set()


class _Disk:
    """A file that is written in place, through the page cache or past it. Raises OSError."""

    def __init__(self, path: Path) -> None:
        self._cached = os.open(path, os.O_WRONLY)
        self._direct = _open_direct(path)

    def __enter__(self) -> _Disk:
        return self

    def __exit__(self, *error: object) -> None:
        os.close(self._cached)
        if self._direct is not None:
            os.close(self._direct)

    def write(self, data: memoryview, at: int, *, past_cache: bool) -> bool:
        """All of it; whether it went past the page cache."""
        whole = at % ALIGNED_BYTES == 0 and len(data) % ALIGNED_BYTES == 0
        if past_cache and whole and self._direct is not None and self._written_past(self._direct, data, at):
            return True
        while data:
            count = os.pwrite(self._cached, data, at)
            data, at = data[count:], at + count
        return False

    def _written_past(self, handle: int, data: memoryview, at: int) -> bool:
        try:
            return os.pwrite(handle, data, at) == len(data)
        except OSError:  # this volume cannot; what is really wrong is met again by writing as usual
            self._direct = None
            os.close(handle)
            return False


def _open_direct(path: Path) -> int | None:
    """A handle that writes past the page cache, None where there is none to be had."""
    try:
        if sys.platform == "darwin":
            import fcntl

            handle = os.open(path, os.O_WRONLY)
            fcntl.fcntl(handle, fcntl.F_NOCACHE, 1)
            return handle
        return os.open(path, os.O_WRONLY | os.O_DIRECT)
    except OSError:
        return None
