"""The doctor: look at everything, mend, explain a log, write a report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from provision.cli.about import adopted_json
from provision.cli.command import Session, command
from provision.cli.look import look
from provision.cli.offers import offer_findings
from provision.cli.request import ASKING
from provision.comfyui.log_reader import Sign, read_pieces
from provision.command import Fix, ours
from provision.core import mending_plan
from provision.core.deep_results import PARTS
from provision.core.events import MendingPlanned
from provision.core.finding import JSON, Verdict
from provision.core.runner import run
from provision.core.step import Report, never
from provision.errors import UsageError
from provision.output import views
from provision.output.result import Result, Words, answer, looked, pairs, ran
from provision.system.strict import Unreadable, why_not
from provision.system.text_stream import pieces


def doctor(
    at: Session,
    *,
    logfile: Annotated[
        list[Path] | None,
        Argument(metavar="LOGFILE", help="Say what this log means, ComfyUI's or any other; - is standard input."),
    ] = None,
    fix: Annotated[bool, Option("--fix", help="Mend what can be mended, said beforehand.")] = False,
    only: Annotated[
        list[str] | None,
        Option("--only", metavar="ID", help="This finding alone.", autocompletion=offer_findings),
    ] = None,
    listed: Annotated[bool, Option("--list", help="What is checked.")] = False,
    report_file: Annotated[
        Path | None, Option("--report", metavar="FILE", help="Write a report for an issue, without secrets.")
    ] = None,
) -> Result:
    """Check everything, or with `fix` mend it; or say what is checked, or what a log means. Raises UsageError."""
    if listed:
        return list_checks()
    if logfile:
        return explain_log(*logfile)
    return examine(at, fix=fix, only=only or [], report_file=report_file)


def examine(at: Session, *, fix: bool, only: Sequence[str] = (), report_file: Path | None = None) -> Result:
    """Check everything; with `fix` mend it; with `report_file` write all that was seen for an issue.

    With `only` show these findings alone, and mend them alone, with what they need. Raises UsageError for an id or a
    file that cannot be used, and as the steps.
    """
    from provision.steps.catalogue import must_know
    from provision.steps.registry import STEPS

    must_know(only)
    if report_file is not None:
        from provision.cli.commands.issue_report import check_writable

        check_writable(report_file)
    if at.ctx.options.deep:
        at.ctx.note(
            f"{len(PARTS)} things are proven anew, one after the other: torch, the model's sha256, what ComfyUI"
            f" imports, an image. That usually takes {sum(PARTS.values()) / 60:.0f} min, on a CPU longer."
        )
    asks = fix and at.ctx.home.adopted is not None and not at.ctx.options.yes  # with what will take whose place
    unasked = replace(at.ctx, options=replace(at.ctx.options, yes=False, planning=asks))  # what a yes would be for
    seen = look(at, unasked, STEPS)
    report = mend(at, seen, only) if fix else seen
    told = "" if report_file is None else f"\n{_write_report(at, report, report_file)}"
    if fix:
        facts = {**_mended_facts(report), **adopted_json(at.ctx.home)}
        return ran(report, facts, _mended(at, seen, report, only) + told)
    shown = mending_plan.only(report, only) if only else report
    facts = {"command": "doctor", **adopted_json(at.ctx.home)}
    return looked(shown, facts, _closing(at, shown) + told)


def _write_report(at: Session, report: Report, path: Path) -> str:
    """Show what goes into the report, and write it after a yes; what came of it, in a sentence."""
    from provision.cli.commands.issue_report import contents, report_page, write_report

    page = report_page(at.ctx, report, at.log)
    if not at.console.agrees_to(page, f"Write this to {path}?"):
        return "No report was written."
    write_report(page, path)
    return f"The report: {path}\nIt holds: {contents(page)}. Read it before you send it."


def mend(at: Session, seen: Report, ids: Sequence[str]) -> Report:
    """Say what will be done, ask what must be asked, do it in the order of the steps, and look again.

    With `ids` these findings alone, and whatever the steps that they need cannot do without. Raises as the steps.
    """
    from provision.cli.session import hold_home
    from provision.steps.registry import STEPS

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
    with hold_home(at):  # whatever needs a yes was asked about: nothing asks in the middle of the work
        report = run(steps, replace(at.ctx, options=options, consent=never), apply=True)
    return mending_plan.only(report, ids, keep_blocked=True) if ids else report


def _mended_facts(report: Report) -> dict[str, JSON]:
    left: list[JSON] = [
        {"step": step, "id": id, "verdict": str(verdict)} for step, verdict, id, _, _ in views.shown_trouble(report)
    ]
    done: list[JSON] = [id for step in report.steps for id in step.mended]
    return {"command": "doctor", "mended": done, "left": left}


def _mended(at: Session, seen: Report, report: Report, ids: Sequence[str]) -> str:
    """What was mended and what is left, in a sentence or two."""
    done = [id for step in report.steps for id in step.mended]
    absent = [id for id in ids if not any(finding.id == id for step in seen.steps for finding in step.findings)]
    left = len(views.shown_trouble(report))
    lines = [f"{id} was not found: nothing to mend." for id in absent]
    if done:
        lines.append(f"Mended: {', '.join(dict.fromkeys(done))}.")
    if left:
        lines.append(f"{left} things are left, the most important first." if left > 1 else "1 thing is left.")
    if not lines:
        lines.append("No fault found.")
    asked = [finding for step in report.steps for finding in step.findings if finding.consent]
    if asked and not at.ctx.options.yes:
        lines.append(at.typed(Fix("To agree beforehand to what is asked:", ours("doctor", "--fix", "--yes"))))
    return "\n".join(lines)


def _closing(at: Session, report: Report) -> str:
    found = [finding for step in report.steps for finding in step.findings if finding.verdict is not Verdict.OK]
    follow = sum(bool(finding.caused_by) for finding in found)
    more = f", {follow} more that follow from them" if follow else ""
    closing = "No fault found." if report.ok and not found else f"{len(found) - follow} finding(s){more}."
    if any(finding.verdict is Verdict.FIXABLE or finding.consent for finding in found):
        closing += " " + at.typed(Fix("To mend:", ours("doctor", "--fix")))
    return closing


def list_checks() -> Result:
    """Every finding by its step, with what is looked at."""
    from provision.steps.catalogue import CATALOGUE, steps_with_findings
    from provision.steps.registry import STEPS

    about = {step.name: step for step in STEPS}
    checks: list[JSON] = []
    rows: list[tuple[str, str]] = []
    for name in dict.fromkeys([*about, *steps_with_findings()]):
        entries = [entry for entry in CATALOGUE if entry.step == name]
        says, needs = (about[name].about, about[name].needs) if name in about else ("", ())
        checks.append({"step": name, "about": says, "needs": list(needs), "findings": [asdict(e) for e in entries]})
        rows += [(name, says), *((f"  {entry.id}", entry.looks_at) for entry in entries)]
    return answer({"checks": checks}, pairs(rows))


# -- a log -------------------------------------------------------------------------------------------------------


def explain_log(*paths: Path) -> Result:
    """What logs mean, ComfyUI's, this tool's or others'. Raises UsageError for what cannot be read, or is no text."""
    read = [(path, _read(path)) for path in paths]
    found: list[JSON] = [
        {"log": str(path), "line": sign.line, "id": sign.id, "says": sign.says, "fix": sign.hint, "text": sign.text}
        for path, signs in read
        for sign in signs
    ]
    view = [part for path, signs in read for part in _log_view(path, signs, named=len(read) > 1)]
    return answer({"log": str(paths[0]), "signs": found}, *view, ok=not found)


def _read(path: Path) -> list[Sign]:
    from provision.steps.catalogue import CATALOGUE

    try:
        return read_pieces(pieces(path), CATALOGUE)
    except (OSError, Unreadable) as error:
        raise UsageError(f"The log {path} cannot be read ({why_not(error)}).", hint=ours("logs")) from error


def _log_view(path: Path, signs: Sequence[Sign], *, named: bool) -> list[Words]:
    closing = f"{len(signs)} thing(s) are known here." if signs else "Nothing in it is known here as trouble."
    return [*([Words(f"{path}:")] if named else []), *map(_sign_words, signs), Words(closing)]


def _sign_words(sign: Sign) -> Words:
    from provision.steps.catalogue import known

    blocks = (about := known(sign.id)) is not None and about.severity in ("blocks", "spoils")
    mark = views.MARKS[Verdict.BLOCKED if blocks else Verdict.WARN]
    says = sign.says[:1].upper() + sign.says[1:]
    head = f"{mark} line {sign.line}: {says}.  [{sign.id}]\n    {sign.text[:160]}\n  {views.ARROW}"
    return Words(Fix(f"{head} {sign.hint.says}".rstrip(), sign.hint.command))


app = command("doctor", doctor, ASKING | {"backend", "precision", "comfyui", "python", "deep"})
