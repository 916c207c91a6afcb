"""Where a model may already lie on this machine: the folders of other programs, and what their settings name.

The Hugging Face cache names its blobs after their sha256 (see "Manage the cache" in huggingface_hub's guides); ComfyUI
reads more folders from `extra_model_paths.yaml`, its desktop apps from their settings (see `comfyui.desktop`).
Stability Matrix keeps its place in `library.json` (StabilityMatrix.Core, SettingsManager.cs), Pinokio in
`~/.pinokio/config.json`, comfy-cli in `config.ini` (comfy_cli/constants.py). The rest are the folders that each program
makes by itself.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from provision.comfyui.desktop import (
    SHARED,
    base_of_before,
    desktop_folders,
    desktop_settings,
    folders_of_before,
    managed_installs,
    person,
)
from provision.comfyui.extra_model_paths import NAMES, read_extra_paths
from provision.system.guarded import Closed, nothing_closed
from provision.system.strict import SETTINGS_MAX_BYTES, Unreadable, decode, read_file

ASKED_DEPTH, MODELS_DEPTH, LOOSE_DEPTH = 6, 4, 1
"""How deep is looked below a folder that was asked for, a program's models, a loose heap."""
PROGRAMS = ("", "Documents", "Desktop", "AI", "Developer", "Projects", "comfy", "Documents/comfy")
"""Where people put such programs, below their own folder."""
OTHER_PROGRAMS = (
    ("stable-diffusion-webui*", "models"),  # AUTOMATIC1111, Forge, reForge
    ("sd-webui*", "models"),
    ("sdnext*", "models"),
    ("automatic", "models"),  # SD.Next as it was cloned until 2025
    ("Fooocus*", "models"),
    ("SwarmUI", "Models"),
    ("InvokeAI", "models"),
    ("invokeai", "models"),
)
COMFYUI = ("ComfyUI", "comfyui")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Place:
    """A folder to look in, and how many levels of folders below it; 0 is the folder alone."""

    folder: Path
    depth: int
    asked: bool = False
    """Whether the person named it, so that it is open whatever it is."""


@dataclass(frozen=True, slots=True)
class _Library:
    """What is read of Stability Matrix's `library.json`."""

    LibraryPath: str = ""


@dataclass(frozen=True, slots=True)
class _Pinokio:
    """What is read of Pinokio's `config.json`."""

    home: str = ""


def hub_cache(environ: Mapping[str, str]) -> Path:
    """The Hugging Face cache: HF_HUB_CACHE, else below HF_HOME, else below XDG_CACHE_HOME or `~/.cache`."""
    if given := environ.get("HF_HUB_CACHE") or environ.get("HUGGINGFACE_HUB_CACHE"):
        return Path(given).expanduser()
    cache = Path(environ.get("XDG_CACHE_HOME") or person(environ) / ".cache")
    return Path(environ.get("HF_HOME") or cache / "huggingface").expanduser() / "hub"


def asked_places(look_in: Sequence[Path]) -> Iterator[Place]:
    """The folders that the person named, and ComfyUI's settings in them."""
    for folder in look_in:
        yield Place(folder, ASKED_DEPTH, asked=True)
        yield from (replace(place, asked=True) for place in _Reader().extra_paths(folder))


def known_places(environ: Mapping[str, str], closed: Closed = nothing_closed) -> Iterator[Place]:
    """Every folder of another program that is worth a look and not closed.

    Settings are read on the way; what cannot be read is passed over.
    """
    return (place for place in _Reader(closed).places(environ) if not closed(place.folder))


@dataclass(frozen=True, slots=True)
class _Reader:
    """Lists folders and reads settings that name more of them, but for what is closed."""

    closed: Closed = nothing_closed

    def places(self, environ: Mapping[str, str]) -> Iterator[Place]:
        """Every place, those of loose heaps last."""
        home = person(environ)
        support = home / "Library" / "Application Support"
        for blobs in self._matching(hub_cache(environ), "models--*/blobs"):
            yield Place(blobs, 0)
        for folder in (home / "provision" / "ComfyUI", home / "ComfyUI", home / "comfyui"):
            yield from self._comfyui(folder)
        yield from self._comfy_desktop(environ)
        for settings in folders_of_before(environ):
            yield from self._desktop_of_before(settings)
        for folder in (support / "comfy-cli", home / ".config" / "comfy-cli"):
            for workspace in _workspaces(self._text(folder / "config.ini")):
                yield from self._comfyui(_path(workspace, folder))
        yield from self._stability_matrix(home)
        yield Place(home / ".diffusionbee", MODELS_DEPTH)
        yield from self._pinokio(home)
        for name in PROGRAMS:
            yield from self._programs(home / name, known_comfyui=not name)
        draw_things = home / "Library" / "Containers" / "com.liuliu.draw-things" / "Data" / "Documents" / "Models"
        yield Place(draw_things, LOOSE_DEPTH)
        yield Place(home / "Downloads", LOOSE_DEPTH)

    def _programs(self, folder: Path, *, known_comfyui: bool) -> Iterator[Place]:
        for pattern, models in OTHER_PROGRAMS:
            for program in self._matching(folder, pattern):
                yield Place(program / models, MODELS_DEPTH)
        for name in () if known_comfyui else COMFYUI:
            yield from self._comfyui(folder / name)

    def _matching(self, folder: Path, pattern: str) -> list[Path]:
        try:
            return [] if self.closed(folder) else sorted(folder.glob(pattern))
        except (OSError, ValueError):
            return []

    def _comfyui(self, folder: Path) -> Iterator[Place]:
        yield Place(folder / "models", MODELS_DEPTH)
        yield from self.extra_paths(folder)

    def extra_paths(self, folder: Path) -> Iterator[Place]:
        for name in NAMES:
            yield from self._named_in(folder / name)

    def _comfy_desktop(self, environ: Mapping[str, str]) -> Iterator[Place]:
        """Comfy Desktop: the models that its installs share, and those of each install."""
        home, chosen = person(environ), desktop_settings(environ, self.closed)
        for models in (home / "ComfyUI-Shared" / "models", *(_path(each, home) for each in chosen.modelsDirs or ())):
            yield Place(models, MODELS_DEPTH)
        for folder in desktop_folders(environ, self.closed):
            for settings in (folder / SHARED, *self._matching(folder / "instance-model-paths", "*.yaml")):
                yield from self._named_in(settings)
        for installs in (home / "ComfyUI-Installs", *([_path(chosen.installDir, home)] if chosen.installDir else [])):
            for code in self._matching(installs, "*/ComfyUI"):
                yield from self._comfyui(code)
        for managed in managed_installs(environ, self.closed):
            for folder in {managed.code, managed.base}:
                yield from self._comfyui(folder)

    def _desktop_of_before(self, settings: Path) -> Iterator[Place]:
        """The desktop app of before: the folder that the person chose, and those that they named beside it."""
        if not self.closed(settings) and (base := base_of_before(settings)):
            yield from self._comfyui(_path(base, settings))
        yield from self._named_in(settings / "extra_models_config.yaml")

    def _stability_matrix(self, home: Path) -> Iterator[Place]:
        for folder in (home / "Library" / "Application Support", home / ".config"):
            settings = folder / "StabilityMatrix"
            yield Place(settings / "Models", MODELS_DEPTH)
            if library := self._setting(settings / "library.json", _Library()).LibraryPath:
                yield Place(_path(library, settings) / "Models", MODELS_DEPTH)
        yield Place(home / "StabilityMatrix" / "Data" / "Models", MODELS_DEPTH)

    def _pinokio(self, home: Path) -> Iterator[Place]:
        """Pinokio: what its programs share, and each program's own models."""
        chosen = self._setting(home / ".pinokio" / "config.json", _Pinokio()).home
        for folder in dict.fromkeys((home / "pinokio", *([_path(chosen, home)] if chosen else []))):
            yield Place(folder / "drive" / "drives" / "peers", MODELS_DEPTH)
            yield Place(folder / "drive" / "models", MODELS_DEPTH)
            for models in self._matching(folder / "api", "*/app/models"):
                yield Place(models, MODELS_DEPTH)

    def _setting(self, path: Path, usual: T) -> T:
        try:
            return decode(self._text(path), type(usual))
        except Unreadable:
            return usual

    def _named_in(self, settings: Path) -> Iterator[Place]:
        for folder in checkpoint_folders(self._text(settings), settings.parent):
            yield Place(folder, MODELS_DEPTH)

    def _text(self, path: Path) -> str:
        """A settings file, empty where there is none that can be read."""
        try:
            return (
                ""
                if self.closed(path)
                else read_file(path, max_bytes=SETTINGS_MAX_BYTES).decode("utf-8-sig", "replace")
            )
        except (OSError, Unreadable):
            return ""


def _workspaces(text: str) -> Iterator[str]:
    """The folders of ComfyUI that comfy-cli's `config.ini` names."""
    from configparser import ConfigParser, Error

    config = ConfigParser(interpolation=None)
    with suppress(Error):
        config.read_string(text)
    yield from filter(None, (config.defaults().get(name) for name in ("default_workspace", "recent_workspace")))


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
