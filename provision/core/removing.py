"""Removing files and folders: links are removed and never followed, and a folder goes only when it is empty."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from provision.core.ownership import ROOT_NAMES, SYSTEMS_OWN


def remove(path: Path) -> None:
    """Remove a file, a link, or a folder with all in it. Raises OSError."""
    if path.is_symlink() or not path.is_dir():
        path.unlink()
    else:
        shutil.rmtree(path)


def take_names(state: Path, paths: Iterable[Path]) -> Path:
    """Rename paths into a new folder of a home's `state`, where nothing of them is used any more; returns that folder.

    Half of a folder that is being removed is never taken for a whole one: what a kill leaves of it, the next command
    that holds the home removes. Raises OSError.
    """
    away = state / f".clean.{os.getpid()}"
    away.mkdir(exist_ok=True)
    for number, path in enumerate(paths, len(list(away.iterdir()))):
        path.rename(away / f"{number}.{path.name}")
    return away


def remove_empty(folder: Path) -> None:
    """Remove a folder and its subfolders that are empty; the rest stays. Raises OSError."""
    for inner in sorted((Path(each) for each, _, _ in os.walk(folder)), reverse=True):
        names = {path.name for path in inner.iterdir()}
        if names <= SYSTEMS_OWN:
            for name in names:
                remove(inner / name)
            inner.rmdir()


def remove_temporary_home(root: Path) -> None:
    """Remove a home that was made for one command, by name; other files stay. Raises OSError."""
    for name in sorted(ROOT_NAMES):
        if os.path.lexists(root / name):
            remove(root / name)
    remove_empty(root)
