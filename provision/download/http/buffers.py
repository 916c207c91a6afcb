"""Memory that the network, the hash and the disk share, so that a byte is copied once on its way through."""

from __future__ import annotations

import mmap
import threading
from collections.abc import Callable


class Buffer:
    """Page-aligned memory, as writing past the page cache needs it; `holders` is how many still use it."""

    def __init__(self, count: int) -> None:
        self.view = memoryview(mmap.mmap(-1, count))
        self.holders = 1


class Buffers:
    """Up to `most` buffers of `each_bytes`, made when they are first needed. For all threads.

    Where all are in use the network waits for the hash and the disk: `waited_s` says how long it has.
    """

    def __init__(self, each_bytes: int, most: int, clock: Callable[[], float]) -> None:
        self.each_bytes = each_bytes
        self.waited_s = 0.0
        self.most, self._made = most, 0
        self._clock = clock
        self._free: list[Buffer] = []
        self._turn = threading.Condition()

    def take(self, over: threading.Event) -> Buffer | None:
        """A buffer of one's own, waited for; None when it is over."""
        with self._turn:
            began = self._clock()
            while not self._free and self._made >= self.most:
                if over.is_set():
                    return None
                self._turn.wait(0.1)
            self.waited_s += self._clock() - began
            if not self._free:
                self._made += 1
                return Buffer(self.each_bytes)
            buffer = self._free.pop()
            buffer.holders = 1
            return buffer

    def share(self, buffer: Buffer, count: int) -> None:
        """So many more use it."""
        with self._turn:
            buffer.holders += count

    def give(self, buffer: Buffer) -> None:
        """One fewer uses it; the last one gives it back."""
        with self._turn:
            buffer.holders -= 1
            if not buffer.holders:
                self._free.append(buffer)
                self._turn.notify()
