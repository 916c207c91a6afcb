"""The breaker of the disk: a real one, small and full, in the home's place."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.breakers.breaker import Breaker, breaks
from tests.breakers.patient import Patient

ROOM_BYTES = 16 << 20
"""What a copy may take more than what it was copied from."""
CHUNK = bytes(1 << 16)


@breaks("disk-low", "disk checkpoint", "ckpt-missing", root=True)
def fill_the_disk(at: Patient) -> None:
    """The model is gone, and the home's disk is full to the last byte."""
    root = at.home.root
    size = sum(path.lstat().st_blocks * 512 for path in root.rglob("*")) + ROOM_BYTES
    before = os.open(root, os.O_RDONLY)  # what a mount hides can still be read through it
    at.later.callback(os.close, before)
    mounted = subprocess.run(("mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", root), capture_output=True)
    if mounted.returncode != 0:
        pytest.skip(f"this machine lets nobody mount a disk: {mounted.stderr.decode().strip()}")
    at.later.callback(subprocess.run, ("umount", "--lazy", root), check=True)
    shutil.copytree(f"/proc/self/fd/{before}", root, symlinks=True, dirs_exist_ok=True)
    at.checkpoint.unlink()
    _fill(root / "films")


def _fill(path: Path) -> None:
    with path.open("wb", buffering=0) as stream:
        try:
            while True:
                stream.write(CHUNK)
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise


BREAKERS = [value for value in list(vars().values()) if isinstance(value, Breaker)]
