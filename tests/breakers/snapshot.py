"""A folder made like another again: only what differs is written, and modification times stay."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

KEPT = frozenset(
    {
        "logs",
        "state/rehearsal",
        "state/lock",
        "state/cache",
        "state/children",
        "state/server.json",
        "server.json",
        "comfyui.log",
    }
)
"""What is not undone: logs and the record of the server are looked after apart, the world never changes."""


def mirror(source: Path, target: Path) -> None:
    """Make `target` what `source` is, writing only what differs; modification times stay."""
    target.mkdir(exist_ok=True)
    for path in _extra(source, target):
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    for path in _entries(source):
        place = target / path.relative_to(source)
        if os.path.lexists(place) and _mark(path) == _mark(place):
            continue
        if path.is_dir() and not path.is_symlink():
            place.mkdir(exist_ok=True)
            _own_like(path, place)
            continue
        with suppress(FileNotFoundError):
            place.unlink()
        shutil.copy2(path, place, follow_symlinks=False)
        _own_like(path, place)


def _extra(source: Path, target: Path) -> list[Path]:
    """What stands in `target` and not in `source`, or as another kind of thing; of a folder nothing below it."""
    found: dict[Path, None] = {}
    for path in _entries(target):
        like = source / path.relative_to(target)
        same_kind = os.path.lexists(like) and stat.S_IFMT(like.lstat().st_mode) == stat.S_IFMT(path.lstat().st_mode)
        if not same_kind and found.keys().isdisjoint(path.parents):
            found[path] = None
    return list(found)


def _entries(root: Path) -> Iterator[Path]:
    """Everything below `root` from the top down, without what is kept and compiled Python."""
    for parent, folders, files in os.walk(root):
        here = Path(parent)
        for name in folders:
            if not os.access(here / name, os.R_OK | os.X_OK):
                (here / name).chmod(0o755)
        folders[:] = sorted(name for name in folders if not _is_kept(root, here / name))
        yield from (here / name for name in folders)
        yield from (here / name for name in sorted(files) if not _is_kept(root, here / name))


def _is_kept(root: Path, path: Path) -> bool:
    return path.name == "__pycache__" or str(path.relative_to(root)) in KEPT


def _mark(path: Path) -> object:
    seen = path.lstat()
    if stat.S_ISLNK(seen.st_mode):
        return path.readlink()
    content = () if stat.S_ISDIR(seen.st_mode) else (seen.st_size, seen.st_mtime_ns)
    return seen.st_mode, seen.st_uid, *content


def _own_like(path: Path, place: Path) -> None:
    seen = path.lstat()
    if not stat.S_ISLNK(seen.st_mode):
        place.chmod(stat.S_IMODE(seen.st_mode))
    if place.lstat().st_uid != seen.st_uid:
        os.chown(place, seen.st_uid, seen.st_gid, follow_symlinks=False)
