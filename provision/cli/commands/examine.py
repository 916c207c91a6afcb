"""`doctor` and `doctor --fix`: check everything, fix what can be fixed, write a report of what was seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from provision.cli.command import Session
from provision.cli.commands.issue_report import TITLE, contents, report_page
from provision.cli.commands.shared_page import check_place, write_page
from provision.cli.look import look
from provision.cli.newest import NewerRelease, ask_newest, says_newer
from provision.cli.session import hold_home
from provision.command import Fix, ours
from provision.core import mending_plan
from provision.core.deep_results import PARTS
from provision.core.events import MendingPlanned
from provision.core.finding import Verdict
from provision.core.home import AdoptedJson
from provision.core.runner import run
from provision.core.step import Context, Report, StepReport, never
from provision.output import views
from provision.output.layout import KEPT, line
from provision.output.result import Result, Says, looked, ran
from provision.steps.catalogue import must_know
from provision.steps.comfyui.kinds import COMFYUI_REF
from provision.steps.lock.bundled import agree_to_replace
from provision.steps.registry import STEPS

MACHINE = ("hardware", "tools")
"""The steps that look at the machine, not at what is installed."""


@dataclass(frozen=True, slots=True)
class Left:
    """What is not right after `--fix`."""

    step: str
    id: str
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """With `--fix`, the ids of what was fixed, and what is left; `report` is the file of `--report`.

    `newer` is a release of ComfyUI later than the one here; null with `--fix` and `--only`, which do not ask.
    """

    adopted: AdoptedJson | None
    report: str | None
    mended: tuple[str, ...] | None = None
    left: tuple[Left, ...] | None = None
    newer: NewerRelease | None = None


def examine(at: Session, *, fix: bool, only: Sequence[str] = (), report_file: Path | None = None) -> Result:
    """Check everything, with `fix` also mend it; `report_file` gets a report of all findings.

    `only` limits both to these findings, and to what mending them needs. Raises UsageError for an unknown id or an
    unusable file, and what the steps raise.
    """
    must_know(only)
    if fix and at.ctx.options.source is not None and at.ctx.options.locked is not None:
        agree_to_replace(at.ctx, at.ctx.options.locked)
    if report_file is not None:
        check_place(report_file, TITLE, ours("doctor", "--report", "report.md"))
    if at.ctx.options.deep:
        at.ctx.note(
            f"{len(PARTS)} things are tested again, one after the other: torch, the model's sha256, ComfyUI's imports,"
            f" an image. That usually takes {sum(PARTS.values()) / 60:.0f} min, longer on a CPU."
        )
    asks = fix and at.ctx.home.adopted is not None and not at.ctx.options.yes  # with which versions replace which
    unasked = replace(
        at.ctx, options=replace(at.ctx.options, yes=False, planning=asks)
    )  # a look lists what needs consent
    waiting = ask_newest(at.ctx) if not (fix or only) else None
    seen = look(at, unasked, STEPS)
    report = mend(at, seen, only) if fix else seen
    told = [] if report_file is None else _write_report(at, report, report_file)
    written = None if report_file is None else str(report_file)
    if fix:
        trouble = views.shown_trouble(report)
        left = tuple(Left(step, id, verdict) for step, verdict, id, *_ in trouble)
        facts = Diagnosis(at.ctx.home.adopted_json, written, tuple(_done(report)), left)
        return ran(report, facts, *_mended(at, seen, report, only), *told)
    shown = mending_plan.only(report, only) if only else report
    newer = waiting().newer if waiting is not None else None
    facts = Diagnosis(at.ctx.home.adopted_json, written, newer=newer)
    if not only and not at.request.verbose and at.ctx.home.adopted is None and not at.ctx.home.state.is_dir():
        nothing = Fix(f"Nothing is installed in {at.home_shown} yet. Run:", ours("all"))
        return replace(looked(_machine(shown), facts, nothing, *told), error=shown.error, report=shown)
    return looked(shown, facts, *_closing(shown), *([says_newer(at.ctx, newer)] if newer else []), *told)


def _machine(report: Report) -> Report:
    """What is wrong with the machine itself, before anything is installed on it."""
    return Report(tuple(step for step in report.steps if step.name in MACHINE and step.verdict is not Verdict.OK), 0.0)


def _write_report(at: Session, report: Report, path: Path) -> list[Says]:
    """Show the report, write it after a yes, and say so."""
    page = report_page(at.ctx, report, at.log)
    if not at.console.agrees_to(page, f"Write this to {path}?"):
        return ["No report was written."]
    write_page(path, page)
    return [line("The report: ", (str(path), KEPT)), f"It holds: {contents(page)}. Read it before you send it."]


def mend(at: Session, seen: Report, ids: Sequence[str]) -> Report:
    """Print the plan, ask for consent, mend in the order of the steps, and check again.

    `ids` limits it to these findings and to what their steps need. Raises what the steps raise.
    """
    steps = mending_plan.narrowed(STEPS, seen, ids) if ids else STEPS
    if not steps:
        return Report((), seen.seconds)
    names = {step.name for step in steps}
    part = Report(tuple(step for step in seen.steps if step.name in names), seen.seconds)
    if ids:
        part = mending_plan.only(part, ids, needed=mending_plan.needs_of(STEPS, mending_plan.holders(seen, ids)))
    mends = mending_plan.plan_mending(steps, part)
    if mends or not part.ok:
        changed = {mend.step for mend in mends if not mend.waits_for}
        at.ctx.emit(MendingPlanned(mends=mends, then=mending_plan.needing(steps, changed)))
    agreed = mending_plan.ask_beforehand(part, at.ctx.consent)
    options = replace(at.ctx.options, agreed=agreed)
    with hold_home(at):  # everything that needs consent was asked beforehand: nothing asks in the middle of the work
        moved = _update_first(at.ctx, part)
        report = run(steps, replace(at.ctx, options=options, consent=never), apply=True)
        report = replace(report, steps=tuple(_with_mended(step, moved) for step in report.steps))
    return mending_plan.only(report, ids, keep_blocked=True) if ids else report


def _update_first(ctx: Context, seen: Report) -> tuple[str, ...]:
    """Where another revision is wanted of a home that works, update to it as `update` does; the ids of what that fixed.

    Raises what the update raises.
    """
    from provision.steps.update import move

    wanted = any(finding.kind == COMFYUI_REF for step in seen.steps for finding in step.findings)
    return (COMFYUI_REF.id,) if wanted and move(ctx) else ()


def _with_mended(step: StepReport, ids: tuple[str, ...]) -> StepReport:
    return replace(step, mended=(*ids, *step.mended)) if ids and step.name == "comfyui" else step


def _done(report: Report) -> list[str]:
    return [id for step in report.steps for id in step.mended]


def _mended(at: Session, seen: Report, report: Report, ids: Sequence[str]) -> list[Says]:
    """Say what was mended and what is left."""
    absent = [id for id in ids if not any(finding.id == id for step in seen.steps for finding in step.findings)]
    problems, says = _sum(report)
    lines: list[Says] = [f"{id} was not found: nothing to fix." for id in absent]
    if done := _done(report):
        lines.append(f"Fixed: {', '.join(dict.fromkeys(done))}.")
    if problems:
        lines.append(f"Left: {says}")
    if not lines:
        lines.append(says)
    if not at.ctx.options.yes and any(finding.consent for step in report.steps for finding in step.findings):
        lines.append(Fix("To answer yes to all questions:", ours("doctor", "--fix", "--yes")))
    return lines


def _closing(report: Report) -> list[Says]:
    """How many problems there are, and what fixes them."""
    says = _sum(report)[1]
    findings = [finding for step in report.steps for finding in step.findings]
    fixable = any(finding.verdict is Verdict.FIXABLE or finding.consent for finding in findings)
    return [Fix(f"{says} Fix:", ours("doctor", "--fix")) if fixable else says]


def _sum(report: Report) -> tuple[int, str]:
    """How many problems there are; and in words, with those that come of others and with what is no problem."""
    found = [finding for step in report.steps for finding in step.findings if finding.verdict is not Verdict.OK]
    follow = sum(bool(finding.caused_by) for finding in found)
    notes = sum(finding.verdict is Verdict.WARN and not finding.caused_by for finding in found)
    problems = len(found) - follow - notes + sum(step.error is not None for step in report.steps)
    more = f" ({follow} more caused by {'it' if problems == 1 else 'them'})" if follow else ""
    noted = f" {_counted(notes, 'note')}." if notes else ""
    return problems, f"{_counted(problems, 'problem')}{more}.{noted}" if problems else f"No problems found.{noted}"


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
