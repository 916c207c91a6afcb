"""The run that `provision report` shows: the last one that changed anything, with its course.

The last run, in `state/report.json`, often had nothing to do.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace

from provision.core.finding import JSON, Finding, Verdict
from provision.core.home import Home
from provision.core.receipts import read_state, write_json
from provision.core.step import Report, StepReport
from provision.output.hints import Invocation
from provision.output.report.bench_result import Bench
from provision.output.report.timeline import Course

LAST, LAST_CHANGE, BENCH = "report.json", "run.json", "bench.json"


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a step could not finish."""

    code: str
    message: str
    hint: str


@dataclass(frozen=True, slots=True)
class ToDo:
    """What was to be done, its command as it could be run."""

    says: str
    argv: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Seen:
    """What a finding said, and what it was about."""

    id: str
    subject: str
    verdict: Verdict
    says: str
    fix: ToDo | None = None
    detail: bool = False
    facts: Mapping[str, JSON] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StepRun:
    """What a step saw in the end, and whether it changed anything."""

    name: str
    changed: bool = False
    findings: tuple[Seen, ...] = ()
    error: Failure | None = None


@dataclass(frozen=True, slots=True)
class Run:
    """What is read again of a run that was kept."""

    ok: bool
    seconds: float
    steps: tuple[StepRun, ...]
    when: str = ""
    course: Course = field(default_factory=Course)
    rehearsal: Mapping[str, JSON] | None = None


def keep_run(
    home: Home, report: Report, course: Course, when: str, call: Invocation, *, rehearsal: bool = False
) -> None:
    """Write what a run of `all` saw and did, with commands as `call` has them. Raises HomeError, DiskFull."""
    steps = tuple(_step_run(step, call) for step in report.steps)
    run = Run(report.ok, round(report.seconds, 3), steps, when, rehearsal={} if rehearsal else None)
    write_json(home.state / LAST, asdict(run), str)
    if report.changed:
        write_json(home.state / LAST_CHANGE, asdict(replace(run, course=course)), str)


def _step_run(step: StepReport, call: Invocation) -> StepRun:
    error = step.error
    failed = None if error is None else Failure(error.code, error.message, call.text(error.hint))
    return StepRun(step.name, step.changed, tuple(_seen(each, call) for each in step.findings), failed)


def _seen(finding: Finding, call: Invocation) -> Seen:
    fix = None if finding.fix is None else ToDo(finding.fix.says, tuple(call.argv(finding.fix.command)))
    return Seen(finding.id, finding.subject, finding.verdict, finding.says, fix, finding.detail, finding.facts)


def last_change(home: Home) -> Run | None:
    """The last run that changed anything; None where no run is known."""
    return read_state(home.state / LAST_CHANGE, Run) or read_state(home.state / LAST, Run)


def keep_bench(home: Home, result: Bench) -> None:
    """Write what a bench measured. Raises HomeError, DiskFull."""
    write_json(home.state / BENCH, asdict(result))


def last_bench(home: Home) -> Bench | None:
    """Read what the last bench measured, None where there is none."""
    return read_state(home.state / BENCH, Bench)
