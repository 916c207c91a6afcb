"""Is the torch that is installed, or asked for by its number, known to compute wrong on this Mac?"""

from __future__ import annotations

from collections.abc import Iterable

from provision.command import Fix, ours
from provision.core.finding import Finding
from provision.core.step import Context, Look
from provision.environment import packages, wheel_index
from provision.environment.known_bad_torch import pairs_for, read_known_bad, refusal, says, this_mac
from provision.steps.torch import kinds
from provision.steps.torch.step import apply_torch

STABLE = ours("all", "--torch", "stable")


def check_known_bad(ctx: Context) -> Iterable[Finding]:
    """A version that is asked for is refused; of what is installed, a bad one is replaced, a doubtful one is said."""
    mac, channel = this_mac(ctx.machine), ctx.manifest.torch.channel
    if mac is None:
        return
    pairs = read_known_bad()
    exact = channel if channel not in ("nightly", "stable") else ""
    if exact and (why := refusal(pairs_for(pairs, mac, exact), exact, mac)):
        yield kinds.TORCH_KNOWN_BAD.blocked(
            "torch", f"{why}.", fix=Fix("Take another.", STABLE), facts={"asked": exact}
        )
        return
    torch = packages.installed_versions(ctx.home.venv).get("torch")
    if torch is None:
        return
    found = pairs_for(pairs, mac, torch)
    if (why := refusal(found, torch, mac)) and not (exact and wheel_index.answers(exact, torch)):
        yield kinds.TORCH_KNOWN_BAD.fixable("torch", f"{why}.", fix=Fix("Another torch is installed and proven."))
        return
    for pair in found:
        yield kinds.TORCH_DOUBTFUL.warn("torch", f"{says(pair, torch, mac)}.", fix=pair.cure)


KNOWN_BAD_TORCH = Look(check_known_bad, (kinds.TORCH_KNOWN_BAD,), apply_torch)
