"""What a set of torch takes, over the network and on the disk."""

from __future__ import annotations

from provision.core.finding import Cost
from provision.core.step import Context
from provision.steps.torch.place import has_nvidia

COSTS = {  # with dependencies; measured, but for "cpu", in November 2026
    "mac": Cost(165 * 10**6, 700 * 10**6),
    "cpu": Cost(260 * 10**6, 1_100 * 10**6),
    "cuda": Cost(2_750 * 10**6, 4_900 * 10**6),
    "rehearsal": Cost(100_000, 1_000_000),
}


def set_cost(ctx: Context) -> Cost:
    """What a whole set takes."""
    return COSTS[_kind(ctx)]


def download_says(ctx: Context) -> str:
    """What a set costs over the network, in words."""
    return f"about {set_cost(ctx).download_bytes / 10**6:g} MB to download"


def _kind(ctx: Context) -> str:
    """Which torch this machine takes, as `COSTS` names it."""
    if ctx.options.rehearsal:
        return "rehearsal"
    if ctx.machine.system == "Darwin":
        return "mac"
    return "cuda" if has_nvidia(ctx) or not ctx.manifest.torch.stable_index else "cpu"
