"""`provision rollback`: the environment from before the last change of torch, with its receipts, lock and image."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from provision.cli.command import Session, command
from provision.command import Fix, ours
from provision.output.result import Nothing, Result, answer, ran, why

if TYPE_CHECKING:
    from provision.core.step import Context


@dataclass(frozen=True, slots=True)
class RolledBack:
    """The versions of torch before and now."""

    before: str | None
    now: str | None


def rollback(at: Session) -> Result:
    """Return to the set before, without a network; the one that is left is kept, and `rollback` returns to it.

    Restarts a running server. Not satisfied where no earlier set is kept. Raises HomeError, DiskFull, HomeLocked.
    """
    from provision.cli.chosen import go_by_torch
    from provision.cli.session import hold_home
    from provision.comfyui.server_process import our_process
    from provision.core.receipt_kinds import TorchReceipt
    from provision.core.runner import run
    from provision.environment import generations
    from provision.environment.packages import torch_version
    from provision.steps.server.step import SERVER

    ctx, home = at.ctx, at.ctx.home
    if not home.state.is_dir() or generations.before(home) is None:
        says = f"There is nothing to go back to: {home.root} keeps no set from before a change of torch."
        return answer(Nothing(), says, error=why("nothing_to_roll_back", Fix(says)))
    with hold_home(at):
        left, running = torch_version(home.venv), our_process(ctx) is not None
        go_back(ctx)
        ctx = go_by_torch(ctx, ctx.receipts.read("torch", TorchReceipt).wanted or "nightly")
        now = torch_version(home.venv)
        facts = RolledBack(left, now)
        ctx.note(f"torch {now} is in use again; torch {left} is kept. Back to it:", ours("rollback"))
        if not running:
            return answer(facts, Fix("Nothing was downloaded. To start ComfyUI:", ours("launch")), changed=True)
        report = run((SERVER,), ctx, apply=True)
        closing = f"ComfyUI: {ctx.manifest.comfyui.page}" if report.ok else "ComfyUI is not up."
        return replace(ran(report, facts, closing), changed=True)


def go_back(ctx: Context) -> None:
    """Put the environment before in use, with its receipts. Raises HomeError, DiskFull."""
    from provision.comfyui import fallback_flags
    from provision.environment import generations

    home = ctx.home
    target, current = generations.before(home), generations.active(home)
    assert target is not None
    generations.leave(home)
    generations.enter(home, target, current)
    generations.restore(home)
    for name in (fallback_flags.WISH, fallback_flags.TRIED):  # recorded for the torch that is left
        ctx.receipts.drop(name)


app = command("rollback", rollback, frozenset({"home", "manifest", "overrides", "json", "verbose"}))
