"""Run checks without changing anything; crashes go into the log."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace

from provision.cli.command import Session
from provision.core.events import Doing, Event, StepFinished, StepStarted
from provision.core.kinds import CHECK_CRASHED
from provision.core.runner import run
from provision.core.step import Context, Report, Step
from provision.errors import DiskFull, HomeError
from provision.output.console import Console
from provision.output.slow_checks import SlowChecks


def quietly(ctx: Context, console: Console) -> Context:
    """The context for a look, which shows only progress and slow checks before its end."""
    slow = SlowChecks(console.emit, console.slow_s)

    def emit(event: Event) -> None:
        slow.hear(event)
        console.emit_of_a_look(event)

    return replace(ctx, emit=emit)


@contextmanager
def taking_long(console: Console, name: str, says: str) -> Iterator[None]:
    """Say what is being done, as of a slow check, where what is done here takes long."""
    slow, started = SlowChecks(console.emit, console.slow_s), time.monotonic()
    slow.hear(StepStarted(step=name))
    slow.hear(Doing(step=name, says=says))
    try:
        yield
    finally:
        slow.hear(StepFinished(step=name, verdict="ok", says="", changed=False, seconds=time.monotonic() - started))


def look(at: Session, ctx: Context, steps: Sequence[Step]) -> Report:
    """The findings of the steps; tracebacks of crashed checks go into the log, if there is one."""
    report = run(steps, quietly(ctx, at.console), apply=False)
    crashed = list(crashes(report))
    if crashed and at.ctx.home.logs.is_dir():
        with suppress(HomeError, DiskFull):
            at.console.keep_log(at.log)
        for _, traceback in crashed:
            at.console.log_text(traceback)
    return report


def crashes(report: Report) -> Iterator[tuple[str, str]]:
    """Each step whose check crashed, with the traceback."""
    for step in report.steps:
        for finding in step.findings:
            if finding.kind == CHECK_CRASHED:
                yield step.name, str(finding.facts["traceback"])
