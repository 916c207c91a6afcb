"""The space that files take on the disk; a file with several names counts once."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

BLOCK_BYTES = 512
"""The unit of `st_blocks` (POSIX)."""


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
