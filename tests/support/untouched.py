"""That something was left as it was: every entry below a folder, before and after."""

from __future__ import annotations

import hashlib
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

Entry = tuple[str, int, int, int, str]
"""Type and permissions, size in bytes, mtime in ns, inode, the sha256 or where a link leads."""


def snapshot(folder: Path, ours: Callable[[str], bool] = lambda name: False) -> dict[str, Entry]:
    """Every entry below a folder by its path, but for those that are `ours`, and the folder itself."""
    found: dict[str, Entry] = {}
    for path in [folder, *folder.rglob("*")]:
        name = path.relative_to(folder).as_posix()
        if not ours(name):
            found[name] = _entry(path)
    return found


def _entry(path: Path) -> Entry:
    seen = path.lstat()
    content = ""
    if stat.S_ISLNK(seen.st_mode):
        content = str(path.readlink())
    elif stat.S_ISREG(seen.st_mode):
        content = hashlib.sha256(path.read_bytes()).hexdigest()
    size = seen.st_size if stat.S_ISREG(seen.st_mode) else 0
    return oct(seen.st_mode), size, seen.st_mtime_ns, seen.st_ino, content


def differences(before: dict[str, Entry], after: dict[str, Entry]) -> list[str]:
    """What came, went or is not as it was."""
    names = sorted(before.keys() | after.keys())
    return [f"{name}: {before.get(name)} -> {after.get(name)}" for name in names if before.get(name) != after.get(name)]


@contextmanager
def untouched(*folders: Path, ours: Callable[[str], bool] = lambda name: False) -> Iterator[None]:
    """Nothing below these folders may change meanwhile, but for names that are `ours`."""
    before = {folder: snapshot(folder, ours) for folder in folders}
    yield
    for folder, seen in before.items():
        assert differences(seen, snapshot(folder, ours)) == [], folder
