"""A model's file that lies under ComfyUI's models, and not where ComfyUI looks for it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from provision.comfyui.safetensors import HeaderTruncated, NotSafetensors
from provision.core.step import Context
from provision.download.delivery import header_of, misfit
from provision.download.model_files import Wanted


def misplaced(ctx: Context, wanted: Wanted) -> Path | None:
    """Where else under the models' folders a file of exactly its size and kind lies; None when its place is taken.

    Its hash is not proven here.
    """
    place = wanted.place
    if wanted.size is None or place.is_symlink() or _named_alike(place):
        return None
    return next((path for path in _files(ctx.home.models) if _fits(path, wanted)), None)


def _named_alike(place: Path) -> bool:
    """Whether a file of that name is there, in whatever case."""
    try:
        return any(entry.name.casefold() == place.name.casefold() for entry in place.parent.iterdir())
    except OSError:
        return False


def _files(models: Path) -> Iterator[Path]:
    for parent, folders, files in os.walk(models):
        folders[:] = sorted(name for name in folders if name != ".git")
        yield from (Path(parent, name) for name in sorted(files) if name.lower().endswith((".safetensors", ".sft")))


def _fits(path: Path, wanted: Wanted) -> bool:
    try:
        if path.is_symlink() or wanted.size is None or path.stat().st_size != wanted.size:
            return False
        return not misfit(header_of(path), wanted.size, precision=wanted.file.precision, checkpoint=wanted.checkpoint)
    except (OSError, NotSafetensors, HeaderTruncated):
        return False
