"""What follows behind the writers of a file that still comes: its sha256, read from memory rather than disk, and the
disk itself, so that little is left to be done when the last byte is here.

hashlib lets other threads work while it hashes (https://docs.python.org/3/library/hashlib.html), so that with a
second core the hash costs no time of its own.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path

from provision.backends.patience import Carry

PIECE_BYTES = 1 << 19
IDLE_S = 0.005
SYNC_EVERY_S = 1.5


class Follower:
    """Hashes a file of `size` bytes as far as `prefix()` says that it is here, from `start` to `stop`."""

    def __init__(self, path: Path, size: int, prefix: Callable[[], int]) -> None:
        self.hashed_bytes = 0
        self.digest: Future[str] = Future()
        """The hash, in hex, when all of it is here; or the OSError that ended it."""
        self._path, self._size, self._prefix = path, size, prefix
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sha256", daemon=True)

    def start(self) -> None:
        """Begin to read."""
        self._thread.start()

    def stop(self) -> None:
        """End, finished or not."""
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        with Carry(self.digest):
            digest, view = hashlib.sha256(), memoryview(bytearray(PIECE_BYTES))
            with self._path.open("rb", buffering=0) as stream:
                while self.hashed_bytes < self._size and not self._over.is_set():
                    ready = min(PIECE_BYTES, self._prefix() - self.hashed_bytes)
                    if ready <= 0:
                        self._over.wait(IDLE_S)
                        continue
                    count = stream.readinto(view[:ready])
                    if not count:
                        raise OSError(None, "it became shorter while it was read")
                    digest.update(view[:count])
                    self.hashed_bytes += count
            if self.hashed_bytes == self._size:
                self.digest.set_result(digest.hexdigest())


class Syncer:
    """Lets the disk take what was written from time to time: the last fsync has less to wait for, and what was noted
    as here survives a loss of power better."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sync", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End; an fsync that still runs is left to itself."""
        self._over.set()

    def _run(self) -> None:
        with suppress(OSError), self._path.open("rb") as stream:  # whoever writes meets the error too
            while not self._over.wait(SYNC_EVERY_S):
                os.fsync(stream.fileno())
