"""`provision status`: what is installed and running, at a glance."""

from __future__ import annotations

from typing import Annotated

from typer import Option

from provision.cli.command import Session, command
from provision.cli.request import USUAL
from provision.output.result import Result

WATCH_S = 1.0


def status(
    at: Session, *, watch: Annotated[bool, Option("--watch", help="Follow the run in progress until it ends.")] = False
) -> Result:
    """All of it; satisfied when the server is up."""
    from provision.cli.commands.overview import overview
    from provision.cli.look import taking_long

    if watch:
        follow(at)
    with taking_long(at.console, "status", "asking ComfyUI and adding up the disk"):
        return overview(at)


def follow(at: Session) -> None:
    """Show the run in progress, whenever something has changed in it, until it is over."""
    from dataclasses import replace

    from provision.cli.run_in_progress import run_in_progress
    from provision.core.events import RunSeen
    from provision.output.views import run_text

    seen, started = None, at.ctx.machine.clock()
    while (run := run_in_progress(at.ctx.home, at.ctx.machine)) is not None:
        if run != (seen and seen.in_progress):
            seconds = at.ctx.machine.clock() - started
            seen = RunSeen(step=run.command, says=run_text(run), seconds=seconds, in_progress=run)
            at.ctx.emit(seen)
        at.ctx.machine.sleep(WATCH_S)
    if seen is not None:
        at.ctx.emit(replace(seen, over=True))


app = command("status", status, USUAL)
