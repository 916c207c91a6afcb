"""The doctor: look at everything, mend, explain a log, write a report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

from provision import issue_report, views
from provision.catalogue import CATALOGUE, known, must_know, steps_with_findings
from provision.commands import adopted_json, keep_crashes, pasted, quietly, success
from provision.consequences import follows_from, with_causes
from provision.console import tabulate
from provision.errors import ConsentNeeded, UsageError
from provision.finding import JSON, Verdict
from provision.log_reading import Sign, read_log
from provision.runner import run
from provision.session import Session, hold_home
from provision.step import Report, StepReport, silent

LOG_MAX_BYTES = 16 << 20


def doctor(at: Session, *, fix: bool, only: Sequence[str], report_file: Path | None = None) -> bool:
    """Check everything; with `fix` mend it; with `report_file` write all that was seen for an issue.

    Raises UsageError for an id or a file that cannot be used, and as the steps.
    """
    from provision.steps.registry import STEPS

    must_know(only)
    if report_file is not None:
        issue_report.check_writable(report_file)
    if fix:
        at = with_consent(at)
        with hold_home(at):
            report = run(STEPS, at.ctx, apply=True)
    else:
        report = run(STEPS, quietly(at.ctx, at.console), apply=False)
    keep_crashes(at, report)
    if report_file is not None:
        issue_report.write_report(at.ctx, report, at.log, report_file)
    report = with_causes(report)
    shown = Report(tuple(_only(step, only) for step in report.steps), report.seconds) if only else report
    facts = {"command": "doctor", **adopted_json(at.ctx.home)}
    at.console.checkup(shown, facts, closing=_closing(at, shown, fix=fix, report_file=report_file))
    return shown.ok


def with_consent(at: Session) -> Session:
    """The same session with what the person agreed to: each finding that asks is asked about once, beforehand."""
    from provision.steps.registry import STEPS

    agreed = set()
    for step in run(STEPS, replace(at.ctx, emit=silent), apply=False).steps:
        for finding in step.findings:
            question = finding.facts.get("asks")
            name = str(finding.facts.get("agrees", finding.id))
            if isinstance(question, str) and name not in agreed and _yes(at, f"{finding.says} {question}"):
                agreed.add(name)
    return replace(at, ctx=replace(at.ctx, options=replace(at.ctx.options, agreed=frozenset(agreed))))


def _yes(at: Session, question: str) -> bool:
    """Whether the person agrees; nobody there to ask is no."""
    try:
        return at.ctx.consent(question)
    except ConsentNeeded:
        return False


def _only(step: StepReport, ids: Sequence[str]) -> StepReport:
    return replace(step, findings=tuple(finding for finding in step.findings if finding.id in ids))


def _closing(at: Session, report: Report, *, fix: bool, report_file: Path | None) -> str:
    found = [finding for step in report.steps for finding in step.findings if finding.verdict is not Verdict.OK]
    follow = sum(bool(follows_from(finding)) for finding in found)
    more = f", {follow} more that follow from them" if follow else ""
    closing = "No fault found." if report.ok and not found else f"{len(found) - follow} finding(s){more}."
    if not fix and any(finding.verdict is Verdict.FIXABLE or "asks" in finding.facts for finding in found):
        closing += f" To mend: {pasted('provision doctor --fix', at.ctx.home)}"
    return closing if report_file is None else f"{closing}\nThe report: {report_file}"


def list_checks(at: Session) -> bool:
    """Every finding by its step, with what is looked at."""
    from provision.steps.registry import STEPS

    about = {step.name: step for step in STEPS}
    checks: list[JSON] = []
    rows: list[tuple[str, str]] = []
    for name in dict.fromkeys([*about, *steps_with_findings()]):
        entries = [entry for entry in CATALOGUE if entry.step == name]
        says, needs = (about[name].about, about[name].needs) if name in about else ("", ())
        checks.append({"step": name, "about": says, "needs": list(needs), "findings": [asdict(e) for e in entries]})
        rows += [(name, says), *((f"  {entry.id}", entry.looks_at) for entry in entries)]
    at.console.record(success(checks=checks))
    tabulate(at.console, views.pairs_table(rows))
    return True


# -- a log -------------------------------------------------------------------------------------------------------


def explain_log(at: Session, path: Path) -> bool:
    """What a log means, ComfyUI's or this tool's. Raises UsageError when there is no such file."""
    signs = read_log(_read(path))
    found: list[JSON] = [
        {"line": sign.line, "id": sign.id, "says": sign.says, "fix": sign.hint, "text": sign.text} for sign in signs
    ]
    at.console.record(success(log=str(path), signs=found))
    closing = f"{len(signs)} thing(s) are known here." if signs else "Nothing in it is known here as trouble."
    at.console.data("\n".join([*map(_sign_text, signs), closing]))
    return True


def _read(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            stream.seek(max(0, path.stat().st_size - LOG_MAX_BYTES))
            return stream.read().decode("utf-8", "replace")
    except OSError as error:
        raise UsageError(f"The log {path} cannot be read ({error.strerror}).", hint="provision logs") from error


def _sign_text(sign: Sign) -> str:
    blocks = (about := known(sign.id)) is not None and about.severity in ("blocks", "spoils")
    mark = views.MARKS[Verdict.BLOCKED if blocks else Verdict.WARN]
    says = sign.says[:1].upper() + sign.says[1:]
    return f"{mark} line {sign.line}: {says}.  [{sign.id}]\n    {sign.text[:160]}\n  {views.ARROW} {sign.hint}"
