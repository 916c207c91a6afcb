"""A ComfyUI that this tool did not make: where its parts lie, found by looking; nothing is written.

A checkout is known by its files, with or without .git. Comfy Desktop has its installs in folders of their own, the app
before it models and Python in one folder and the code in itself (see `desktop`); comfy-cli makes a plain checkout with
.venv in it, Stability Matrix one below Data/Packages with venv in it.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from provision.comfyui.desktop import APP_CODE, managed_installs
from provision.command import Fix, ours, program
from provision.environment.packages import env_kind, installed_versions
from provision.errors import CommandMissing, UsageError
from provision.system.machine import Machine
from provision.system.processes import Running

SOURCES = ("main.py", "nodes.py", "folder_paths.py", "comfyui_version.py", "comfy")
"""Of these a checkout has at least three, also one that has lost files."""
DESKTOP = ("models", "user", "custom_nodes")
PACKAGES = ("Data/Packages", "Packages")
VENVS = ("venv", ".venv", "env")
PYTHON = re.compile(r"python3?(\.\d+)?")
NAME_PYTHON = Fix("Name the program: --python FOLDER/bin/python")
DEFAULT_PORT = 8188
PREFIX = "import sys; print(sys.prefix)"


@dataclass(frozen=True, slots=True)
class Install:
    """A ComfyUI as it was found: `base` holds models and pictures, `code` main.py (None: the app is not here)."""

    base: Path
    code: Path | None

    @property
    def folder(self) -> Path:
        """How it is named."""
        return self.base


@dataclass(frozen=True, slots=True)
class Environment:
    """A Python, and the folder of what is installed for it."""

    prefix: Path
    python: Path


@dataclass(frozen=True, slots=True)
class Serving:
    """A server that runs from an install."""

    pid: int
    port: int
    process: Running


# -- ComfyUI ------------------------------------------------------------------------------------------------------


def find_install(asked: Path, machine: Machine) -> Install:
    """The one ComfyUI at a path: a checkout, the folder that holds it, a folder of the desktop app.

    Raises UsageError where there is none, or more than one.
    """
    folder = asked.parent if asked.name == "main.py" and asked.is_file() else asked
    if not folder.is_dir():
        raise UsageError(f"There is no folder {asked}.", hint=program("ls", "-d", "~/ComfyUI", "~/*/ComfyUI"))
    here = install_at(folder, machine)
    inner = [] if here is not None else [install_at(code, machine) for code in _below(folder)]
    found = [each for each in (here, *inner) if each is not None]
    if not found:
        raise UsageError(
            f"There is no ComfyUI in {asked}: a checkout has main.py, nodes.py and comfy/ in it.",
            hint=Fix("Name the folder in which main.py lies, or leave --comfyui out to have one made:", ours("all")),
        )
    if len(found) > 1:
        names = ", ".join(str(each.folder) for each in found)
        raise UsageError(
            f"There are {len(found)} ComfyUI in {asked}: {names}.",
            hint=ours("doctor", "--comfyui", str(found[0].folder)),
        )
    return found[0]


def is_checkout(folder: Path) -> bool:
    """Whether ComfyUI's own source lies there."""
    return sum((folder / name).exists() for name in SOURCES) >= 3


def install_at(folder: Path, machine: Machine) -> Install | None:
    """The ComfyUI of exactly that folder: a checkout, or what the desktop app keeps there."""
    is_code = is_checkout(folder)
    if not is_code and (not all((folder / name).is_dir() for name in DESKTOP) or _below(folder)):
        return None
    managed = managed_installs(machine.environ)  # another program's: not read before there is a reason
    if is_code:
        return Install(next((each.base for each in managed if each.code == folder), folder), folder)
    taken_over = next((each.code for each in managed if each.base == folder and is_checkout(each.code)), None)
    return Install(folder, taken_over or _app_code(machine))


def _below(folder: Path) -> list[Path]:
    with suppress(OSError):
        parents = [parent for parent in (folder, *(folder / name for name in PACKAGES)) if parent.is_dir()]
        inner = [each for parent in parents for each in sorted(parent.iterdir())]
        inner += [each / "ComfyUI" for each in inner if (each / "standalone-env").is_dir()]
        return [each for each in inner if is_checkout(each)]
    return []


def _app_code(machine: Machine) -> Path | None:
    """The code of the desktop app, which it keeps in itself."""
    person = Path(machine.environ.get("HOME", "/"))
    places = (Path("/Applications") / APP_CODE, person / "Applications" / APP_CODE)
    return next((place for place in places if is_checkout(place)), None)


# -- the server that runs from it ---------------------------------------------------------------------------------


def servers_of(machine: Machine, code: Path) -> list[Serving]:
    """The servers that run this checkout's main.py, however they were started."""
    main = (code / "main.py").resolve()
    return [Serving(seen.pid, port_of(seen.argv), seen) for seen in machine.running("main.py") if _runs(seen, main)]


def _runs(seen: Running, main: Path) -> bool:
    return any(Path(word).name == "main.py" and seen.path(word).resolve() == main for word in seen.argv[1:5])


def port_of(argv: Iterable[str]) -> int:
    """The port that a command line of ComfyUI names."""
    words = list(argv)
    for place, word in enumerate(words):
        text = word.removeprefix("--port=") if word.startswith("--port=") else ""
        if word == "--port" and place + 1 < len(words):
            text = words[place + 1]
        if text.isdigit():
            return int(text)
    return DEFAULT_PORT


# -- its Python ---------------------------------------------------------------------------------------------------


def find_environment(install: Install, machine: Machine) -> Environment | None:
    """The Python that an install runs with; None where nothing tells.

    In this order: an environment in its folder, that of the server that runs from it, one beside it that has torch,
    the one that is active in the shell, a Python on PATH that has torch. One in its folder that has lost its Python
    counts when there is no other.
    """
    within = [place for place in _within(install) if env_kind(place) != "system"]
    found = next((env for place in within if (env := environment_in(place)) is not None), None)
    if found is None and install.code is not None:
        servers = servers_of(machine, install.code)
        found = next((env for each in servers if (env := _of_server(each.process)) is not None), None)
    if found is not None:
        return found
    beside = [install.base.parent / name for name in VENVS]
    with_torch = [place for place in beside if env_kind(place) != "system" and "torch" in installed_versions(place)]
    found = next((env for place in with_torch if (env := environment_in(place)) is not None), None)
    found = found or _active(machine.environ) or _on_path(machine)
    return found or next((Environment(place, place / "bin" / "python") for place in within), None)


def _within(install: Install) -> Iterator[Path]:
    folders = [install.base] if install.code is None else [install.code, install.base]
    for folder in dict.fromkeys(folders):
        yield from (folder / name for name in VENVS)


def environment_in(prefix: Path) -> Environment | None:
    """The environment of a folder, None where its Python is not there."""
    pythons = (prefix / "bin" / name for name in ("python", "python3"))
    return next((Environment(prefix, python) for python in pythons if python.exists()), None)


def _of_server(server: Running) -> Environment | None:
    """A bare `python` says nothing; what was active in its shell does. macOS names the framework's Python instead."""
    word = server.argv[0]
    started = [server.path(word).parent.parent] if "/" in word else []
    for prefix in (*started, *server.active):
        if env_kind(prefix) != "system" and (env := environment_in(prefix)) is not None:
            return env
    return None


def _active(environ: Mapping[str, str]) -> Environment | None:
    """The environment that the shell has active; conda's base, which always is, only where torch is in it."""
    for name in ("VIRTUAL_ENV", "CONDA_PREFIX"):
        prefix = Path(environ.get(name) or "/nowhere")
        usual = name == "CONDA_PREFIX" and environ.get("CONDA_DEFAULT_ENV") == "base"
        if prefix == Path(sys.prefix) or (usual and "torch" not in installed_versions(prefix)):
            continue
        if (env := environment_in(prefix)) is not None:
            return env
    return None


def _on_path(machine: Machine) -> Environment | None:
    """A Python of the system that has torch. Apple's own stub is not run: without its tools it opens a dialog."""
    python = machine.which("python3")
    if python is None or (machine.system == "Darwin" and python == Path("/usr/bin/python3")):
        return None
    if python.is_relative_to(sys.prefix):
        return None
    env = _environment_of(python, machine)
    return env if env is not None and "torch" in installed_versions(env.prefix) else None


def named_environment(asked: Path, machine: Machine) -> Environment:
    """The environment that a person names, by its folder or by its Python. Raises UsageError."""
    if asked.is_dir():
        env = environment_in(asked)
        if env is None:
            raise UsageError(f"There is no Python in {asked}/bin.", hint=NAME_PYTHON)
        python = env.python
    else:
        python = asked
    if not os.access(python, os.X_OK):
        raise UsageError(f"There is no program {python}.", hint=NAME_PYTHON)
    found = _environment_of(python, machine)
    if found is None:
        raise UsageError(
            f"{python} does not run as a Python does.", hint=Fix("Take one that this tool makes: --python own")
        )
    return found


def _environment_of(python: Path, machine: Machine) -> Environment | None:
    try:
        ran = machine.run([python, "-I", "-B", "-c", PREFIX], timeout_s=30)
    except CommandMissing:
        return None
    prefix = Path(ran.out.strip()) if ran.ok and ran.out.strip() else None
    if prefix is None or not prefix.is_dir():
        return None
    return Environment(prefix, python) if is_python_of(python, prefix) else environment_in(prefix)


def is_python_of(python: Path, prefix: Path) -> bool:
    """Whether a program is called as Pythons are, and lies in the environment or has a namesake there."""
    at, there = Path(os.path.normpath(python)), Path(os.path.normpath(prefix))
    named = PYTHON.fullmatch(at.name) is not None
    return named and (at.is_relative_to(there) or os.path.exists(there / "bin" / at.name))  # noqa: PTH110
