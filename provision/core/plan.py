"""What a look says that `all` would do, as rows of numbers: network, disk at rest and at its peak, seconds. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from provision.command import Command
from provision.core.estimate import ASSUMED_BYTES_PER_S, Job, Pace, must_work, run_seconds_left
from provision.core.finding import Verdict, cost_of
from provision.core.home import AdoptedJson
from provision.core.step import Report, StepReport

UNPACKED = frozenset({"python_env", "torch", "requirements"})
"""Steps that keep their archives until all is unpacked. They run one after the other."""


@dataclass(frozen=True, slots=True)
class PlanRow:
    """One thing that a step would do, or that it found. Bytes and seconds are 0 where nothing is to be done."""

    step: str
    verdict: Verdict
    says: str
    command: Command | None = None
    """What to run first."""
    download_bytes: int = 0
    disk_bytes: int = 0
    peak_bytes: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Plan:
    """All rows, and what they come to: steps that run at once cost their seconds once."""

    rows: tuple[PlanRow, ...]
    download_bytes: int
    disk_bytes: int
    peak_bytes: int
    seconds: float
    bytes_per_s: float
    measured: bool
    """Whether the rate was measured in this home, or is assumed."""


@dataclass(frozen=True, slots=True)
class PlanFacts:
    """What `all` would download and keep; `peak_bytes` is the highest disk use on the way.

    `bytes_per_s` is the rate that `expected_s` assumes; `script` is that of `--commands`.
    """

    download_bytes: int
    disk_bytes: int
    peak_bytes: int
    expected_s: float
    bytes_per_s: float
    bytes_per_s_measured: bool
    adopted: AdoptedJson | None
    script: str | None


def make_plan(report: Report, needs: Mapping[str, Sequence[str]], pace: Pace, usual: Mapping[str, float]) -> Plan:
    """The plan of a look: `needs` names for each step those that it waits for."""
    rate = pace.bytes_per_s or ASSUMED_BYTES_PER_S
    asked = {step.name: [each for each in step.findings if each.verdict is Verdict.FIXABLE] for step in report.steps}
    at_work = must_work(needs, [name for name, todo in asked.items() if todo])
    rows = [row for step in report.steps for row in _rows(step, rate, pace.expected_s(step.name, usual))]
    seconds = {name: pace.expected_s(name, usual) if name in at_work else 0.0 for name in asked}
    jobs = [
        Job(name, tuple(needs.get(name, ())), cost_of(todo).download_bytes, seconds[name])
        for name, todo in asked.items()
    ]
    cost = report.cost
    passing = max((row.peak_bytes - row.disk_bytes for row in rows), default=0)
    return Plan(
        tuple(rows),
        cost.download_bytes,
        cost.disk_bytes,
        peak_bytes=cost.disk_bytes + passing,
        seconds=(run_seconds_left(jobs, rate) or 0.0) if at_work else 0.0,
        bytes_per_s=rate,
        measured=pace.bytes_per_s is not None,
    )


def _rows(step: StepReport, rate: float, expected_s: float) -> list[PlanRow]:
    """One row for what is fine, with the first that was seen, one for each fault; the first fix has the step's seconds.

    A fix that the next finding has too is said once.
    """
    rows = []
    if step.error is not None:
        says = f"{step.error.sentence} {step.error.hint.says}".rstrip()
        rows.append(PlanRow(step.name, Verdict.BLOCKED, says, step.error.hint.command))
    for finding, after in zip(step.findings, [*step.findings[1:], None], strict=False):
        fix = None if after is not None and after.fix == finding.fix else finding.fix
        says = f"{finding.says} {fix.says}" if fix else finding.says
        if finding.verdict is Verdict.FIXABLE:
            network, disk = finding.cost.download_bytes, finding.cost.disk_bytes
            peak = disk + (network if step.name in UNPACKED else 0)
            seconds = network / rate + (0.0 if any(row.seconds for row in rows) else expected_s)
            rows.append(PlanRow(step.name, finding.verdict, says, None, network, disk, peak, seconds))
        elif finding.verdict is not Verdict.OK:
            rows.append(PlanRow(step.name, finding.verdict, says, fix.command if fix else None))
    well = [finding.says.rstrip(".") for finding in step.findings if not finding.detail]
    return rows or [PlanRow(step.name, Verdict.OK, says) for says in well[:1]]
