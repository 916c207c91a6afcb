"""The home: the one folder in which everything lies, and the names inside it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from provision.command import ours
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
    """The folder of `main.py`, None where there is none and the home's own is used."""
    prefix: Path | None = None
    """The environment: of a venv, of conda, of the system; None where it has none."""
    python: Path | None = None


@dataclass(frozen=True, slots=True)
class Home:
    """Paths of the home; nothing here changes the disk but `prepare`.

    With `adopted`, ComfyUI, its models and its Python are another's, and the home holds the rest.
    """

    root: Path
    adopted: Adopted | None = None
    env: Path | None = None
    """An environment that is being made, which stands for the one in use; its receipts are kept in it."""

    @property
    def comfyui(self) -> Path:
        """ComfyUI's checkout."""
        return self.code_of_another or self.root / "ComfyUI"

    @property
    def code_of_another(self) -> Path | None:
        """The checkout that is adopted, None where it is our own."""
        return self.adopted.code if self.adopted is not None else None

    @property
    def base(self) -> Path:
        """Where ComfyUI keeps models, custom nodes, pictures and settings: its checkout, but for the desktop app."""
        return self.adopted.base if self.adopted is not None else self.comfyui

    @property
    def models(self) -> Path:
        """The folder of models."""
        return self.base / "models"

    @property
    def own_venv(self) -> Path:
        """The environment that this tool makes: a link into `envs`, or the folder itself in a home of before."""
        return self.root / "venv"

    @property
    def venv_of_another(self) -> Path | None:
        """The adopted environment while it is in use: one of our own is preferred as soon as it is there."""
        if self.adopted is None or self.adopted.prefix is None or self.env is not None:
            return None
        return None if self.own_venv.is_symlink() or self.own_venv.exists() else self.adopted.prefix

    @property
    def venv(self) -> Path:
        """The environment that ComfyUI runs in."""
        return self.env or self.venv_of_another or self.own_venv

    @property
    def envs(self) -> Path:
        """Our environment in use and the one before it (see `environments`)."""
        return self.root / "envs"

    @property
    def receipts(self) -> Path:
        """Proofs of costly work."""
        return self.env / "set" / "receipts" if self.env else self.state / "receipts"

    @property
    def lock_file(self) -> Path:
        """What is installed, exactly."""
        return self.root / "provision.lock"

    @property
    def choices(self) -> Path:
        """What was asked for (see `choices`)."""
        return self.root / "provision.toml"

    @property
    def python(self) -> Path:
        """The target Python: ComfyUI's, never the tool's own."""
        if self.adopted is not None and self.adopted.python is not None and self.venv_of_another is not None:
            return self.adopted.python
        return self.venv / "bin" / "python"

    @property
    def logs(self) -> Path:
        """Logs of the engine and of the tool."""
        return self.root / "logs"

    @property
    def state(self) -> Path:
        """What the tool knows: lock, receipts, server, report."""
        return self.root / "state"

    @property
    def parts(self) -> Path:
        """Unfinished downloads and their identity."""
        return self.state / "parts"

    @property
    def children(self) -> Path:
        """Notes of programs that run for us right now."""
        return self.state / "children"

    @property
    def installing(self) -> Path:
        """The note of an install that runs, or was cut short: into which environment."""
        return self.state / "installing"

    @property
    def aside(self) -> Path:
        """Where things are moved that stood in the way; never deleted by the tool."""
        return self.root / "moved-aside"

    @property
    def main_py(self) -> Path:
        """ComfyUI's program, by its full path."""
        return self.comfyui.absolute() / "main.py"

    @property
    def engine_log(self) -> Path:
        """What ComfyUI says."""
        return self.logs / "comfyui.log"

    @property
    def tool_log(self) -> Path:
        """What this tool did."""
        return self.logs / "provision.log"

    @property
    def first_image(self) -> Path:
        """The proof."""
        return self.root / "first-image.png"

    def inside(self, path: Path) -> bool:
        """Whether `path`, links resolved, lies in the home, links resolved, or where an adopted install has it.

        There, links are the person's own way to other disks, and are gone by.
        """
        if self.adopted is not None and path.is_relative_to(self.models):
            return True
        return path.resolve().is_relative_to(self.root.resolve())

    def shown(self, path: Path) -> str:
        """A path as a person reads it: relative to the home where it lies in it."""
        return str(path.relative_to(self.root)) if path.is_relative_to(self.root) else str(path)

    def prepare(self) -> None:
        """Make the folders, and mark the home as ours.

        Raises UsageError when it holds what this tool did not make, HomeError when it is a file, cannot be written or
        cannot be made, or its disk is not there, DiskFull when the disk is full.
        """
        from provision.core.ownership import check_contents, write_marker

        self.check_there()
        check_contents(self.root)
        try:
            for folder in (self.root, self.state, self.parts, self.logs):
                folder.mkdir(parents=True, exist_ok=True)
            write_marker(self.root)
            trial = self.state / f".write-{os.getpid()}"
            trial.write_text("ok", encoding="utf-8")
            trial.unlink()
        except FileExistsError as error:
            raise HomeError(
                f"The home {self.root} cannot be used: {error.filename} is a file, not a folder.",
                hint=ours("all", "--home", "~/provision"),
            ) from error
        except NotADirectoryError as error:
            raise HomeError(
                f"The home {self.root} cannot be used: a part of that path is a file.",
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
            raise HomeError(f"The home {self.root} is a file, not a folder.", hint=ours("all", "--home", "~/provision"))
