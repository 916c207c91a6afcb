"""`provision plan`: what `all` would do, here or on another Mac; changes nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Option

from provision.cli.command import Session, command
from provision.cli.request import BUILDING
from provision.command import Fix, ours
from provision.errors import UsageError
from provision.output.result import Data, Planned, Result, Words

if TYPE_CHECKING:
    from provision.core.plan import Plan
    from provision.core.step import Report, StepReport


def plan(
    at: Session,
    *,
    target: Annotated[
        str | None,
        Option(
            "--for",
            metavar="TARGET",
            help="Plan for another Mac: macos-14-arm64-py312-16gb, m3max-24gb.",
        ),
    ] = None,
    requirements: Annotated[
        Path | None,
        Option("--requirements", metavar="FILE", help="With --for: read ComfyUI's requirements from this file."),
    ] = None,
    commands: Annotated[bool, Option("--commands", help="Print a shell script to run by hand.")] = False,
) -> Result:
    """The dry run: satisfied when `all` could do the rest by itself, here or on another target. Raises UsageError."""
    if target is not None:
        from provision.cli.commands.plan_target import plan_for

        return plan_for(at, target, requirements)
    if requirements is not None:
        raise UsageError(
            "--requirements goes with --for.", hint=ours("plan", "--for", "m1-16gb", "--requirements", "FILE")
        )
    return _plan_here(at, as_script=commands)


def _plan_here(at: Session, *, as_script: bool) -> Result:
    from provision.cli.about import introduce, read_pace, usual_seconds
    from provision.cli.commands.plan_script import script
    from provision.cli.look import look
    from provision.core.finding import Verdict
    from provision.core.plan import PlanFacts, make_plan
    from provision.core.step import Report
    from provision.steps.lock.rebuild import check_rebuildable
    from provision.steps.registry import STEPS

    if at.ctx.options.locked is not None:
        check_rebuildable(at.ctx, at.ctx.options.locked)
    introduce(at)
    ctx, call = replace(at.ctx, options=replace(at.ctx.options, planning=True)), at.console.invocation
    report = look(at, ctx, STEPS)
    blocked = [step.name for step in report.steps if step.verdict is Verdict.BLOCKED and not _will_ask(at, step)]
    needs = {step.name: step.needs for step in STEPS}
    planned = make_plan(report, needs, read_pace(ctx.home), usual_seconds(ctx))
    text = script(at.ctx, report, call) if as_script else None
    facts = PlanFacts(
        planned.download_bytes,
        planned.disk_bytes,
        planned.peak_bytes,
        planned.seconds,
        planned.bytes_per_s,
        planned.measured,
        ctx.home.adopted_json,
        text,
    )
    stuck = Report(tuple(step for step in report.steps if step.name in blocked), report.seconds)
    if text is not None:
        return Result(facts, (Data(text.rstrip()),), stuck.error, report=report)
    return Result(facts, (Planned(planned), *_closing(at, planned, blocked, report)), stuck.error, report=report)


def _will_ask(at: Session, step: StepReport) -> bool:
    """Whether only consent is missing, which `all` asks for where the install is adopted."""
    from provision.core.finding import Verdict

    stopped = [finding for finding in step.findings if finding.verdict is Verdict.BLOCKED]
    return at.ctx.home.adopted is not None and bool(stopped) and all(finding.consent for finding in stopped)


def _closing(at: Session, planned: Plan, blocked: list[str], report: Report) -> list[Words]:
    from provision.output.plan_view import reckoned_with

    if blocked:
        return [Words(f"Blocked by {', '.join(blocked)}: you must act first.")]
    if report.ok:
        return [Words("Everything is up to date.")]
    found = [Words(says) for says in [reckoned_with(planned)] if says]
    found.append(Words(Fix("Nothing was changed. To do it:", ours("all"))))
    if any(_will_ask(at, step) for step in report.steps):
        found.append(Words("It asks before changing anything not made by provision; --yes answers yes."))
    return found


app = command("plan", plan, BUILDING)
