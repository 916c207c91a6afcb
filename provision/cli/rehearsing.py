"""Whether a command is a rehearsal, and the embedded world that it then has."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

from provision.cli.request import Request
from provision.command import Fix, ours
from provision.core.home import Home
from provision.errors import DiskFull, HomeError, HomeLocked, UsageError
from provision.system.machine import Machine

if TYPE_CHECKING:
    from provision.rehearsal.world import World


def check_rehearsal(request: Request, home: Home) -> bool:
    """Whether the command is to be served the world of its home. Nothing is written.

    Raises UsageError where a rehearsal would touch what is real, or what is real a rehearsal.
    """
    from provision.rehearsal.home_marker import is_miniature, is_rehearsal

    code = home.code_of_another
    if request.rehearse and home.adopted is not None and (code is None or not is_miniature(code)):
        raise UsageError(
            f"The ComfyUI in {home.base} is a real one; a rehearsal must not touch it.",
            hint=ours("plan", "--comfyui", str(home.base)),
        )
    rehearsed = is_rehearsal(home)
    if rehearsed and not request.rehearse and request.command in ("all", "plan", "download"):
        raise UsageError(
            f"{home.root} is the home of a rehearsal; nothing real belongs there.",
            hint=Fix("Or add --rehearse:", ours(request.command, "--home", "~/provision")),
        )
    if request.rehearse and not rehearsed and _has_receipts(home):
        raise UsageError(
            f"{home.root} is a real home; a rehearsal must not touch it.",
            hint=ours("all", "--rehearse", "--home", "DIR"),
        )
    return request.rehearse or (rehearsed and request.command == "doctor")


def _has_receipts(home: Home) -> bool:
    receipts = home.state / "receipts"
    return receipts.is_dir() and any(receipts.iterdir())


def enter_world(stack: ExitStack, request: Request, home: Home, machine: Machine) -> World | None:
    """The world of a rehearsal's home, which the doctor brings up again by itself: what is mended comes from it.

    None for a doctor where another command serves it now, or where it cannot be written: it looks without.
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


def keys_of_world(home: Home, world: World | None) -> list[str]:
    """What a rehearsal decides of the manifest, as `--set` has it: of the world that is served, or that made the home.

    Nothing for what is real.
    """
    from provision.rehearsal.home_marker import recorded_overrides

    return world.overrides if world is not None else recorded_overrides(home)
