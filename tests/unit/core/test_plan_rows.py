"""What a plan says of faults: sentences that end, and a fix that several have once."""

from __future__ import annotations

from provision.command import Fix, ours
from provision.core.estimate import USUAL_S, Pace
from provision.core.plan import make_plan
from provision.core.step import Report, StepReport
from provision.errors import GitError
from tests.support.findings import blocked


def test_sentences_end_and_a_fix_is_said_once() -> None:
    fix = Fix("No internet? Try:", ours("all", "--rehearse"))
    down = [blocked("net-down", host, f"{host} cannot be reached.", fix=fix) for host in ("a", "b")]
    failed = GitError("fatal: could not resolve host", hint=Fix("Check the network."))
    steps = (StepReport("tools", tuple(down), False, 0.1), StepReport("comfyui", (), False, 0.1, error=failed))
    rows = make_plan(Report(steps, 0.2), {"tools": (), "comfyui": ()}, Pace(), USUAL_S).rows
    assert [(row.says, row.command) for row in rows] == [
        ("a cannot be reached.", None),
        ("b cannot be reached. No internet? Try:", fix.command),
        ("fatal: could not resolve host. Check the network.", None),
    ]
