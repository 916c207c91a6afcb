"""Moving things aside: what a person made is never deleted, it gets a new place, which is told."""

from __future__ import annotations

from pathlib import Path

from provision.home import unusable
from provision.step import Context


def move_aside(ctx: Context, path: Path) -> Path:
    """Move a file or a folder into `moved-aside/` and say where it is now. Raises HomeError, DiskFull."""
    place = make_way(ctx, path)
    ctx.note(f"{ctx.home.shown(path)} is now {ctx.home.shown(place)}.")
    return place


def make_way(ctx: Context, path: Path) -> Path:
    """Move a file or a folder into `moved-aside/`; the caller says so. Raises HomeError, DiskFull."""
    folder, count = ctx.home.aside, 0
    name = f"{path.name}.{int(ctx.machine.now())}"
    place = folder / name
    try:
        folder.mkdir(parents=True, exist_ok=True)
        while place.is_symlink() or place.exists():
            count += 1
            place = folder / f"{name}-{count}"
        path.rename(place)
    except OSError as error:
        raise unusable(path, error) from error
    return place
