"""`provision check`: whether this machine is good enough."""

from __future__ import annotations

from provision.cli.command import command
from provision.cli.look import keep_crashes, quietly
from provision.cli.request import ASKING
from provision.cli.session import Session
from provision.core.runner import run
from provision.output.result import Result, looked


def check(at: Session) -> Result:
    """The hardware step alone."""
    from provision.steps.registry import step_named

    report = run((step_named("hardware"),), quietly(at.ctx, at.console), apply=False)
    keep_crashes(at, report)
    return looked(report, {"command": "check"}, f"This machine will {'do' if report.ok else 'not do'}.")


app = command("check", check, ASKING)
