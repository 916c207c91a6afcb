"""A part that a library writes in its order: gathered in buffers, from which the hash and the disk have it.

Written piece by piece through the page cache, and read from there again to be hashed, 2 GiB of it cost the processor
more than the network did.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from provision.download.hashing import Hasher
from provision.download.http.buffers import Buffer, Buffers
from provision.download.http.disk_writer import DiskWriter
from provision.system.disk_use import bytes_here

EACH_BYTES, BUFFERS = 1 << 20, 4
HOLD_S = 1.0
"""How long bytes are gathered before they are written, where they come slowly."""


class HfWriter:
    """Appends to a part, hashed by `hasher`. To be used in one thread; what is written lies there at the end.

    Raises OSError, and DiskFull or HomeError from `write` and at the end.
    """

    def __init__(self, part: Path, hasher: Hasher, clock: Callable[[], float]) -> None:
        part.touch(mode=0o644)
        self._at = bytes_here(part)
        self._sink = DiskWriter(part, Buffers(EACH_BYTES, BUFFERS, clock), hasher)
        self._clock = clock
        self._began = 0.0
        self._buffer: Buffer | None = None
        self._filled = 0

    def __enter__(self) -> Self:
        self._sink.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._flush()
        self._sink.stop()
        self._sink.ended.result()

    def tell(self) -> int:
        """How many bytes the part has, those included that are still on their way."""
        return self._at + self._filled

    def write(self, data: memoryview) -> None:
        """Append."""
        while data:
            room = self._room()
            count = min(len(data), len(room))
            room[:count] = data[:count]
            self._filled += count
            data = data[count:]
            if count == len(room) or self._clock() - self._began > HOLD_S:
                self._flush()

    def _room(self) -> memoryview:
        """What is free of the buffer, up to a border: what is written past the page cache has to begin at one."""
        if self._buffer is None:
            self._buffer = self._sink.buffers.take(self._sink.over)
            self._began = self._clock()
        if self._buffer is None:
            self._sink.ended.result()
            raise AssertionError("a disk ends only with an error while it is written to")
        return self._buffer.view[self._filled : EACH_BYTES - self._at % EACH_BYTES]

    def _flush(self) -> None:
        if self._buffer is not None:
            self._sink.put(self._at, self._buffer.view[: self._filled], self._buffer)
            self._sink.buffers.give(self._buffer)
            self._at += self._filled
        self._buffer, self._filled = None, 0
