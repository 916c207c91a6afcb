"""The space that files take on the disk; a file with several names counts once."""

from __future__ import annotations

import fcntl
import os
import stat
import struct
import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

BLOCK_BYTES = 512
"""The unit of `st_blocks` (POSIX)."""
F_LOG2PHYS_EXT = 65
"""macOS's sys/fcntl.h: where on the disk a place of a file is, in and out as `struct log2phys` (packed)."""
LOG2PHYS = struct.Struct("=Iqq")
FIEMAP = 0xC020660B
"""Linux's ioctl_fiemap(2): a head, and here one extent."""
FIEMAP_HEAD, FIEMAP_EXTENT = struct.Struct("=QQIIII"), struct.Struct("=QQQQQIIII")
NO_PLACE = 0x2 | 0x4 | 0x200
"""Flags of an extent that has no place of its own on the disk yet: unknown, still in memory, inside of the inode."""


@dataclass(slots=True)
class Tally:
    """Adds up files and folders on the disk, each file once whatever its names."""

    _seen: dict[tuple[int, int], tuple[int, int, int]] = field(default_factory=dict)
    """By device and inode: bytes, names there are, names seen here."""

    def add(self, path: Path) -> int:
        """Bytes of a file or a whole folder that were not counted yet; links are not followed."""
        total = 0
        for entry in _entries(path):
            with suppress(OSError):
                about = entry.lstat()
                key = about.st_dev, about.st_ino
                seen = self._seen.get(key)
                size = about.st_blocks * BLOCK_BYTES
                total += 0 if seen else size
                names = 1 if stat.S_ISDIR(about.st_mode) else about.st_nlink  # a folder's links are its subfolders'
                self._seen[key] = size, names, (seen[2] if seen else 0) + 1
        return total

    def add_all(self, paths: Iterable[Path]) -> int:
        """The sum over some paths."""
        return sum(map(self.add, paths))

    def freed_bytes(self) -> int:
        """Bytes of what was counted that are free once all of it is removed; clones are not known as such."""
        return sum(size for size, names, seen in self._seen.values() if seen >= names)

    def shared_bytes(self) -> int:
        """Bytes that would stay on the disk, because they have names elsewhere too."""
        return sum(size for size, names, seen in self._seen.values() if seen < names)


def _entries(path: Path) -> Iterator[Path]:
    yield path
    if not path.is_symlink():
        for folder, folders, files in os.walk(path):
            yield from (Path(folder, name) for name in (*folders, *files))


def bytes_here(path: Path) -> int:
    """The size of a file, 0 when there is none."""
    with suppress(OSError):
        return path.stat().st_size
    return 0


def are_clones(one: Path, other: Path) -> bool:
    """Whether two files of one size begin at the same place of the disk, as clones do; False where that is unknown."""
    try:
        places = [_first_place(path) for path in (one, other)]
        return places[0] is not None and places[0] == places[1] and one.stat().st_size == other.stat().st_size
    except OSError:
        return False


def _first_place(path: Path) -> int | None:
    """Where on its disk a file begins, in bytes; None where it has no place. Raises OSError."""
    with path.open("rb") as stream:
        if sys.platform == "darwin":
            told = fcntl.fcntl(stream.fileno(), F_LOG2PHYS_EXT, LOG2PHYS.pack(0, 1, 0))
            return int(LOG2PHYS.unpack(told)[2])
        asked = FIEMAP_HEAD.pack(0, 2**64 - 1, 0, 0, 1, 0) + bytes(FIEMAP_EXTENT.size)
        told = fcntl.ioctl(stream.fileno(), FIEMAP, asked)
    extent = FIEMAP_EXTENT.unpack_from(told, FIEMAP_HEAD.size)
    found = FIEMAP_HEAD.unpack_from(told)[3]
    return int(extent[1]) if found and not extent[5] & NO_PLACE else None
