"""`provision check`: whether this machine is good enough."""

from __future__ import annotations

from provision.cli.command import Session, command
from provision.cli.request import ASKING
from provision.output.result import Result, looked


def check(at: Session) -> Result:
    """Run only the hardware step's check."""
    from provision.cli.look import look
    from provision.steps.registry import step_named

    report = look(at, at.ctx, (step_named("hardware"),))
    return looked(report, {"command": "check"}, f"This machine will {'do' if report.ok else 'not do'}.")


app = command("check", check, ASKING)
