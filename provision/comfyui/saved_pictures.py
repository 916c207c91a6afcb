"""Saving pictures in the user's folder: whole or not at all, and never over another file.

A picture is written under another name first. A name is taken by creating it, so that many programs can save into one
folder at once.
"""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from provision.command import Fix, ours, program
from provision.errors import DiskFull, HomeError

WITHOUT_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)
"""The errors of a disk without hard links (exFAT, some network disks)."""


def keep_new(folder: Path, stem: str, suffix: str, data: bytes) -> Path:
    """Write a file under the first free name of `fox.png`, `fox-1.png`, ... Raises HomeError, DiskFull."""
    with _written(folder, data) as aside:
        for number in range(1_000_000):
            name = folder / f"{stem}{f'-{number}' if number else ''}{suffix}"
            with suppress(FileExistsError):
                _take(aside, name)
                return name
    raise HomeError(
        f"{folder} has a million files named {stem}{suffix}.",
        hint=Fix("Choose another folder:", ours("generate", "PROMPT", "--output", "DIR/image.png")),
    )


def keep_as(path: Path, data: bytes) -> Path:
    """Write a file under this name, in the place of any other. Raises HomeError, DiskFull."""
    with _written(path.parent, data) as aside:
        aside.replace(path)
    return path


def check_folder(folder: Path) -> None:
    """Test whether a folder can be written to; leaves no file. Raises HomeError, DiskFull."""
    with _written(folder, b"\0"):
        pass


@contextmanager
def _written(folder: Path, data: bytes) -> Iterator[Path]:
    """A file with another name, removed at the end. Raises HomeError, DiskFull."""
    aside = folder / f".provision-{os.getpid()}-{secrets.token_hex(4)}.png"
    try:
        with aside.open("xb") as stream:
            stream.write(data)
        yield aside
    except OSError as error:
        raise _unwritable(folder, error) from error
    finally:
        with suppress(OSError):
            aside.unlink(missing_ok=True)


def _take(aside: Path, name: Path) -> None:
    """Give a file this name too. Raises FileExistsError, OSError."""
    try:
        os.link(aside, name)
    except OSError as error:
        if error.errno not in WITHOUT_LINKS:
            raise
        name.touch(exist_ok=False)
        try:
            aside.replace(name)
        except OSError:
            name.unlink()
            raise


def _unwritable(folder: Path, error: OSError) -> HomeError | DiskFull:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DiskFull(
            f"The disk that holds {folder} is full.",
            hint=Fix("Free some space, then run the command again.", program("df", "-h", str(folder))),
        )
    if not folder.is_dir():
        return HomeError(f"The folder {folder} is gone.", hint=program("mkdir", "-p", str(folder)))
    return HomeError(
        f"{folder} is not usable for images ({error.strerror or error}).",
        hint=Fix("Choose another folder:", ours("generate", "PROMPT", "--output", "~/image.png")),
    )
