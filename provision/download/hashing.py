"""What follows behind the writers of a file that still comes: its sha256, read from memory rather than disk, and the
disk itself, so that little is left to be done when the last byte is here.

hashlib lets other threads work while it hashes (https://docs.python.org/3/library/hashlib.html), so that with a
second core the hash costs no time of its own.
"""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, wait
from contextlib import suppress
from io import FileIO
from pathlib import Path
from typing import TYPE_CHECKING

from provision.core.events import Work
from provision.core.step import Context
from provision.download.backend import HubFile
from provision.download.retry import Retry, fetch_with_retries, in_background
from provision.system.disk_use import bytes_here

if TYPE_CHECKING:
    from hashlib import _Hash as Hash

PIECE_BYTES = 1 << 19
IDLE_S = 0.005
SYNC_EVERY_S, SYNC_SOON_S, MUCH_BYTES = 1.5, 0.3, 32 << 20
"""How often the disk is let take what was written, and how often where more than so many bytes are in the page cache:
2 GiB over eight connections, out of order, then end up to 0.4 s sooner."""
SAID_EVERY_S = 0.1
STUCK_S = 2.0
"""A hash that follows the wrong file, as a program may begin another, comes no further: after so long it is left."""


class Hasher:
    """Hashes a file of `size` bytes while it grows, from `start` to `stop`.

    `path` is asked until it names a file that is there. `prefix` says how much of it is here; without one, it is all
    that the file holds. Whoever has the next bytes in memory can `offer` them: they need not be read again.
    """

    def __init__(self, path: Callable[[], Path], size: int, prefix: Callable[[], int] | None = None) -> None:
        self.hashed_bytes = 0
        self.busy_s = 0.0
        """How long the hash itself took."""
        self.digest: Future[str | None]
        """The hash, in hex, when all of it is here, None when it was stopped before; or the OSError that ended it."""
        self._path, self._size, self._prefix = path, size, prefix
        self._promised_bytes = 0
        """How far the hash will be with what it reads now and what it was offered."""
        self._offered: deque[tuple[memoryview, Callable[[], None]]] = deque()
        self._turn = threading.Condition()
        self._over = threading.Event()

    def start(self) -> None:
        """Begin to read."""
        self.digest = in_background(self._run, "sha256")

    def stop(self) -> None:
        """End, finished or not."""
        self._over.set()
        with self._turn:
            self._turn.notify()
        wait((self.digest,))
        while self._offered:  # nobody waits for what is hashed no longer
            self._offered.popleft()[1]()

    def offer(self, at: int, data: memoryview, done: Callable[[], None]) -> bool:
        """Hash bytes from memory, if they are the next ones; `done` is called when they are no longer needed."""
        with self._turn:
            if at != self._promised_bytes or not data or self._over.is_set():
                return False
            self._promised_bytes += len(data)
            self._offered.append((data, done))
            self._turn.notify()
            return True

    def wait(self, ctx: Context, name: str, *, patience_s: float = float("inf")) -> str | None:
        """The hash of a file that is here by now; the rest of the reading is told as `verifying`.

        None when it came no further for `patience_s`. Raises OSError or Interrupted.
        """
        before, since = -1, ctx.machine.clock()
        while not wait((self.digest,), timeout=SAID_EVERY_S).done:
            ctx.machine.check_interrupted()
            ctx.progress(name, self.hashed_bytes, self._size, kind=Work.VERIFY)
            if self.hashed_bytes != before:
                before, since = self.hashed_bytes, ctx.machine.clock()
            elif ctx.machine.clock() - since > patience_s:
                return None
        return self.digest.result()

    def _run(self) -> str | None:
        digest, view = hashlib.sha256(), memoryview(bytearray(PIECE_BYTES))
        with self._opened() as stream:
            while self.hashed_bytes < self._size and not self._over.is_set():
                ready = self._next(stream)
                if isinstance(ready, tuple):
                    data, done = ready
                    self._hash(digest, data)
                    done()
                elif ready:
                    _read_whole(stream, view[:ready], self.hashed_bytes)
                    self._hash(digest, view[:ready])
        return digest.hexdigest() if self.hashed_bytes == self._size else None

    def _hash(self, digest: Hash, data: memoryview) -> None:
        began = time.monotonic()
        digest.update(data)
        self.busy_s += time.monotonic() - began
        self.hashed_bytes += len(data)

    def _next(self, stream: FileIO) -> tuple[memoryview, Callable[[], None]] | int:
        """What was offered, or how many bytes to read; 0 when nothing has come for a moment."""
        with self._turn:
            if self._offered:
                return self._offered.popleft()
            here = self._prefix() if self._prefix else os.fstat(stream.fileno()).st_size
            ready = min(PIECE_BYTES, here - self.hashed_bytes)
            if ready < min(PIECE_BYTES, self._size - self.hashed_bytes):  # many small reads would cost more
                self._turn.wait(IDLE_S)
                return 0
            self._promised_bytes += ready
            return ready

    def _opened(self) -> FileIO:
        """The file, as soon as there is one; it is followed even when it gets another name."""
        while True:
            try:
                return self._path().open("rb", buffering=0)
            except FileNotFoundError:
                if self._over.wait(10 * IDLE_S):
                    raise


def _read_whole(stream: FileIO, view: memoryview, at: int) -> None:
    """Fill a buffer from a place in a file. Raises OSError."""
    while view:
        count = os.preadv(stream.fileno(), [view], at)
        if not count:
            raise OSError(None, "it shrank while it was read")
        view, at = view[count:], at + count


def fetch_and_hash(
    ctx: Context,
    file: HubFile,
    part: Path,
    attempt: Callable[[Hasher], Retry | None],
    *,
    written: Callable[[], Path] | None = None,
) -> str | None:
    """Bring a part as `fetch_with_retries` does, and hash it while a program or library writes it. `attempt` is given
    the hasher, to offer it what it has in memory.

    `written` names the file that grows, where that is not the part. Returns the sha256 when it is the one wanted,
    else None: a part that was begun anew behind the hash has to be read again. The disk is left alone meanwhile: an
    fsync now and then held the programs up by more than it saved in the end. Raises as `fetch_with_retries`.
    """
    hasher = Hasher(written or (lambda: part), file.size)
    hasher.start()
    try:
        fetch_with_retries(ctx, file, part, lambda: attempt(hasher))
        with suppress(OSError):
            if bytes_here(part) == file.size and hasher.wait(ctx, file.name, patience_s=STUCK_S) == file.sha256:
                return file.sha256
        return None
    finally:
        hasher.stop()


class Syncer:
    """Lets the disk take what was written from time to time: the last fsync has less to wait for, and what was noted
    as here survives a loss of power better. `cached_bytes` says how much was written through the page cache so far."""

    def __init__(self, path: Path, cached_bytes: Callable[[], int]) -> None:
        self._path, self._cached_bytes = path, cached_bytes
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sync", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End; an fsync that still runs is left to itself."""
        self._over.set()

    def _run(self) -> None:
        synced_bytes, synced_at = 0, time.monotonic()
        with suppress(OSError), self._path.open("rb") as stream:  # whoever writes meets the error too
            while not self._over.wait(SYNC_SOON_S):
                cached_bytes = self._cached_bytes()
                if cached_bytes - synced_bytes > MUCH_BYTES or time.monotonic() - synced_at > SYNC_EVERY_S:
                    os.fsync(stream.fileno())
                    synced_bytes, synced_at = cached_bytes, time.monotonic()
