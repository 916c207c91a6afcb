"""Folders of a Mac for which the system asks the person, once for each program, before it lets a program read there.

They are opened only when the person named them. See Apple's Platform Security guide, "Controlling app access to files
in macOS"; a dialog comes at the first listing or opening, not for `stat`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

BY_HAND = ("Documents", "Desktop", "Downloads")
"""Those that a person knows by name."""
OF_PROGRAMS = (
    "Library/Application Support",
    "Library/CloudStorage",
    "Library/Containers",
    "Library/Group Containers",
    "Library/Mobile Documents",
)
DISKS = Path("/volumes")
"""Where macOS mounts other disks, those of a network too."""
Closed = Callable[[Path], bool]
"""Whether a place is not to be read."""


def nothing_closed(path: Path) -> bool:
    """Everything may be read, as on Linux, or where the person named the folder."""
    return False


def closed_on(system: str, person: Path) -> Closed:
    """What is not to be read unasked on a system (`Darwin`, `Linux`), for the person with that folder."""
    if system != "Darwin":
        return nothing_closed
    folders = [DISKS, *(_folded(person / name) for name in (*BY_HAND, *OF_PROGRAMS))]

    def closed(path: Path) -> bool:
        return any(_folded(path).is_relative_to(folder) for folder in folders)

    return lambda path: closed(path) or closed(_followed(path))


def _folded(path: Path) -> Path:
    """A path as APFS compares it."""
    return Path(str(path).casefold())


def _followed(path: Path) -> Path:
    try:
        return path.resolve()
    except (OSError, RuntimeError, ValueError):  # links in a circle, a NUL
        return path
