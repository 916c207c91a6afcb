"""Which home a command works in: `--home`, PROVISION_HOME, or the usual one, and the install that it goes by."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from provision.cli.request import Request
from provision.comfyui.adoption import Asked, home_for
from provision.command import ours
from provision.core.home import Home, full_path
from provision.errors import HomeError
from provision.output.hints import REHEARSAL_HOME
from provision.system.machine import Machine


def choose_home(request: Request, machine: Machine) -> Home:
    """The home, and the install that it goes by. Raises HomeError, UsageError; nothing is written."""
    named = _named(request, machine.environ)
    usual = _usual(request, named)
    usual.check_usable()
    home = home_for(usual.root, Asked(request.command, request.comfyui, request.python, named), machine)
    if home.root != usual.root:
        home.check_usable()
    return home


def _named(request: Request, environ: Mapping[str, str]) -> Path | None:
    given = environ.get("PROVISION_HOME")
    return request.home or (Path(given) if given else None)


def _usual(request: Request, named: Path | None) -> Home:
    """`~/provision` where none is named; a rehearsal has its own."""
    if request.to is not None and request.home is None:  # on the disk of the file itself, so that a rename can place it
        return Home(full_path(request.to) / ".provision")
    given = named or Path(REHEARSAL_HOME if request.rehearse else "~/provision")
    try:
        return Home(full_path(given))
    except RuntimeError as error:
        raise HomeError(
            f"The home {given} is in the folder of a person who is not known here.",
            hint=ours("all", "--home", "~/provision"),
        ) from error
