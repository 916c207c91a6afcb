"""Which home a command works in, and whether that is a rehearsal's, with the embedded world that it then has."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from provision.cli.request import Request
from provision.comfyui.adoption import Asked, home_for
from provision.command import Fix, ours
from provision.core.home import Home, full_path
from provision.errors import DiskFull, HomeError, HomeLocked, UsageError
from provision.output.hints import REHEARSAL_HOME
from provision.rehearsal.home_marker import is_miniature, is_rehearsal
from provision.system.machine import Machine

if TYPE_CHECKING:
    from provision.rehearsal.world import World


def check_person(command: str, environ: Mapping[str, str]) -> None:
    """Refuse sudo in the folder of a person, where macOS's leaves HOME; who really is root is welcome.

    Raises UsageError.
    """
    if os.geteuid() != 0 or environ.get("SUDO_UID", "0") == "0":
        return
    person = Path(environ.get("HOME", "/"))
    with suppress(OSError):
        if person.stat().st_uid == 0:
            return
    raise UsageError(
        f"This runs as root in {person}: the files it makes would belong to root.",
        hint=Fix("It needs no sudo:", ours(command)),
    )


def choose_home(request: Request, machine: Machine) -> Home:
    """The home, from `--home`, PROVISION_HOME or the default, and its ComfyUI. Writes nothing.

    Raises HomeError, UsageError.
    """
    given = machine.environ.get("PROVISION_HOME")
    named = request.home or (Path(given) if given else None)
    usual = _usual(request, named)
    usual.check_usable()
    home = home_for(usual.root, Asked(request.command, request.comfyui, request.python, named), machine)
    if home.root != usual.root:
        home.check_usable()
    return home


def _usual(request: Request, named: Path | None) -> Home:
    if request.to is not None and request.home is None:  # on the disk of the file itself, so that a rename can place it
        return Home(full_path(request.to) / ".provision")
    given = named or Path(REHEARSAL_HOME if request.rehearse else "~/provision")
    try:
        return Home(full_path(given))
    except RuntimeError as error:
        raise HomeError(
            f"--home {given}: no such user.",
            hint=ours("all", "--home", "~/provision"),
        ) from error


def check_rehearsal(request: Request, home: Home) -> bool:
    """Whether the command uses the embedded world of its home. Writes nothing.

    Raises UsageError where a rehearsal would touch what is real, or the other way round.
    """
    code = home.code_of_another
    if request.rehearse and home.adopted is not None and (code is None or not is_miniature(code)):
        raise UsageError(
            f"The ComfyUI in {home.base} is real; a rehearsal must not change it.",
            hint=ours("plan", "--comfyui", str(home.base)),
        )
    rehearsed = is_rehearsal(home)
    if rehearsed and not request.rehearse and request.command in ("all", "plan", "download"):
        raise UsageError(
            f"{home.root} is a rehearsal's install folder; nothing real belongs there.",
            hint=Fix("For the rehearsal, add --rehearse; for real:", ours(request.command, "--home", "~/provision")),
        )
    has_receipts = home.receipts.is_dir() and any(home.receipts.iterdir())
    if request.rehearse and not rehearsed and has_receipts:
        raise UsageError(
            f"{home.root} is a real install folder; a rehearsal must not change it.",
            hint=ours("all", "--rehearse", "--home", "DIR"),
        )
    return request.rehearse or (rehearsed and request.command in ("doctor", "update", "nodes", "bundle"))


def enter_world(stack: ExitStack, request: Request, home: Home, machine: Machine) -> World | None:
    """Serve the world of a rehearsal's home, also for what mends or updates from it.

    None for these where another command serves it, or where it cannot be written.
    """
    from provision.rehearsal.world import rehearsal

    if request.rehearse:
        home.prepare()
    try:
        return stack.enter_context(rehearsal(home, machine, request.command))
    except (HomeLocked, HomeError, DiskFull):
        if request.rehearse:
            raise
        return None
