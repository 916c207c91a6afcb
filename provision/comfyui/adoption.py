"""Which install a home goes by: its own, or one that somebody else made and that it adopted.

What is known of an adopted install (receipts, logs, what was moved aside, an environment of ours) lies in a home, never
in the install. Without `--home` that is the usual home, or, where that one has its own ComfyUI, another beside it
(`~/provision-ComfyUI`). `state/adopted.json` remembers it, from the first command that writes.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from provision.comfyui.foreign_install import (
    Install,
    find_environment,
    find_install,
    install_at,
    is_checkout,
    is_python_of,
    named_environment,
    servers_of,
)
from provision.command import Fix, ours, program
from provision.core.home import Adopted, Home
from provision.core.manifest import CHANNEL
from provision.core.receipts import read_state, write_json
from provision.environment.packages import installed_versions
from provision.errors import HomeError, UsageError
from provision.system.machine import Machine

OWN = "own"
"""`--python own`: an environment that this tool makes, in place of the install's."""
LOOKS_LIKE_A_PATH = ("/", "~", "./", "../")
HOMES_MAX = 99
BUILDERS = frozenset({"all", "plan", "download", "doctor", "launch", "generate", "bench"})
"""Commands that would take a home whose record is damaged for one that is to have a ComfyUI of its own."""


@dataclass(frozen=True, slots=True)
class Asked:
    """`--comfyui` and `--python` as they were typed, `home` where one was named, and the command that asks."""

    command: str
    comfyui: str | None
    python: str | None
    home: Path | None


# -- words --------------------------------------------------------------------------------------------------------


def as_path(text: str | None) -> Path | None:
    """The folder that `--comfyui` names; None for a git revision. Raises UsageError for a folder that looks like one.

    A path begins with `/`, `~` or `.`, or has a `/` in it and is there.
    """
    if text is None:
        return None
    path = Path(text)
    is_path = text in (".", "..") or text.startswith(LOOKS_LIKE_A_PATH) or ("/" in text and path.is_dir())
    if not is_path and is_checkout(path):
        raise UsageError(
            f"{text} is a folder with a ComfyUI in it, but could also be a git revision.",
            hint=Fix(f"If you mean the folder: --comfyui ./{text}"),
        )
    if not is_path:
        return None
    try:
        return path.expanduser().resolve()
    except RuntimeError as error:
        raise UsageError(
            f"{text} does not exist: no such user.", hint=Fix("Use the full path: --comfyui DIR")
        ) from error


# -- what is remembered -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Record:
    """`state/adopted.json`."""

    base: str
    code: str | None = None
    prefix: str | None = None
    python: str | None = None
    may_run: bool = True
    when: str = ""

    def __post_init__(self) -> None:
        given = [path for path in (self.base, self.code, self.prefix, self.python) if path is not None]
        if not all(path.startswith("/") and "\0" not in path for path in given):
            raise ValueError("not a path")


def recorded(root: Path) -> Adopted | None:
    """The install that a home adopted, None where it has its own, or where what was kept of it is not to be believed.

    Its Python is run without a question: it has to be one of the environment that it is said to be of.
    """
    kept = read_state(_record(root), _Record)
    if kept is None:
        return None
    code, prefix, python = (Path(text) if text else None for text in (kept.code, kept.prefix, kept.python))
    if python is not None and (prefix is None or not is_python_of(python, prefix)):
        return None
    return Adopted(Path(kept.base), code, prefix, python)


def remember(home: Home, when: str, *, may_run: bool = True) -> None:
    """Keep which install the home goes by, and whether its Python may be run. Raises HomeError, DiskFull."""
    here = home.adopted
    if here is None or (recorded(home.root) == here and may_be_run(home) == may_run):
        return
    code, prefix, python = (_text(path) for path in (here.code, here.prefix, here.python))
    write_json(_record(home.root), asdict(_Record(str(here.base), code, prefix, python, may_run, when)))


def may_be_run(home: Home) -> bool:
    """Whether a person agreed before that the Python of the install that the home goes by is run."""
    kept = read_state(_record(home.root), _Record)
    return kept is not None and kept.may_run and recorded(home.root) == home.adopted


def words_for(home: Home) -> tuple[str, ...]:
    """What names an adopted install on the command line; nothing where the home has its own."""
    if home.adopted is None:
        return ()
    return ("--home", str(home.root)) if recorded(home.root) is not None else ("--comfyui", str(home.base))


def _record(root: Path) -> Path:
    return root / "state" / "adopted.json"


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)


# -- which home, which install ------------------------------------------------------------------------------------


def home_for(root: Path, asked: Asked, machine: Machine) -> Home:
    """The home at `root` with the install that it goes by, or for an install that is asked for, the home of that one.

    Raises UsageError and HomeError where the words and the disk do not agree; nothing is written.
    """
    path = as_path(asked.comfyui)
    if path is None:
        return _with_recorded(root, asked, machine)
    install = find_install(path, machine)
    _refuse_ours(install, asked)
    root = _home_of(root, install, asked)
    here = recorded(root)
    if here is not None and _goes_by(here, install) and asked.python is None:
        return Home(root, here)
    return _with_python(Home(root, Adopted(install.base, install.code)), install, asked, machine)


def _with_recorded(root: Path, asked: Asked, machine: Machine) -> Home:
    here = recorded(root)
    if here is None:
        if asked.command in BUILDERS:
            _refuse_damaged(root)
        if asked.command != "uninstall":
            _refuse_foreign(root, asked, machine)
        if asked.python is not None:
            raise UsageError(
                "--python only applies to a ComfyUI not made by provision.",
                hint=ours(asked.command, "--comfyui", "DIR", "--python", asked.python),
            )
        return Home(root)
    if asked.comfyui is not None:
        raise UsageError(
            f"{root} uses the ComfyUI in {here.base}, whose revision is never changed.",
            hint=ours(asked.command, "--comfyui", asked.comfyui, "--home", "~/another-home"),
        )
    home = Home(root, here)
    if asked.python is None:
        return home
    return _with_python(home, Install(here.base, here.code), asked, machine)


def _refuse_damaged(root: Path) -> None:
    """A home that went by an install, and cannot tell any more by which: one of its own would be made in silence."""
    if os.path.lexists(_record(root)) and not is_checkout(root / "ComfyUI"):
        raise HomeError(
            f"{_record(root)} cannot be read or is invalid: which ComfyUI {root} uses is unknown.",
            hint=Fix("Pass it again:", ours("all", "--comfyui", "DIR", "--home", str(root))),
        )


def _with_python(home: Home, install: Install, asked: Asked, machine: Machine) -> Home:
    assert home.adopted is not None
    if asked.python == OWN:
        return replace(home, adopted=replace(home.adopted, prefix=None, python=None))
    if asked.python is not None:
        env = named_environment(Path(asked.python).expanduser().absolute(), machine)
        if home.own_venv.exists():
            raise UsageError(
                f"{home.root} has its own environment for this ComfyUI, which is used instead of {env.prefix}.",
                hint=program("mv", str(home.own_venv), f"{home.own_venv}.before"),
            )
    else:
        found = find_environment(install, machine)
        if found is None:
            return home
        env = found
    return replace(home, adopted=replace(home.adopted, prefix=env.prefix, python=env.python))


def _refuse_ours(install: Install, asked: Asked) -> None:
    """A folder of one of our own homes is no install of somebody else's."""
    for parent in (install.base, install.base.parent):
        if (parent / "state" / "receipts").is_dir() or (parent / "state" / "lock").exists():
            raise UsageError(
                f"{install.base} belongs to {parent}, an install folder of provision.",
                hint=ours(asked.command, "--home", str(parent)),
            )


def _refuse_foreign(root: Path, asked: Asked, machine: Machine) -> None:
    """`--home` at an install of somebody else's: its parts would be taken for ours."""
    if (root / "state").is_dir() or (root / "logs").is_dir():
        return
    found = next((here for each in (root, root / "ComfyUI") if (here := install_at(each, machine)) is not None), None)
    if found is None:
        return
    command = asked.command if asked.command in ("all", "plan", "doctor") else "doctor"
    raise UsageError(
        f"{found.base} is a ComfyUI not made by provision, not an install folder.",
        hint=ours(command, "--comfyui", str(found.base)),
    )


def _home_of(root: Path, install: Install, asked: Asked) -> Path:
    """The home named, where it is free or this install's; else the first such beside the usual one."""
    if asked.home is not None:
        if not _is_for(root, install):
            here = recorded(root)
            what = f"uses the ComfyUI in {here.base}" if here is not None else "has its own ComfyUI"
            beside = root.with_name(f"{root.name}-{install.base.name}")
            hint = ours(asked.command, "--comfyui", str(install.base), "--home", str(beside))
            raise HomeError(f"{root} {what}.", hint=hint)
        home = root
    else:
        name = install.base.name or "ComfyUI"
        names = [root.name, *(f"{root.name}-{name}{f'-{n}' if n > 1 else ''}" for n in range(1, HOMES_MAX))]
        homes = [root.with_name(each) for each in names]
        free = next(each for each in homes if _is_for(each, install))
        home = next((each for each in homes if _goes_by(recorded(each), install)), free)
    for one, other in ((home, install.base), (install.base, home)):
        if one.resolve().is_relative_to(other.resolve()):
            raise UsageError(
                f"--home {home} and --comfyui {install.base} cannot be inside each other.",
                hint=Fix("Choose a folder outside of it: --home DIR"),
            )
    return home


def _goes_by(here: Adopted | None, install: Install) -> bool:
    return here is not None and (here.base, here.code) == (install.base, install.code)


def _is_for(root: Path, install: Install) -> bool:
    """Whether a home goes by this install, or by none yet; one whose install is gone may go by another."""
    here = recorded(root)
    if here is not None:
        return _goes_by(here, install) or not here.base.exists()
    receipts = root / "state" / "receipts"
    made = receipts.is_dir() and any(receipts.iterdir())
    return not (made or (root / "ComfyUI").exists() or (root / "venv").exists())


# -- what follows from it -----------------------------------------------------------------------------------------


def overrides_for(home: Home, given: list[str], machine: Machine) -> list[str]:
    """What the manifest takes from an adopted install unless it is `given`: the torch that is there, the port of a
    server that its owner started. Raises UsageError for a revision that is asked for by `--set`.
    """
    if home.adopted is None:
        return []
    keys = {each.partition("=")[0] for each in given}
    if "comfyui.ref" in keys and home.code_of_another is not None:
        raise UsageError(
            f"{home.root} uses the ComfyUI in {home.base}, whose revision is never changed.",
            hint=Fix("Remove comfyui.ref, or use another --home."),
        )
    found: Mapping[str, str] = {"torch.channel": _torch_here(home), "comfyui.port": _port_of_owner(home, machine)}
    return [f"{key}={value}" for key, value in found.items() if value and key not in keys]


@dataclass(frozen=True, slots=True)
class _Pid:
    """What is read here of the record of our own server."""

    pid: int = 0


def _torch_here(home: Home) -> str:
    version = installed_versions(home.venv).get("torch", "").partition("+")[0]
    return version if CHANNEL.fullmatch(version) else ""


def _port_of_owner(home: Home, machine: Machine) -> str:
    code = home.code_of_another
    ours = (read_state(home.state / "server.json", _Pid) or _Pid()).pid
    theirs = [each for each in servers_of(machine, code) if each.pid != ours] if code is not None else []
    return str(theirs[0].port) if theirs else ""
