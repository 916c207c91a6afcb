"""Moves what is in the way into `moved-aside/`; what others made is never deleted."""

from __future__ import annotations

from pathlib import Path

from provision.core.step import Context
from provision.system.disk_errors import unusable


def move_aside(ctx: Context, path: Path) -> Path:
    """Move a file or a folder into `moved-aside/` and say where it is now. Raises HomeError, DiskFull."""
    place = make_way(ctx, path)
    ctx.note(f"{ctx.home.shown(path)} is now {ctx.home.shown(place)}.")
    return place


def make_way(ctx: Context, path: Path) -> Path:
    """Move a file or a folder into `moved-aside/`; the caller says so. Raises HomeError, DiskFull.

    On another disk than the home's, as an adopted install may be, it is renamed in place.
    """
    try:
        ctx.home.aside.mkdir(parents=True, exist_ok=True)
        place = _free(ctx.home.aside / f"{path.name}.{int(ctx.machine.now())}")
        if path.lstat().st_dev != ctx.home.aside.stat().st_dev:
            place = _free(path.with_name(f"{place.name}.moved-aside"))
        path.rename(place)
    except OSError as error:
        raise unusable(path, error) from error
    return place


def _free(place: Path) -> Path:
    """The first name of its kind that nothing has."""
    count, name = 0, place.name
    while place.is_symlink() or place.exists():
        count += 1
        place = place.with_name(f"{name}-{count}")
    return place
