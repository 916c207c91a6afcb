"""`provision rollback`: the environment before the last change of torch again, with its receipts, lock and picture."""

from __future__ import annotations

from provision.cli.command import Session, command
from provision.comfyui import fallback_flags
from provision.comfyui.server_process import our_process, torch_version
from provision.command import Fix, ours
from provision.core.finding import JSON, Verdict
from provision.core.runner import run
from provision.core.step import Context
from provision.environment import generations
from provision.output.result import Result, answer, ran


def rollback(at: Session) -> Result:
    """Return to the set before; what is left is kept, so that another `rollback` comes back to it.

    Needs no network. A server that runs is started again on the set. Not satisfied where there is none to go back to.
    Raises HomeError, DiskFull, HomeLocked.
    """
    from provision.cli.session import hold_home

    ctx, home = at.ctx, at.ctx.home
    if not home.state.is_dir() or generations.before(home) is None:
        says = f"There is nothing to go back to: {home.root} keeps no set from before a change of torch."
        return answer({}, says, ok=False)
    with hold_home(at):
        left, running = torch_version(ctx), our_process(ctx) is not None
        go_back(ctx)
        now = torch_version(ctx)
        facts: dict[str, JSON] = {"command": "rollback", "from": left, "to": now, "changed": True}
        ctx.note(f"torch {now} is in use again; torch {left} is kept. Back to it:", ours("rollback"))
        if running:
            return _start_again(at, facts)
        return answer(facts, _outlook(ctx) or Fix("Nothing was downloaded. To start ComfyUI:", ours("launch")))


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


def _start_again(at: Session, facts: dict[str, JSON]) -> Result:
    from provision.steps.server.step import SERVER

    report = run((SERVER,), at.ctx, apply=True)
    closing = f"ComfyUI: {at.ctx.manifest.comfyui.page}" if report.ok else "ComfyUI is not up."
    outlook = _outlook(at.ctx)
    return ran(report, facts, "\n".join([closing, *([at.typed(outlook)] if outlook else [])]))


def _outlook(ctx: Context) -> Fix | None:
    """What the next `all` would make of it, where it would take another torch again."""
    from provision.steps.torch.kinds import TORCH_CHANNEL
    from provision.steps.torch.step import check_torch

    if any(finding.kind == TORCH_CHANNEL and finding.verdict is Verdict.FIXABLE for finding in check_torch(ctx)):
        wanted, here = ctx.manifest.torch.channel, torch_version(ctx)
        return Fix(f"`provision all` would take {wanted} torch again; to keep this one:", ours("all", "--torch", here))
    return None


app = command("rollback", rollback, frozenset({"home", "manifest", "overrides", "json", "verbose"}))
