"""Errors of the disk as sentences: they are no bugs of this tool."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path

from provision.command import Fix, ours, program
from provision.errors import DiskFull, HomeError

OF_DISKS = frozenset(
    {errno.EIO, errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.ESTALE, errno.ENODEV, errno.ENXIO, errno.EFBIG}
)
"""Errors that only disks have; reading and writing raise them without a file's name."""
ANOTHER = ours("all", "--home", "~/provision")
PLUG_IN = Fix("Connect it and run the same command again, or use another folder:", ANOTHER)
WRITABLE = Fix("Use a folder on a writable disk (a Mac can only read NTFS):", ANOTHER)


def as_sentence(error: OSError, home: Path) -> HomeError | DiskFull | None:
    """The error to raise instead of a disk's, which may name no file but `home`; None for another OSError."""
    if isinstance(error.filename, str | bytes | os.PathLike):
        return unusable(Path(os.fsdecode(error.filename)), error)
    return unusable(home, error) if error.errno in OF_DISKS else None


def unusable(path: Path, error: OSError) -> HomeError | DiskFull:
    """The error to raise for an OSError while writing below the home."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DiskFull(
            f"The disk that holds {path} is full; what was written so far is kept.",
            hint=Fix("Free some space, then run the same command again.", program("df", "-h", str(path))),
        )
    if error.errno == errno.EPERM and sys.platform == "darwin":  # not EACCES: it is the system that refuses (TCC)
        return HomeError(
            f"macOS denies this terminal access to {path} ({error.strerror}).",
            hint=Fix(
                "Allow it in System Settings, Privacy & Security, Files and Folders; or use another folder:", ANOTHER
            ),
        )
    if error.errno == errno.EROFS:
        return HomeError(f"{path} is not writable: its disk is read-only.", hint=WRITABLE)
    if error.errno in (errno.EACCES, errno.EPERM):
        return HomeError(f"{path} cannot be written ({error.strerror}).", hint=Fix("Use another folder:", ANOTHER))
    if error.errno in (errno.EIO, errno.ESTALE, errno.ENODEV, errno.ENXIO):
        return HomeError(
            f"The disk that holds {path} failed ({error.strerror}); finished work is kept.",
            hint=Fix("Check the disk, then run the same command again.", program("df", "-h", str(path.parent))),
        )
    return HomeError(f"{path} is not usable ({error.strerror or error}).", hint=ANOTHER)
