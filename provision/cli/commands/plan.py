"""`provision plan`: what `all` would do, here or on another Mac; changes nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

from typer import Option

from provision.cli.about import adopted_json, introduce, licence_says
from provision.cli.command import Session, command
from provision.cli.look import look
from provision.cli.pace import read_pace, usual_seconds
from provision.cli.request import BUILDING
from provision.command import Fix, ours
from provision.core.finding import JSON, Verdict
from provision.core.plan import Plan, make_plan
from provision.core.step import Context, Report, StepReport
from provision.errors import UsageError
from provision.output import plan_view
from provision.output.result import Drawn, Result, Words

WITH_FOR = ours("plan", "--for", "m1-16gb", "--requirements", "FILE")


def plan(
    at: Session,
    *,
    target: Annotated[
        str | None,
        Option(
            "--for",
            metavar="TARGET",
            help="Plan for a Mac that is not this one: macos-14-arm64-py312-16gb, m3max-24gb ...",
        ),
    ] = None,
    requirements: Annotated[
        Path | None,
        Option("--requirements", metavar="FILE", help="With --for: ComfyUI's requirements, not those on its host."),
    ] = None,
    commands: Annotated[bool, Option("--commands", help="Print it as a shell script that a person can run.")] = False,
) -> Result:
    """The dry run: satisfied when `all` could do the rest by itself, here or on another target.

    With `commands`, as a script to run by hand. Raises UsageError.
    """
    from provision.cli.commands.plan_target import plan_for, read_target
    from provision.steps.lock.rebuild import check_rebuildable
    from provision.steps.registry import STEPS

    if requirements is not None and target is None:
        raise UsageError("--requirements goes with --for.", hint=WITH_FOR)
    if target is not None:
        there = read_target(at, target)
        at.ctx.note(licence_says(at.ctx.manifest))
        return plan_for(at, there, requirements)
    if at.ctx.options.locked is not None:
        check_rebuildable(at.ctx, at.ctx.options.locked)
    introduce(at)
    ctx = replace(at.ctx, options=replace(at.ctx.options, planning=True))
    report = look(at, ctx, STEPS)
    blocked = [step.name for step in report.steps if step.verdict is Verdict.BLOCKED and not _will_ask(ctx, step)]
    needs = {step.name: step.needs for step in STEPS}
    planned = make_plan(report, needs, read_pace(ctx.home), usual_seconds(ctx))
    data = {**report.to_json(), **_plan_facts(planned), **adopted_json(ctx.home)}
    if commands:
        from provision.cli.commands.plan_script import script

        text = script(at.ctx, report, at.console.invocation)
        return Result(not blocked, {**data, "commands": text}, (Words(text.rstrip()),), report)
    words = plan_view.plan_text(planned, call=at.console.invocation)
    drawn = Drawn(lambda paper: plan_view.plan_view(planned, paper.width, call=paper.call), words)
    return Result(not blocked, data, (drawn, Words(_closing(at, planned, blocked, report))), report)


def _will_ask(ctx: Context, step: StepReport) -> bool:
    """Whether all that is in the way of a step is a yes, which `all` asks for where the install is adopted."""
    stopped = [finding for finding in step.findings if finding.verdict is Verdict.BLOCKED]
    return ctx.home.adopted is not None and bool(stopped) and all(finding.consent for finding in stopped)


def _plan_facts(planned: Plan) -> dict[str, JSON]:
    return {
        "command": "plan",
        "download_bytes": planned.download_bytes,
        "disk_bytes": planned.disk_bytes,
        "peak_bytes": planned.peak_bytes,
        "expected_s": round(planned.seconds, 1),
        "bytes_per_s": planned.bytes_per_s,
        "bytes_per_s_measured": planned.measured,
    }


def _closing(at: Session, planned: Plan, blocked: list[str], report: Report) -> str:
    if blocked:
        return f"Blocked by {', '.join(blocked)}: a person must act first."
    if report.ok:
        return "Nothing left to do."
    lines = [plan_view.reckoned_with(planned)]
    lines.append(at.typed(Fix("Nothing was changed. To do it:", ours("all"))))
    if any(_will_ask(at.ctx, step) for step in report.steps):
        lines.append("It asks before it changes what this tool did not make; --yes agrees.")
    return "\n".join(line for line in lines if line)


app = command("plan", plan, BUILDING)
