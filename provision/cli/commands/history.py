"""`provision history`: the generations that are kept, and which one is in use."""

from __future__ import annotations

from provision.cli.command import Session, command
from provision.command import Fix, ours
from provision.output.result import Pairs, Result, answer


def history(at: Session) -> Result:
    """Each generation with its number, its day, what it is and why it was made."""
    from provision.environment import generations

    home = at.ctx.home
    if home.venv != home.own_venv or not home.envs.is_dir():
        return answer({"command": "history", "generations": []}, Fix("There are no generations here yet.", ours("all")))
    active = generations.active(home)
    found = generations.kept(home)
    rows = [
        (
            f"{each.number}{' *' if each.env == active else ''}",
            ", ".join(filter(None, ((each.about.made or each.torch.when)[:10], each.says(), each.about.reason))),
        )
        for each in found
    ]
    facts = [
        {
            "number": each.number,
            "in_use": each.env == active,
            "made": each.about.made or each.torch.when,
            "reason": each.about.reason,
            "comfyui": each.comfyui.name,
            "commit": each.comfyui.commit,
            "torch": each.torch.torch,
        }
        for each in found
    ]
    closing = Fix("To go back to one:", ours("rollback", "N")) if len(found) > 1 else "* is in use."
    return answer({"command": "history", "generations": facts}, Pairs(rows), closing)


app = command("history", history, frozenset({"home", "json"}))
