"""Which files tell this home's ComfyUI of more folders for models, and where it looks because of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from provision.comfyui.desktop import models_settings
from provision.comfyui.extra_model_paths import NAMES, Section, folders_of, read_extra_paths
from provision.core.step import Context
from provision.system.strict import read_text

FLAG = "--extra-model-paths-config"


def given_settings(ctx: Context) -> Path | None:
    """The file that the desktop app gives to an adopted install at its start: a server of ours is given it too."""
    code = ctx.home.code_of_another
    return models_settings(code, ctx.machine.environ) if code is not None else None


def settings_files(ctx: Context) -> list[Path]:
    """All of them, in the order in which ComfyUI reads them (main.py, apply_custom_paths): those in its folder, then
    those that it is given."""
    code, given = ctx.home.comfyui, given_settings(ctx)
    asked = (code / word for word in _values(ctx.manifest.comfyui.args))
    return [*(code / name for name in NAMES), *([given] if given is not None else []), *asked]


def model_folders(ctx: Context, kind: str) -> list[Path]:
    """Where ComfyUI looks for models of a kind, the first before the others; what it could not read is passed over."""
    sections = [section for path in settings_files(ctx) for section in _sections(path)]
    return folders_of(kind, ctx.home.models / kind, sections)


def _sections(path: Path) -> list[Section]:
    try:
        return read_extra_paths(read_text(path), path.parent)
    except (OSError, ValueError):  # Unreadable is one
        return []


def _values(words: tuple[str, ...]) -> Iterator[str]:
    """The values of the flag in a command line; one flag may have several (comfy/cli_args.py)."""
    inside = False
    for word in words:
        name, equals, value = word.partition("=")
        if word.startswith("--"):
            inside = word == FLAG
            if name == FLAG and equals:
                yield value
        elif inside:
            yield word
