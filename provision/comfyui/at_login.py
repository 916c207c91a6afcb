"""Whether ComfyUI starts when the person logs in: the item that does it, and items whose home is gone.

The item runs `launch --wait`, which starts the server as `launch` does and watches it, so that status, stop and doctor
know it, and an update or a rollback finds its environment anew each time.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import ModuleType

from provision.comfyui.desktop import person
from provision.core.home import Home
from provision.core.ownership import is_home, read_marker
from provision.core.receipts import write_bytes
from provision.errors import ProvisionError
from provision.system import launchd, systemd
from provision.system.disk_errors import unusable
from provision.system.login_item import PREFIX, LoginItem
from provision.system.machine import Machine
from provision.system.strict import Unreadable, read_file

CALLED_AS = "PROVISION_CALLED_AS"
"""What `bin/provision` was called as (see `output/hints.py`)."""
LOG = "login.log"


def login_log(home: Home) -> Path:
    """What the item says."""
    return home.logs / LOG


def wanted(home: Home, machine: Machine) -> LoginItem:
    """The item that starts this home by the program that runs now."""
    marker, root = read_marker(home.root), str(home.root.resolve())
    return LoginItem(
        own_program(machine.environ),
        ("launch", "--wait", "--plain", "--home", root),
        root,
        marker.id if marker is not None else "",
        str(login_log(home)),
        machine.environ.get("PATH", os.defpath),
    )


def own_program(environ: Mapping[str, str]) -> tuple[str, ...]:
    """The words that call this tool from anywhere: a path that stays when it is updated, else its Python."""
    given = environ.get(CALLED_AS) or sys.argv[0]
    found = shutil.which(given, path=environ.get("PATH"))
    if found is None or Path(given).name == "__main__.py":
        return (sys.executable, "-m", "provision")
    return (str(Path(found).absolute()),)


def items(machine: Machine) -> list[LoginItem]:
    """All items of this tool that the person has."""
    kept = _kept_by(machine)
    found = []
    for file in sorted(kept.folder(person(machine.environ)).glob(f"{PREFIX}*{kept.SUFFIX}")):
        with suppress(OSError, Unreadable):
            if (item := kept.read(read_file(file))) is not None and file.name == f"{item.name}{kept.SUFFIX}":
                found.append(item)
    return found


def item_of(home: Home, machine: Machine) -> LoginItem | None:
    """The item that starts this home; None where none does."""
    return next((item for item in items(machine) if item.home == str(home.root.resolve())), None)


def why_stale(item: LoginItem, home: Home, machine: Machine) -> str:
    """Why an item does not start this home as it should, as a sentence; empty where it does."""
    kept, here = _kept_by(machine), wanted(home, machine)
    if not item.is_runnable:
        return f"It runs {item.program[0] if item.program else 'nothing'}, which does not exist."
    with suppress(OSError, Unreadable):
        if read_file(_file(item, machine)) == kept.written(replace(here, program=item.program, path=item.path)):
            return ""
    return "It was written by another version of provision."


def left_behind(machine: Machine) -> list[LoginItem]:
    """The items whose home is gone, or was moved."""
    return [item for item in items(machine) if not is_home(Path(item.home))]


def install(home: Home, machine: Machine) -> LoginItem:
    """Write the item of this home, and start it. Raises CommandFailed, CommandMissing, HomeError, DiskFull."""
    item = wanted(home, machine)
    file = _file(item, machine)
    write_bytes(file, _kept_by(machine).written(item))
    try:
        _kept_by(machine).begin(machine, item, file)
    except ProvisionError:
        remove(item, machine)
        raise
    return item


def remove(item: LoginItem, machine: Machine) -> None:
    """Undo it: ComfyUI goes on running. Raises HomeError, CommandMissing, Interrupted."""
    kept = _kept_by(machine)
    file = _file(item, machine)
    try:
        kept.end(machine, item, file)
    except OSError as error:
        raise unusable(file, error) from error


def _file(item: LoginItem, machine: Machine) -> Path:
    kept = _kept_by(machine)
    return Path(kept.folder(person(machine.environ))) / f"{item.name}{kept.SUFFIX}"


def _kept_by(machine: Machine) -> ModuleType:
    return launchd if machine.system == "Darwin" else systemd
