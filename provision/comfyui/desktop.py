"""ComfyUI's desktop apps: which installs they manage, and by which settings they start them; read, never written.

Comfy Desktop (2026; Comfy-Org/ComfyUI-Desktop-2.0-Beta, src/main: settings.ts, installations.ts, lib/models.ts,
lib/pythonEnv.ts, sources/standalone) makes `~/ComfyUI-Installs/NAME` with `ComfyUI/`, which has `.venv` in it, and
`standalone-env/`. Installs share `~/ComfyUI-Shared/models` by `shared_model_paths.yaml`, or have folders of their own
by `instance-model-paths/ID.yaml`; ComfyUI is given the one or the other with --extra-model-paths-config. An install
that was taken over from the app of before keeps models and Python where that had them.

The app of before (Comfy-Org/desktop, src/install, src/config) has its code in itself and one folder, which its
`config.json` names; it gives ComfyUI `extra_models_config.yaml`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from provision.system.guarded import Closed, nothing_closed
from provision.system.strict import Unreadable, read_json_file

APP_CODE = "ComfyUI.app/Contents/Resources/ComfyUI"
SHARED = "shared_model_paths.yaml"
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Managed:
    """An install of Comfy Desktop, as `installations.json` has it; the names are those there."""

    id: str = ""
    installPath: str = ""  # noqa: N815
    useSharedModels: bool | None = None  # noqa: N815
    adopted: bool = False
    adoptedBaseDir: str | None = None  # noqa: N815

    @property
    def code(self) -> Path:
        """Where its ComfyUI lies."""
        return Path(self.installPath) / "ComfyUI"

    @property
    def base(self) -> Path:
        """Where its models, pictures and settings lie."""
        return Path(self.adoptedBaseDir) if self.adopted and self.adoptedBaseDir else self.code


@dataclass(frozen=True, slots=True)
class DesktopSettings:
    """What is read of Comfy Desktop's `settings.json`."""

    modelsDirs: list[str] | None = None  # noqa: N815
    installDir: str | None = None  # noqa: N815


@dataclass(frozen=True, slots=True)
class _Before:
    """What is read of the `config.json` of the app of before."""

    basePath: str = ""  # noqa: N815


def person(environ: Mapping[str, str]) -> Path:
    """The person's own folder."""
    return Path(environ.get("HOME") or Path.home())


def desktop_folders(environ: Mapping[str, str], closed: Closed = nothing_closed) -> list[Path]:
    """Where Comfy Desktop keeps its settings: one folder on a Mac, two on Linux (lib/paths.ts)."""
    home = person(environ)
    folders = [
        home / "Library" / "Application Support" / "Comfy Desktop",
        Path(environ.get("XDG_DATA_HOME") or home / ".local" / "share") / "comfyui-desktop-2",
        Path(environ.get("XDG_CONFIG_HOME") or home / ".config") / "comfyui-desktop-2",
    ]
    return [folder for folder in folders if not closed(folder)]


def folders_of_before(environ: Mapping[str, str]) -> list[Path]:
    """Where the app of before keeps its settings."""
    home = person(environ)
    return [home / "Library" / "Application Support" / "ComfyUI", home / ".config" / "ComfyUI"]


def managed_installs(environ: Mapping[str, str], closed: Closed = nothing_closed) -> list[Managed]:
    """The installs that Comfy Desktop has on record; none where there is no record that can be read."""
    records = (_read(folder / "installations.json", list[Managed]) for folder in desktop_folders(environ, closed))
    found = [each for record in records for each in record or ()]
    return [each for each in found if each.installPath.startswith("/") and "\0" not in f"{each.code}{each.base}"]


def desktop_settings(environ: Mapping[str, str], closed: Closed = nothing_closed) -> DesktopSettings:
    """What a person chose in Comfy Desktop; nothing where nothing can be read."""
    found = (_read(folder / "settings.json", DesktopSettings) for folder in desktop_folders(environ, closed))
    return next((each for each in found if each is not None), DesktopSettings())


def base_of_before(settings: Path) -> str:
    """The folder that a person chose in the app of before, empty where none can be read."""
    found = _read(settings / "config.json", _Before)
    return found.basePath if found is not None else ""


def models_settings(code: Path, environ: Mapping[str, str]) -> Path | None:
    """The file of model folders that the app gives to the ComfyUI in `code`; None for one that is not the app's."""
    return next((path for path in _given(code, environ) if path.is_file()), None)


def _given(code: Path, environ: Mapping[str, str]) -> Iterator[Path]:
    if code.as_posix().endswith(APP_CODE):
        yield from (folder / "extra_models_config.yaml" for folder in folders_of_before(environ))
    record = next((each for each in managed_installs(environ) if _same(each.code, code)), None)
    if record is None and not (code.parent / "standalone-env").is_dir():
        return
    own = f"{Path(record.id).name}.yaml" if record is not None and record.useSharedModels is False else ""
    for folder in desktop_folders(environ):
        yield folder / "instance-model-paths" / own if own else folder / SHARED


def is_managed(code: Path, environ: Mapping[str, str]) -> bool:
    """Whether the app, or the one before it, installed the ComfyUI in `code`, and updates it."""
    is_its = code.as_posix().endswith(APP_CODE) or (code.parent / "standalone-env").is_dir()
    return is_its or any(_same(each.code, code) for each in managed_installs(environ))


def _same(one: Path, other: Path) -> bool:
    try:
        return one.resolve() == other.resolve()
    except (OSError, RuntimeError):  # links in a circle
        return False


def _read(path: Path, kind: type[T]) -> T | None:
    try:
        return read_json_file(path, kind)
    except (OSError, Unreadable):
        return None
