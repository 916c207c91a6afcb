"""`provision rollback`: the environment before the last change of torch again, with its receipts, lock and picture."""

from __future__ import annotations

from provision.cli.command import Session, command
from provision.comfyui import fallback_flags
from provision.comfyui.server_process import our_process
from provision.command import Fix, ours
from provision.core.finding import JSON
from provision.core.receipt_kinds import TorchReceipt
from provision.core.runner import run
from provision.core.step import Context
from provision.environment import generations
from provision.environment.packages import torch_version
from provision.output.result import Result, answer, ran


def rollback(at: Session) -> Result:
    """Return to the set before; what is left is kept, so that another `rollback` comes back to it.

    Needs no network. A server that runs is started again on the set. Not satisfied where there is none to go back to.
    Raises HomeError, DiskFull, HomeLocked.
    """
    from provision.cli.chosen import go_by_torch
    from provision.cli.session import hold_home

    ctx, home = at.ctx, at.ctx.home
    if not home.state.is_dir() or generations.before(home) is None:
        says = f"There is nothing to go back to: {home.root} keeps no set from before a change of torch."
        return answer({}, says, ok=False)
    with hold_home(at):
        left, running = torch_version(ctx.home.venv), our_process(ctx) is not None
        go_back(ctx)
        ctx = go_by_torch(ctx, ctx.receipts.read("torch", TorchReceipt).wanted or "nightly")
        now = torch_version(ctx.home.venv)
        facts: dict[str, JSON] = {"command": "rollback", "from": left, "to": now, "changed": True}
        ctx.note(f"torch {now} is in use again; torch {left} is kept. Back to it:", ours("rollback"))
        if running:
            return _start_again(ctx, facts)
        return answer(facts, Fix("Nothing was downloaded. To start ComfyUI:", ours("launch")))


def go_back(ctx: Context) -> None:
    """Put the environment before in use, and all that speaks of it. Raises HomeError, DiskFull."""
    home = ctx.home
    target, current = generations.before(home), generations.active(home)
    assert target is not None
    generations.leave(home)
    generations.enter(home, target, current)
    generations.restore(home)
    for name in (fallback_flags.WISH, fallback_flags.TRIED):  # of another torch than a person now chose
        ctx.receipts.drop(name)


def _start_again(ctx: Context, facts: dict[str, JSON]) -> Result:
    from provision.steps.server.step import SERVER

    report = run((SERVER,), ctx, apply=True)
    closing = f"ComfyUI: {ctx.manifest.comfyui.page}" if report.ok else "ComfyUI is not up."
    return ran(report, facts, closing)


app = command("rollback", rollback, frozenset({"home", "manifest", "overrides", "json", "verbose"}))
