"""Which findings only follow from others: where the environment is gone, so is all that was installed in it.

`plan` adds all of it up, but there is one thing to fix, and it is named first.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace

from provision.core.finding import Finding, Verdict

BARE: tuple[str, ...] = ("python_env",)
"""Steps whose faults cause findings of later ones."""
PACKED: tuple[str, ...] = (*BARE, "torch", "comfyui")
RUN: tuple[str, ...] = (*PACKED, "requirements")


def with_causes(findings: Iterable[Finding], faulty: Collection[str]) -> tuple[Finding, ...]:
    """The same findings, each with the faulty step before it that causes it, if there is one."""
    return tuple(
        finding
        if finding.verdict is Verdict.OK
        else replace(finding, caused_by=next((step for step in faulty if step in finding.kind.follows), ""))
        for finding in findings
    )
