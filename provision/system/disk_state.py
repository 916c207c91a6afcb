"""Whether the disk that a path names is there, and takes anything: what is wrong before a byte is written."""

from __future__ import annotations

import os
from pathlib import Path


def why_absent(path: Path) -> str:
    """Why nothing can be at a path, in a sentence; empty where something is, or can be made.

    The folders of a volume that is not mounted could be made, too: they would fill the system's own disk.
    """
    for part in (path, *path.parents):
        if _leads_nowhere(part):
            return f"{part} is a link to {part.readlink()}, which does not exist: is its disk connected?"
    for volumes in _mount_points():
        if path.is_relative_to(volumes) and path != volumes:
            volume = volumes / path.relative_to(volumes).parts[0]
            if not os.path.lexists(volume):
                return f"No disk at {volume}: is it connected?"
    return ""


def _leads_nowhere(path: Path) -> bool:
    try:
        path.stat()
    except FileNotFoundError:
        return path.is_symlink()
    except OSError:  # links in a circle, a name that no disk can hold: not for want of a disk
        return False
    return False


def is_read_only(path: Path) -> bool:
    """Whether the disk of a path takes no writing, as a disk image, or NTFS on a Mac."""
    try:
        while not path.exists() and path != path.parent:
            path = path.parent
        return bool(os.statvfs(path).f_flag & os.ST_RDONLY)
    except OSError:
        return False


def _mount_points() -> tuple[Path, ...]:
    """Where macOS and Linux mount the disks that a person plugs in, each by its name."""
    me = Path(os.path.expanduser("~")).name  # noqa: PTH111  (which never fails)
    return Path("/Volumes"), Path("/media") / me, Path("/run/media") / me
