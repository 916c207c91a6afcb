"""`provision rollback`: the environment before the last change of torch again, with its receipts, lock and picture."""

from __future__ import annotations

from dataclasses import replace

from provision.cli.chosen import goes_by_torch
from provision.cli.commands.commands import page, success
from provision.cli.session import Session, hold_home
from provision.comfyui import fallback_flags
from provision.comfyui.server_process import our_process, torch_version
from provision.core.finding import JSON
from provision.core.receipt_kinds import TorchReceipt
from provision.core.runner import run
from provision.core.step import Context
from provision.environment import generations


def rollback(at: Session) -> bool:
    """Return to the set before; what is left is kept, so that another `rollback` comes back to it.

    Needs no network. A server that runs is started again on the set. False where there is nothing to go back to.
    Raises HomeError, DiskFull, HomeLocked.
    """
    ctx, home = at.ctx, at.ctx.home
    if not home.state.is_dir() or generations.before(home) is None:
        at.console.record({**success(), "ok": False})
        at.console.data(f"There is nothing to go back to: {home.root} keeps no set from before a change of torch.")
        return False
    with hold_home(at):
        left, running = torch_version(ctx), our_process(ctx) is not None
        go_back(ctx)
        ctx = goes_by_torch(ctx, ctx.receipts.read("torch", TorchReceipt).wanted or "nightly")
        now = torch_version(ctx)
        facts: dict[str, JSON] = {"command": "rollback", "from": left, "to": now}
        ctx.note(f"torch {now} is in use again; torch {left} is kept (provision rollback returns to it).")
        return _start_again(replace(at, ctx=ctx), facts) if running else _say(at, facts)


def go_back(ctx: Context) -> None:
    """Put the environment before in use, and all that speaks of it. Raises HomeError, DiskFull."""
    home = ctx.home
    target, current = generations.before(home), generations.active(home)
    assert target is not None
    generations.leave(home)
    generations.enter(home, target, current)
    generations.restore(home)
    for name in (
        fallback_flags.WISH,
        fallback_flags.TRIED,
    ):  # a wish for another torch than the one that a person now chose
        ctx.receipts.drop(name)


def _start_again(at: Session, facts: dict[str, JSON]) -> bool:
    from provision.steps.server.step import SERVER

    report = run((SERVER,), at.ctx, apply=True)
    closing = f"ComfyUI: {page(at.ctx.manifest)}" if report.ok else "ComfyUI is not up."
    at.console.report(report, {**facts, "changed": True}, closing=closing)
    return report.ok


def _say(at: Session, facts: dict[str, JSON]) -> bool:
    at.console.record({**success(), **facts, "changed": True})
    at.console.advise("Nothing was downloaded. To start ComfyUI: provision launch")
    return True
