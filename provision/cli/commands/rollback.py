"""`provision rollback`: an earlier generation, with its ComfyUI, torch, packages, receipts, lock and image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from typer import Argument

from provision.cli.command import Session, command
from provision.cli.request import USUAL
from provision.command import Fix, ours
from provision.errors import UsageError
from provision.output.result import Nothing, Result, answer, ran, why

if TYPE_CHECKING:
    from provision.core.home import Home
    from provision.core.step import Context
    from provision.environment.generations import Generation


@dataclass(frozen=True, slots=True)
class RolledBack:
    """The versions of torch before and now; the generation that is in use, and its ComfyUI."""

    before: str
    now: str
    generation: int
    comfyui: str


def rollback(
    at: Session,
    *,
    number: Annotated[
        int | None, Argument(metavar="N", help="Which generation, by `provision history` (default: the one before).")
    ] = None,
) -> Result:
    """Return to a generation, without a network; the one that is left is kept, and `rollback` returns to it.

    Restarts a running server. Not satisfied where there is none. Raises UsageError, GitError, HomeError, DiskFull,
    HomeLocked.
    """
    from dataclasses import replace

    from provision.cli.chosen import told_changes
    from provision.cli.session import hold_home
    from provision.comfyui.server_process import our_process, stop_server
    from provision.core.runner import run
    from provision.environment import generations
    from provision.steps.server.step import SERVER

    ctx, home = at.ctx, at.ctx.home
    if not home.state.is_dir() or (number is None and generations.before(home) is None):
        says = f"There is nothing to go back to: {at.home_shown} keeps no earlier generation."
        return answer(Nothing(), says, error=why("nothing_to_roll_back", Fix(says)))
    with hold_home(at):
        left, to = generations.read(home, generations.active(home)), _chosen(home, number)
        running = our_process(ctx) is not None
        if running:
            stop_server(ctx)
        with told_changes(ctx):
            _switch(ctx, to)
        torch = replace(ctx.manifest.torch, channel=to.torch.wanted or "nightly")
        comfy = replace(ctx.manifest.comfyui, ref=to.comfyui.ref or ctx.manifest.comfyui.ref)
        ctx = replace(ctx, manifest=replace(ctx.manifest, torch=torch, comfyui=comfy))
        facts = RolledBack(left.torch.torch, to.torch.torch, to.number, to.comfyui.name)
        ctx.note(f"{to.says()} is in use again; {left.says()} is kept. Back to it:", ours("rollback"))
        if not running:
            return answer(facts, Fix("Nothing was downloaded. To start ComfyUI:", ours("launch")), changed=True)
        report = run((SERVER,), ctx, apply=True)
        closing = f"ComfyUI: {ctx.manifest.comfyui.page}" if report.ok else "ComfyUI is not running."
        return replace(ran(report, facts, closing), changed=True)


def _switch(ctx: Context, to: Generation) -> None:
    """Put it in use, and say where what does not go with it is kept."""
    from provision.comfyui.switching import switch, take_along

    home = ctx.home
    if (kept := take_along(home, to.env)) is not None:
        ctx.note(f"Your changes to ComfyUI do not go back with it: they are kept in {home.shown(kept)}.")
    if (database := switch(home, to.env, ctx.machine.timestamp())) is not None:
        says = f"ComfyUI {to.comfyui.name} cannot use the newer database: it is kept in {home.shown(database)}."
        ctx.note(says)


def _chosen(home: Home, number: int | None) -> Generation:
    """The generation to go back to. Raises UsageError."""
    from provision.environment import generations

    active, before = generations.active(home), generations.before(home)
    for each in generations.kept(home):
        if each.env != active and (each.number == number if number is not None else each.env == before):
            return each
    raise UsageError(f"No generation {number} to return to.", hint=ours("history"))


app = command("rollback", rollback, USUAL)
