"""Generations: the environment in use and those before it, made beside each other and put in use by one rename.

`venv` is a link into `envs/`, whose folders are numbered. A change is made in a copy of the environment in use that
shares its bytes (clones on macOS, hard links elsewhere: uv, like pip, replaces files and never writes into them), is
proven there, and takes its place when the link is replaced, which is one rename. Whoever is killed leaves a folder that
nothing points to; the next change removes it. A program that runs keeps its environment: it was started by the path in
`envs/`, which does not change.

What belongs to an environment and lies elsewhere in the home (receipts, lock, first image, edits of ComfyUI's files) is
kept in its `set/` when it is left, and put back by `rollback`. In `set/before.json` stands which environment it
replaced, when and why it was made, and whether it was in use.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from provision.command import program
from provision.core.home import Home
from provision.core.receipt_kinds import ComfyReceipt, TorchReceipt
from provision.core.receipts import Receipts, read_state, write_json
from provision.core.step import Context
from provision.environment.kept_edits import save_the_last
from provision.errors import CommandFailed
from provision.system.disk_errors import unusable

SET_RECEIPTS = ("torch", "requirements", "launch-flags", "first_image", "nodes")
"""The receipts that speak of one generation."""
REVISION = "comfyui"
"""The receipt of the revision that an environment was made for."""
CLONE_TIMEOUT_S = 600
AT_FDCWD = {"linux": -100, "darwin": -2}
NUMBER = re.compile(r"[0-9]{1,9}")
EXCHANGE = 2
"""`RENAME_EXCHANGE` of renameat2(2) on Linux, `RENAME_SWAP` of renameatx_np(2) on macOS."""


@dataclass(frozen=True, slots=True)
class About:
    """`set/before.json`: the number of the environment that this one replaced, when and why it was made.

    `left` is when another took its place; empty for the one in use, and for one that never was.
    """

    name: str | None = None
    made: str = ""
    reason: str = ""
    left: str = ""


@dataclass(frozen=True, slots=True)
class Generation:
    """An environment with what is kept of it."""

    env: Path
    about: About
    torch: TorchReceipt
    comfyui: ComfyReceipt

    @property
    def number(self) -> int:
        return int(self.env.name)

    def says(self) -> str:
        """What it is, in words."""
        names = (f"ComfyUI {self.comfyui.name}" if self.comfyui.name else "", f"torch {self.torch.torch}")
        return ", ".join(filter(None, names))


# -- what is there ----------------------------------------------------------------------------------------------


def active(home: Home) -> Path:
    """The folder of the environment in use, which stays its own when another takes its place."""
    if home.venv != home.own_venv or not home.venv.is_symlink():
        return home.venv
    return Path(os.path.normpath(home.root / home.venv.readlink()))


def python(home: Home) -> Path:
    """The Python of the environment in use, by a path that goes on meaning that environment."""
    return (home.python if home.venv_of_another is not None else active(home) / "bin" / "python").absolute()


def about(env: Path) -> About:
    """What is written down of an environment."""
    return read_state(env / "set" / "before.json", About) or About()


def write_about(env: Path, known: About) -> None:
    """Write down what is known of an environment. Raises HomeError, DiskFull."""
    write_json(env / "set" / "before.json", asdict(known))


def before(home: Home) -> Path | None:
    """The environment that `rollback` would return to; None when there is none."""
    name = about(active(home)).name
    if name is None or not NUMBER.fullmatch(name):
        return None
    found = home.envs / name
    return found if (found / "bin" / "python").exists() else None


def before_says(home: Home) -> str:
    """The environment that `rollback` would return to, in words; empty when there is none."""
    found = before(home)
    if found is None:
        return ""
    kept = left_with(found)
    return f"{kept.says()} ({kept.torch.got}), tested on {kept.torch.when[:10]}"


def read(home: Home, env: Path) -> Generation:
    """An environment with what is known of it: of the one in use the home itself has it."""
    return _read(env, home.receipts) if env == active(home) else left_with(env)


def left_with(env: Path) -> Generation:
    """An environment that is not in use, with what is kept in it."""
    return _read(env, env / "set" / "receipts")


def _read(env: Path, folder: Path) -> Generation:
    receipts = Receipts(folder)
    return Generation(env, about(env), receipts.read("torch", TorchReceipt), receipts.read(REVISION, ComfyReceipt))


def kept(home: Home) -> list[Generation]:
    """The environment in use and all that can be gone back to, the newest first."""
    used = {active(home), before(home)}
    found = [env for env in _numbered(home) if env in used or (about(env).left and (env / "bin" / "python").exists())]
    return [read(home, env) for env in found]


def _numbered(home: Home) -> list[Path]:
    """The environments by number, the last made first; what is not numbered is none of ours."""
    found = [path for path in home.envs.glob("*") if NUMBER.fullmatch(path.name)]
    return sorted(found, key=lambda path: int(path.name), reverse=True)


def inside(ctx: Context, env: Path) -> Context:
    """The same context at work in an environment that is not in use: its Python, its packages, its own receipts."""
    return replace(ctx, home=replace(ctx.home, env=env))


# -- making one -------------------------------------------------------------------------------------------------


def new_folder(home: Home) -> Path:
    """Where the next environment goes; nothing is there yet."""
    last = next(iter(_numbered(home)), None)
    return home.envs / str(int(last.name) + 1 if last else 1)


def begin(ctx: Context) -> Path:
    """A copy of the environment in use that shares its bytes, with the receipts of now.

    Raises HomeError, DiskFull, CommandFailed.
    """
    home = ctx.home
    new, source = new_folder(home), active(home)
    try:
        home.envs.mkdir(exist_ok=True)
        _clone(ctx, source, new)
        shutil.rmtree(new / "set", ignore_errors=True)
        (new / "set").mkdir()
        if home.receipts.is_dir():
            written = [path.stem for path in home.receipts.glob("[!.]*.json")]  # none that is half written
            _copy_receipts(home.receipts, new / "set" / "receipts", written)
    except OSError as error:
        discard(new)
        raise unusable(new, error) from error
    return new


def _clone(ctx: Context, source: Path, new: Path) -> None:
    if ctx.machine.system == "Darwin":
        ran = ctx.machine.run(["/bin/cp", "-cpR", source, new], timeout_s=CLONE_TIMEOUT_S)
        if not ran.ok:
            discard(new)
            raise CommandFailed(f"{source} could not be copied:\n{ran.tail()}", hint=program("df", "-h", "~"))
        return
    shutil.copytree(source, new, symlinks=True, copy_function=_link)


def _link(source: str, destination: str) -> None:
    try:
        os.link(source, destination)
    except OSError:  # a file system without hard links, or another volume
        shutil.copy2(source, destination)


def discard(env: Path) -> None:
    """Remove an environment that is not in use; what a person edited while it was is kept elsewhere."""
    if env.is_symlink():
        env.unlink(missing_ok=True)
    if about(env).left:
        try:
            save_the_last(env)
        except OSError:  # no disk to keep it on: it stays where it is
            return
    shutil.rmtree(env, ignore_errors=True)


# -- changing ---------------------------------------------------------------------------------------------------


def leave(home: Home, when: str) -> None:
    """Keep with the environment in use what speaks of it, for a return. Raises HomeError, DiskFull."""
    kept = active(home) / "set"
    try:
        kept.mkdir(exist_ok=True)
        _copy_receipts(home.receipts, kept / "receipts", (*SET_RECEIPTS, REVISION))
        for path in (home.lock_file, home.first_image):
            _copy(path, kept / path.name)
    except OSError as error:
        raise unusable(kept, error) from error
    write_about(active(home), replace(about(active(home)), left=when))


def enter(home: Home, env: Path, came_from: Path | None) -> None:
    """Put an environment in use in one rename; `came_from` is the one that `rollback` returns to.

    Raises HomeError, DiskFull.
    """
    write_about(env, replace(about(env), name=came_from.name if came_from else None))
    try:
        link = _new_link(home, env)
        link.replace(home.own_venv)
    except OSError as error:
        raise unusable(home.own_venv, error) from error


def restore(home: Home, names: Iterable[str] = SET_RECEIPTS, files: bool = True) -> None:
    """Put back what is kept with the environment in use. Raises HomeError, DiskFull."""
    kept = active(home) / "set"
    try:
        _copy_receipts(kept / "receipts", home.receipts, names)
        for path in (home.lock_file, home.first_image) if files else ():
            _copy(kept / path.name, path)
    except OSError as error:
        raise unusable(home.receipts, error) from error


def keep_last(home: Home, count: int, running: Path | None = None) -> None:
    """Remove all environments but `count` of them, as `left_over` has it."""
    for env in left_over(home, count, running):
        discard(env)


def left_over(home: Home, count: int, running: Path | None = None) -> list[Path]:
    """The environments that go when `count` are kept.

    Never the one in use, the one before it, nor the one that a server is `running` from; always those never in use.
    """
    spared = {os.path.realpath(env) for env in (active(home), before(home), running) if env is not None}
    others = [env for env in _numbered(home) if os.path.realpath(env) not in spared]
    stay = [env for env in others if about(env).left][: max(0, count - len(spared))]
    return [env for env in others if env not in stay]


def move_in(home: Home) -> None:
    """Make the folder `venv`, as homes had before, one of `envs`, without a moment at which there is no `venv`.

    The link and the folder exchange their names at once. Where the system cannot do that there is such a moment, and
    `recover` ends it. Raises HomeError, DiskFull.
    """
    if home.own_venv.is_symlink() or not home.own_venv.is_dir():
        return
    place = new_folder(home)
    try:
        home.envs.mkdir(exist_ok=True)
        place.symlink_to(_link_text(place))
        if not _exchange(place, home.own_venv):
            place.unlink()
            link = _new_link(home, place)
            home.own_venv.rename(place)
            link.replace(home.own_venv)
    except OSError as error:
        raise unusable(home.own_venv, error) from error


def recover(home: Home) -> None:
    """Where `venv` is missing, make it the link that a killed run had made ready, else one to the last in use.

    Raises HomeError.
    """
    waiting = _link_place(home)
    try:
        if os.path.lexists(home.own_venv):
            waiting.unlink(missing_ok=True)
        elif waiting.is_symlink():
            waiting.replace(home.own_venv)
        elif home.adopted is None and (used := [path.parent.parent for path in home.envs.glob("*/set/before.json")]):
            _new_link(home, max(used, key=lambda path: path.stat().st_mtime)).replace(home.own_venv)
    except OSError as error:
        raise unusable(waiting, error) from error


def _new_link(home: Home, env: Path) -> Path:
    link = _link_place(home)
    link.unlink(missing_ok=True)
    link.symlink_to(_link_text(env))
    return link


def _link_text(env: Path) -> Path:
    """What a link named `venv` says of an environment: the home may be moved."""
    return Path("envs") / env.name


def _link_place(home: Home) -> Path:
    return home.root / ".venv.next"


def _exchange(one: Path, other: Path) -> bool:
    """Let two names change what they mean in one step; False where the system cannot."""
    import ctypes

    here = AT_FDCWD.get(os.uname().sysname.lower())
    library = ctypes.CDLL(None)
    function = getattr(library, "renameat2", None) or getattr(library, "renameatx_np", None)
    if function is None or here is None:
        return False
    return bool(function(here, os.fsencode(one), here, os.fsencode(other), EXCHANGE) == 0)


def _copy_receipts(source: Path, destination: Path, names: Iterable[str] = SET_RECEIPTS) -> None:
    destination.mkdir(parents=True, exist_ok=True)
    for name in names:
        _copy(source / f"{name}.json", destination / f"{name}.json")


def _copy(source: Path, destination: Path) -> None:
    """Replace a small file by a copy; where there is no source, there is none afterwards."""
    aside = destination.with_name(f".{destination.name}.{os.getpid()}")
    with suppress(FileNotFoundError):
        shutil.copyfile(source, aside)
        aside.replace(destination)
        return
    destination.unlink(missing_ok=True)
