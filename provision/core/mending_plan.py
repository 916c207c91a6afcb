"""`doctor --fix`: the plan, the questions beforehand, and steps that fix only some findings."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace

from provision.core.events import Mend
from provision.core.finding import Finding, Verdict
from provision.core.step import Context, Report, Step, StepReport
from provision.errors import ConsentNeeded

Consent = Callable[[str], bool]


def plan_mending(steps: Sequence[Step], report: Report) -> tuple[Mend, ...]:
    """What can be fixed of what a look saw, in the order of the steps."""
    findings = ((step.name, finding) for step in report.steps for finding in step.findings)
    blocked = {name for name, finding in findings if finding.verdict is Verdict.BLOCKED and finding.consent is None}
    mends = []
    for step in steps:
        waits_for = next((name for name in needs_of(steps, [step.name]) if name in blocked), "")
        for finding in report.step(step.name).findings:
            question = finding.consent.question if finding.consent else ""
            if question or finding.verdict is Verdict.FIXABLE:
                does = finding.fix.says if finding.fix else finding.says
                bytes_ = finding.cost.download_bytes
                mends.append(Mend(step.name, finding.id, finding.says, does, bytes_, question, waits_for))
    return tuple(mends)


def needs_of(steps: Sequence[Step], names: Collection[str]) -> list[str]:
    """All steps that some steps need, directly or not, in their order."""
    needed: set[str] = set()
    for step in reversed(steps):
        if step.name in names or step.name in needed:
            needed.update(step.needs)
    return [step.name for step in steps if step.name in needed]


def needing(steps: Sequence[Step], names: Collection[str]) -> tuple[str, ...]:
    """Other steps that need some steps, directly or not, in their order."""
    return tuple(step.name for step in steps if step.name not in names and set(needs_of(steps, [step.name])) & {*names})


def ask_beforehand(report: Report, consent: Consent) -> frozenset[str]:
    """The ids of the findings that may be fixed; no, where nobody can be asked."""
    agreed: set[str] = set()
    for step in report.steps:
        for finding in step.findings:
            asked = finding.consent
            with suppress(ConsentNeeded):
                if asked and asked.agreement not in agreed and consent(f"{finding.says} {asked.question}"):
                    agreed.add(asked.agreement)
    return frozenset(agreed)


# -- some findings alone ----------------------------------------------------------------------------------------


def narrowed(steps: Sequence[Step], report: Report, ids: Collection[str]) -> tuple[Step, ...]:
    """The steps with these findings, blind to their other ones, and the steps they need.

    What comes up only after a fix (the hash of a new file) is fixed with it.
    """
    chosen = holders(report, ids)
    needed = needs_of(steps, chosen)
    return tuple(
        step if step.name in needed else _blind(step, report.step(step.name), ids)
        for step in steps
        if step.name in chosen or step.name in needed
    )


def _blind(step: Step, seen: StepReport, ids: Collection[str]) -> Step:
    """A step that does not see the faults that were seen, except for those with these ids."""
    others = {(each.id, each.subject) for each in seen.findings if each.id not in ids}

    def check(ctx: Context) -> Iterator[Finding]:
        for finding in step.check(ctx):
            if finding.verdict in (Verdict.OK, Verdict.WARN) or (finding.id, finding.subject) not in others:
                yield finding

    return replace(step, check=check)


def holders(report: Report, ids: Collection[str]) -> frozenset[str]:
    """The names of the steps with these findings."""
    return frozenset(step.name for step in report.steps if any(finding.id in ids for finding in step.findings))


def only(report: Report, ids: Collection[str], *, keep_blocked: bool = False, needed: Collection[str] = ()) -> Report:
    """The report with only some findings; `keep_blocked` adds what blocked them, `needed` what stops these steps."""

    def stays(step: StepReport, finding: Finding) -> bool:
        stops = finding.verdict in (Verdict.FIXABLE, Verdict.BLOCKED) and step.name in needed
        return finding.id in ids or stops or (keep_blocked and finding.verdict is Verdict.BLOCKED)

    steps = [
        replace(step, findings=tuple(each for each in step.findings if stays(step, each))) for step in report.steps
    ]
    return replace(report, steps=tuple(steps))
