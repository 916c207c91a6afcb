"""`provision history`: the generations that are kept, and which one is in use."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from provision.cli.command import Session, command
from provision.cli.request import USUAL
from provision.command import Fix, ours
from provision.output.result import Pairs, Result, answer

if TYPE_CHECKING:
    from provision.environment.generations import Generation


@dataclass(frozen=True, slots=True)
class KeptGeneration:
    """A generation that can be gone back to: ComfyUI's release and commit, and torch's version."""

    number: int
    in_use: bool
    made: str
    reason: str
    comfyui: str
    commit: str
    torch: str


@dataclass(frozen=True, slots=True)
class History:
    """All generations that are kept."""

    generations: tuple[KeptGeneration, ...]


def history(at: Session) -> Result:
    """Each generation with its number, its day, what it is and why it was made."""
    from provision.environment import generations

    home = at.ctx.home
    if home.venv != home.own_venv or not home.envs.is_dir():
        return answer(History(()), Fix("No generations here yet. To make the first:", ours("all")))
    active = generations.active(home)
    found = generations.kept(home)
    rows = [
        (
            f"{each.number}{' *' if each.env == active else ''}",
            ", ".join(filter(None, ((each.about.made or each.torch.when)[:10], each.says(), _why(each)))),
        )
        for each in found
    ]
    kept = tuple(
        KeptGeneration(
            each.number,
            each.env == active,
            each.about.made or each.torch.when,
            each.about.reason,
            each.comfyui.name,
            each.comfyui.commit,
            each.torch.torch,
        )
        for each in found
    )
    closing = Fix("To go back to one:", ours("rollback", "N")) if len(found) > 1 else "* is in use."
    return answer(History(kept), Pairs(rows), closing)


def _why(generation: Generation) -> str:
    """Why it was made, where that is more than its own torch."""
    reason = generation.about.reason
    return "" if generation.torch.torch and generation.torch.torch in reason else reason


app = command("history", history, USUAL)
