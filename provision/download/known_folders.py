"""Where a model may already lie on this machine: the folders of other programs, and what their settings name.

The Hugging Face cache names its blobs after their sha256 (see "Manage the cache" in huggingface_hub's guides); ComfyUI
reads more folders from `extra_model_paths.yaml`, its desktop app from `config.json` and `extra_models_config.yaml` in
its settings folder. The rest are the folders that each program makes by itself.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from provision.comfyui.extra_model_paths import read_extra_paths
from provision.system.strict import SETTINGS_MAX_BYTES, Unreadable, decode, read_file

ASKED_DEPTH, MODELS_DEPTH, LOOSE_DEPTH = 6, 4, 1
"""How deep is looked below a folder that was asked for, a program's models, a loose heap."""
PROGRAMS = ("", "Documents", "Desktop", "AI", "Developer", "Projects", "comfy", "Documents/comfy")
"""Where people put such programs, below their own folder."""
OTHER_PROGRAMS = (
    ("stable-diffusion-webui*", "models"),  # AUTOMATIC1111, Forge, reForge, SD.Next's old name
    ("sd-webui*", "models"),
    ("Fooocus*", "models"),
    ("SwarmUI", "Models"),
    ("InvokeAI", "models"),
    ("invokeai", "models"),
)
COMFYUI = ("ComfyUI", "comfyui")


@dataclass(frozen=True, slots=True)
class Place:
    """A folder to look in, and how many levels of folders below it; 0 is the folder alone."""

    folder: Path
    depth: int


@dataclass(frozen=True, slots=True)
class _Desktop:
    """What is read of the desktop app's `config.json`."""

    basePath: str = ""  # noqa: N815  (its name there)


def hub_cache(environ: Mapping[str, str]) -> Path:
    """The Hugging Face cache: HF_HUB_CACHE, else below HF_HOME, else below XDG_CACHE_HOME or `~/.cache`."""
    if given := environ.get("HF_HUB_CACHE") or environ.get("HUGGINGFACE_HUB_CACHE"):
        return Path(given).expanduser()
    cache = Path(environ.get("XDG_CACHE_HOME") or person(environ) / ".cache")
    return Path(environ.get("HF_HOME") or cache / "huggingface").expanduser() / "hub"


def person(environ: Mapping[str, str]) -> Path:
    """The person's own folder."""
    return Path(environ.get("HOME") or Path.home())


def asked_places(look_in: Sequence[Path]) -> Iterator[Place]:
    """The folders that the person named, and ComfyUI's settings in them."""
    for folder in look_in:
        yield Place(folder, ASKED_DEPTH)
        yield from _named_in(folder / "extra_model_paths.yaml")


def known_places(environ: Mapping[str, str]) -> Iterator[Place]:
    """Every folder of another program that is worth a look.

    Folders for which macOS asks the person's leave (Documents, Downloads, other programs' containers) come last.
    Settings are read on the way; what cannot be read is passed over.
    """
    home = person(environ)
    support = home / "Library" / "Application Support"
    for blobs in _matching(hub_cache(environ), "models--*/blobs"):
        yield Place(blobs, 0)
    for folder in (home / "provision" / "ComfyUI", home / "ComfyUI", home / "comfyui"):
        yield from _comfyui(folder)
    for settings in (support / "ComfyUI", home / ".config" / "ComfyUI"):
        yield from _desktop(settings)
    for folder in (
        support / "StabilityMatrix",
        home / ".config" / "StabilityMatrix",
        home / "StabilityMatrix" / "Data",
    ):
        yield Place(folder / "Models", MODELS_DEPTH)
    for folder in (home / ".diffusionbee", home / "pinokio" / "drive" / "drives" / "peers"):
        yield Place(folder, MODELS_DEPTH)
    yield Place(home / "pinokio" / "drive" / "models", MODELS_DEPTH)
    for name in PROGRAMS:
        yield from _programs(home / name, known_comfyui=not name)
    draw_things = home / "Library" / "Containers" / "com.liuliu.draw-things" / "Data" / "Documents" / "Models"
    yield Place(draw_things, LOOSE_DEPTH)
    yield Place(home / "Downloads", LOOSE_DEPTH)


def _programs(folder: Path, *, known_comfyui: bool) -> Iterator[Place]:
    for pattern, models in OTHER_PROGRAMS:
        for program in _matching(folder, pattern):
            yield Place(program / models, MODELS_DEPTH)
    for name in () if known_comfyui else COMFYUI:
        yield from _comfyui(folder / name)


def _matching(folder: Path, pattern: str) -> list[Path]:
    try:
        return sorted(folder.glob(pattern))
    except (OSError, ValueError):
        return []


def _comfyui(folder: Path) -> Iterator[Place]:
    yield Place(folder / "models", MODELS_DEPTH)
    yield from _named_in(folder / "extra_model_paths.yaml")


def _desktop(settings: Path) -> Iterator[Place]:
    """ComfyUI's desktop app: the folder that the person chose, and those that they named beside it."""
    try:
        base = decode(_text(settings / "config.json"), _Desktop).basePath
    except Unreadable:
        base = ""
    if base:
        yield from _comfyui(_path(base, settings))
    yield from _named_in(settings / "extra_models_config.yaml")


def _named_in(settings: Path) -> Iterator[Place]:
    for folder in checkpoint_folders(_text(settings), settings.parent):
        yield Place(folder, MODELS_DEPTH)


def _text(path: Path) -> str:
    """A settings file, empty where there is none that can be read."""
    try:
        return read_file(path, max_bytes=SETTINGS_MAX_BYTES).decode("utf-8-sig", "replace")
    except (OSError, Unreadable):
        return ""


def checkpoint_folders(text: str, beside: Path) -> list[Path]:
    """The folders of checkpoints that an `extra_model_paths.yaml` in `beside` names; none where ComfyUI cannot read
    it."""
    try:
        sections = read_extra_paths(text, beside) if text else []
    except ValueError:
        return []
    return [folder for section in sections for folder in section.kinds.get("checkpoints", ())]


def _path(text: str, base: Path) -> Path:
    path = Path(os.path.expandvars(text))
    with suppress(RuntimeError):  # the home of a user who is not there
        path = path.expanduser()
    return base / path  # an absolute path leaves the base
