"""Which findings only follow from others: where the environment is gone, so is all that was installed in it.

All of it is true, and `plan` adds all of it up; but a person has one thing to mend, and it is named first.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from provision.core.catalogue import known
from provision.core.finding import Finding, Verdict
from provision.core.step import Report, StepReport

FOLLOWS = "follows"
"""In a finding's facts: the step from whose fault it follows."""


def with_causes(report: Report) -> Report:
    """The same report, whose findings tell from which step's fault they follow, where they do."""
    faulty: list[str] = []
    steps = []
    for step in report.steps:
        marked = replace(step, findings=tuple(_with_cause(finding, faulty) for finding in step.findings))
        if _has_fault(marked):
            faulty.append(step.name)
        steps.append(marked)
    return replace(report, steps=tuple(steps))


def follows_from(finding: Finding) -> str:
    """The step from whose fault a finding follows, empty where it stands for itself."""
    return str(finding.facts.get(FOLLOWS, ""))


def _with_cause(finding: Finding, faulty: Collection[str]) -> Finding:
    about = known(finding.id)
    cause = next((step for step in faulty if about is not None and step in about.follows), None)
    if cause is None or finding.verdict is Verdict.OK:
        return finding
    return replace(finding, facts={**finding.facts, FOLLOWS: cause})


def _has_fault(step: StepReport) -> bool:
    """Whether something of its own is wrong here, that must be mended."""
    wrong = (Verdict.FIXABLE, Verdict.BLOCKED)
    return step.error is not None or any(
        finding.verdict in wrong and not follows_from(finding) for finding in step.findings
    )
