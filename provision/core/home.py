"""The home: the folder that holds everything, and the names inside it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from provision.command import ours
from provision.core.ownership import check_contents, write_marker
from provision.errors import HomeError
from provision.system.disk_errors import PLUG_IN, unusable
from provision.system.disk_state import why_absent


def full_path(given: Path) -> Path:
    """A path that a person typed, from the root and without `..`, whose links are followed as the system does it.

    Raises RuntimeError where it is in the folder of a user who is not known.
    """
    path = given.expanduser().absolute()
    above = [place for place, part in enumerate(path.parts) if part == ".."]
    return Path(*path.parts[: above[-1] + 1]).resolve().joinpath(*path.parts[above[-1] + 1 :]) if above else path


@dataclass(frozen=True, slots=True)
class Adopted:
    """An install that somebody else made, as a home goes by it; no part of it is ever removed."""

    base: Path
    """The folder of models, custom nodes, pictures and settings."""
    code: Path | None
    """The folder of `main.py`; None: the home's own is used."""
    prefix: Path | None = None
    """The environment: of a venv, of conda, of the system; None where it has none."""
    python: Path | None = None


@dataclass(frozen=True, slots=True)
class AdoptedJson:
    """The existing install that is used; `python` is its own, where that is used too."""

    base: str
    code: str
    python: str | None


class Place:
    """A path in a home's own folder, by its names."""

    def __init__(self, *names: str) -> None:
        self._names = names

    def __get__(self, home: Home, _: object = None) -> Path:
        return home.root.joinpath(*self._names)


@dataclass(frozen=True, slots=True)
class Home:
    """Paths of the home; only `prepare` changes the disk.

    With `adopted`, ComfyUI, its models and its Python are another's, and the home holds the rest.
    """

    root: Path
    adopted: Adopted | None = None
    env: Path | None = None
    """An environment that is being made, used in place of the one in use; its receipts are kept in it."""
    code: Path | None = None
    """The files of a ComfyUI that is being tried, used in place of the checkout; models and settings stay there."""
    data: Path | None = None
    """A folder with links to models and custom nodes that are being tried, used in place of ComfyUI's own."""

    own_venv = Place("venv")
    """Our environment: a link into `envs`, or the folder itself in homes of older versions."""
    envs = Place("envs")
    """Our environment in use and the one before it (see `environment/generations.py`)."""
    lock_file = Place("provision.lock")
    """What is installed, exactly."""
    choices = Place("provision.toml")
    """What was asked for (see `core/choices.py`)."""
    aside = Place("moved-aside")
    """Where things are moved that stood in the way; never deleted by us."""
    logs = Place("logs")
    tool_log = Place("logs", "provision.log")
    state = Place("state")
    """What we know: lock, receipts, server, report."""
    parts = Place("state", "parts")
    """Unfinished downloads and their identity."""
    nodes = Place("state", "nodes")
    """The git repositories of custom nodes that were added, by name (see `comfyui/added_nodes.py`)."""
    trial = Place("state", "trial")
    """ComfyUI's files while an update tries them."""
    switching = Place("state", "switching.json")
    """The note of a generation that is being put in use."""
    children = Place("state", "children")
    """Notes of programs that run for us right now."""
    installing = Place("state", "installing")
    """The note of an install that runs, or was interrupted: into which environment."""

    @property
    def code_of_another(self) -> Path | None:
        """The adopted checkout, None where it is our own."""
        return self.adopted.code if self.adopted is not None else None

    @property
    def comfyui(self) -> Path:
        """ComfyUI's checkout."""
        return self.code or self.code_of_another or self.root / "ComfyUI"

    @property
    def main_py(self) -> Path:
        return self.comfyui.absolute() / "main.py"

    @property
    def engine_log(self) -> Path:
        """What ComfyUI says."""
        return self.logs / "comfyui.log"

    @property
    def base(self) -> Path:
        """Where ComfyUI keeps models, custom nodes, images and settings: its checkout, except for the desktop app."""
        return self.data or (self.adopted.base if self.adopted is not None else self.root / "ComfyUI")

    @property
    def models(self) -> Path:
        return self.base / "models"

    @property
    def custom_nodes(self) -> Path:
        return self.base / "custom_nodes"

    @property
    def venv_of_another(self) -> Path | None:
        """The adopted environment while it is in use: one of our own is preferred as soon as it is there."""
        if self.adopted is None or self.env is not None or os.path.lexists(self.own_venv):
            return None
        return self.adopted.prefix

    @property
    def adopted_json(self) -> AdoptedJson | None:
        """The adopted install as it stands in `--json`; None where the home has its own ComfyUI."""
        if self.adopted is None:
            return None
        python = str(self.python) if self.venv_of_another is not None else None
        return AdoptedJson(str(self.base), str(self.comfyui), python)

    @property
    def venv(self) -> Path:
        """The environment that ComfyUI runs in."""
        return self.env or self.venv_of_another or self.own_venv

    @property
    def python(self) -> Path:
        """The target Python: ComfyUI's, never our own."""
        if self.adopted is not None and self.adopted.python is not None and self.venv_of_another is not None:
            return self.adopted.python
        return self.venv / "bin" / "python"

    @property
    def receipts(self) -> Path:
        return self.env / "set" / "receipts" if self.env else self.state / "receipts"

    @property
    def first_image(self) -> Path:
        """The picture that proves the environment."""
        return (self.env / "set" if self.env else self.root) / "first-image.png"

    def inside(self, path: Path) -> bool:
        """Whether `path`, links resolved, is in the home or among an adopted install's models.

        Links there are followed: they are the user's own way to other disks.
        """
        if self.adopted is not None and path.is_relative_to(self.models):
            return True
        return path.resolve().is_relative_to(self.root.resolve())

    def shown(self, path: Path) -> str:
        """A path for people: relative to the home if it is inside."""
        return str(path.relative_to(self.root)) if path.is_relative_to(self.root) else str(path)

    def prepare(self) -> None:
        """Make the folders, and mark the home as ours.

        Raises UsageError for a folder with files of others, HomeError where it cannot be made or written or its disk is
        not there, DiskFull.
        """
        self.check_there()
        check_contents(self.root)
        try:
            for folder in (self.root, self.state, self.parts, self.logs):
                folder.mkdir(parents=True, exist_ok=True)
            write_marker(self.root)
            trial = self.state / f".write-{os.getpid()}"
            trial.write_text("ok", encoding="utf-8")
            trial.unlink()
        except (FileExistsError, NotADirectoryError) as error:
            where = f"{error.filename}" if isinstance(error, FileExistsError) else "a part of that path"
            raise HomeError(
                f"The install folder {self.root} is not usable: {where} is a file, not a folder.",
                hint=ours("all", "--home", "~/provision"),
            ) from error
        except OSError as error:
            raise unusable(self.root, error) from error

    def check_there(self) -> None:
        """Refuse a home whose disk is not there, without writing anything (raises HomeError)."""
        if absent := why_absent(self.root):
            raise HomeError(absent, hint=PLUG_IN)

    def check_usable(self) -> None:
        """Refuse a home that is a file, without writing anything (raises HomeError)."""
        try:
            is_file = self.root.exists() and not self.root.is_dir()
        except OSError as error:  # a name that no disk can hold
            raise unusable(self.root, error) from error
        if is_file:
            raise HomeError(
                f"The install folder {self.root} is a file, not a folder.", hint=ours("all", "--home", "~/provision")
            )
