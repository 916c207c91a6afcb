"""Which findings only follow from others: where the environment is gone, so is all that was installed in it.

All of it is true, and `plan` adds all of it up; but a person has one thing to mend, and it is named first.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace

from provision.core.finding import Finding, Verdict
from provision.core.step import StepReport


def with_causes(findings: Iterable[Finding], faulty: Collection[str]) -> tuple[Finding, ...]:
    """The same findings, which tell from which of the faulty steps before them they follow, where they do."""
    return tuple(_with_cause(finding, faulty) for finding in findings)


def _with_cause(finding: Finding, faulty: Collection[str]) -> Finding:
    cause = next((step for step in faulty if step in finding.kind.follows), "")
    return finding if finding.verdict is Verdict.OK else replace(finding, caused_by=cause)


def has_fault(step: StepReport) -> bool:
    """Whether something of its own is wrong here, that must be mended."""
    wrong = (Verdict.FIXABLE, Verdict.BLOCKED)
    return step.error is not None or any(
        finding.verdict in wrong and not finding.caused_by for finding in step.findings
    )
