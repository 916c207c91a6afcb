"""`doctor --bisect`: which custom node makes ComfyUI's start or its images wrong, found by halves on a free port."""

from __future__ import annotations

from dataclasses import dataclass

from provision.cli.command import Session
from provision.comfyui.added_nodes import is_ours
from provision.comfyui.sandbox import can_fence
from provision.command import Fix, ours, program
from provision.core.step import Context
from provision.errors import UsageError
from provision.output.result import Result, answer, why
from provision.steps.node_trial import fault, find_culprits, has_checkpoint
from provision.steps.requirements.install import custom_nodes


@dataclass(frozen=True, slots=True)
class AtFault:
    """`--bisect`: the fewest custom nodes with which it goes wrong, of how many, and what is wrong then."""

    at_fault: tuple[str, ...]
    of: int
    wrong: str | None


def bisect(at: Session) -> Result:
    """Start ComfyUI with some custom nodes at a time, in a sandbox, until those at fault are known.

    What runs is not touched. Not satisfied where something is wrong. Raises UsageError, HomeError, DiskFull.
    """
    ctx = at.ctx
    if not (ctx.home.main_py.is_file() and ctx.home.python.exists()):
        raise UsageError("ComfyUI is not installed yet.", hint=ours("all"))
    names = custom_nodes(ctx)
    if not names:
        return answer(AtFault((), 0, None), "There are no custom nodes.")
    if not can_fence(ctx.machine):
        by_hand = Fix("To find it by hand, disable half of them and restart ComfyUI:", ours("launch"))
        raise UsageError("This system cannot stop custom nodes from writing meanwhile.", hint=by_hand)
    tried = "start and image" if has_checkpoint(ctx) else "start"
    ctx.note(f"Testing {tried} without custom nodes ...")
    if wrong := fault(ctx, ()):
        closing = Fix(f"Without custom nodes too: {wrong} They are not the cause.", ours("doctor", "--deep"))
        return answer(AtFault((), len(names), wrong), closing, error=why("nodes_not_at_fault", closing))
    ctx.note(f"Testing {tried} with all {len(names)} custom nodes ...")
    if not (wrong := fault(ctx, names)):
        return answer(AtFault((), len(names), None), f"With all {len(names)} custom nodes, {tried} are right.")
    return _found(ctx, find_culprits(ctx, names), len(names), wrong)


def _found(ctx: Context, found: tuple[str, ...], of: int, wrong: str) -> Result:
    """Name them, with the command that removes or disables one."""
    folder = ctx.home.custom_nodes / found[-1]
    says = f"With {' and '.join(found)}: {wrong} "
    if is_ours(ctx.home, folder):
        fix = Fix(f"{says}To remove it:", ours("nodes", "remove", found[-1]))
    else:
        fix = Fix(f"{says}To disable it:", program("mv", str(folder), f"{folder}.disabled"))
    return answer(AtFault(found, of, wrong), fix, error=why("node_at_fault", fix))
