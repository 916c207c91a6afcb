"""What a disk does to us is no bug of ours: an OSError that nobody saw coming, as a sentence."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from provision.errors import DiskFull, HomeError
from provision.home import unusable

OF_DISKS = frozenset(
    {errno.EIO, errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.ESTALE, errno.ENODEV, errno.ENXIO, errno.EFBIG}
)
"""What only a disk answers: reading and writing tell no file's name with it."""


def as_sentence(error: OSError, home: Path) -> HomeError | DiskFull | None:
    """The error to raise in the place of one of the disk's; None for an OSError of a socket, a program, a bug of ours.

    Where it names no file, `home` is said.
    """
    if isinstance(error.filename, str | bytes | os.PathLike):
        return unusable(Path(os.fsdecode(error.filename)), error)
    return unusable(home, error) if error.errno in OF_DISKS else None
