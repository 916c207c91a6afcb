"""A file system of its own, whose size is changed while programs write to it: tmpfs, with root's rights."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOMY = 8_000_000_000
"""More than the hardware step asks for; a tmpfs takes memory only for what is written."""

PAGE_BYTES = 4096


@dataclass(frozen=True)
class SmallDisk:
    """A mounted tmpfs."""

    folder: Path

    def resize(self, size_bytes: int, inodes: int = 0) -> None:
        """Make it that large, without a look at what is on it: that only must fit."""
        room = f"size={max(size_bytes, PAGE_BYTES)}" + (f",nr_inodes={inodes}" if inodes else "")
        _mount("-o", f"remount,{room}", str(self.folder))

    def fill(self, spare_bytes: int = 0) -> None:
        """Leave only so much. Programs may write meanwhile: it is asked until it holds."""
        for _ in range(1000):
            try:
                self.resize(self.used() + spare_bytes)
            except subprocess.CalledProcessError:  # more was used in the meantime
                continue
            return
        raise AssertionError("the disk could not be filled")

    def remount(self, how: str) -> bool:
        """`ro` or `rw`; whether it could be, which the first cannot while a file is open for writing."""
        done = subprocess.run(["mount", "-o", f"remount,{how}", self.folder], capture_output=True, check=False)
        return done.returncode == 0

    def used(self) -> int:
        """Bytes in use."""
        seen = os.statvfs(self.folder)
        return (seen.f_blocks - seen.f_bfree) * seen.f_frsize


def _mount(*words: str) -> None:
    subprocess.run(["mount", *words], check=True, capture_output=True)


def is_possible() -> bool:
    """Whether file systems can be mounted here: root in a container may not be allowed to."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return False
    tried = ["unshare", "--mount", "mount", "-t", "tmpfs", "none", "/mnt"]
    return (
        shutil.which("unshare") is not None and subprocess.run(tried, capture_output=True, check=False).returncode == 0
    )


@contextmanager
def small_disk(folder: Path, size_bytes: int, inodes: int = 0) -> Iterator[SmallDisk]:
    """A disk at a folder. Raises CalledProcessError where the system does not allow it."""
    folder.mkdir(exist_ok=True)
    _mount(
        "-t",
        "tmpfs",
        "-o",
        f"size={size_bytes},mode=755" + (f",nr_inodes={inodes}" if inodes else ""),
        "none",
        str(folder),
    )
    try:
        yield SmallDisk(folder)
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
