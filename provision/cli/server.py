"""Start the server for a command that needs it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from provision.cli.command import Session
from provision.comfyui.server_process import START_TIMEOUT_S
from provision.command import ours
from provision.core.events import Event
from provision.core.runner import run
from provision.core.step import Report
from provision.errors import ConsentNeeded, EngineError, HomeLocked
from provision.output.result import Result, ran

LOOK_S = 0.3
"""Seconds between two looks while another command holds the home."""


@dataclass(frozen=True, slots=True)
class Up:
    """ComfyUI's page; `lan_url` is its address for other devices, where it is open to them."""

    url: str
    lan_url: str | None = None


def bring_up(at: Session) -> Result:
    """Start the server, unless it is up. Raises EngineError, HomeError, ConsentNeeded."""
    from provision.steps.tools.git import lost_git

    if not at.ctx.home.python.exists() or not (at.ctx.home.comfyui / "main.py").exists():
        raise EngineError(f"ComfyUI is not installed in {at.ctx.home.root}.", hint=ours("all"))
    if (lack := lost_git(at.ctx)) is not None:
        fix = lack.fix.command if lack.fix is not None else None
        at.ctx.note(f"{lack.says} [{lack.id}] ComfyUI runs without git; it cannot be checked or updated.", fix)
    report = _look(at)
    if not report.ok and not at.ctx.options.may_run:
        raise ConsentNeeded(
            f"{at.ctx.home.python} was not installed by provision, and running it needs your consent.",
            hint=ours("all", "--python", str(at.ctx.home.python)),
        )
    if not report.ok:
        report = _start(at)
    page = at.ctx.manifest.comfyui.page
    closing = f"ComfyUI: {page}" if report.ok else "ComfyUI is not running."
    return ran(report, Up(page), closing)


def _look(at: Session) -> Report:
    """Check the server without locking the home; events are shown only where it is up."""
    from provision.steps.server.step import SERVER

    heard: list[Event] = []
    report = run((SERVER,), replace(at.ctx, emit=heard.append), apply=False)
    for event in heard if report.ok else ():
        at.ctx.emit(event)
    return report


def _start(at: Session) -> Report:
    """Start the server, or wait for another command that may be starting it. Raises HomeLocked."""
    from provision.cli.session import hold_home
    from provision.steps.server.step import SERVER

    machine, told = at.ctx.machine, False
    deadline = machine.clock() + START_TIMEOUT_S
    while True:
        try:
            with hold_home(at):
                return run((SERVER,), at.ctx, apply=True)
        except HomeLocked as error:
            if machine.clock() > deadline:
                raise
            if not told:
                at.ctx.note(f"{error.sentence} Waiting until it finishes, or ComfyUI answers.")
            told = True
        machine.sleep(LOOK_S)
        if (report := _look(at)).ok:
            return report
