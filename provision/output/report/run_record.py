"""The run that `provision report` shows: the last one that changed anything, with its course.

The last run, in `state/report.json`, often had nothing to do.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from provision.core.finding import JSON, Verdict
from provision.core.home import Home
from provision.core.receipts import read_state, write_json
from provision.core.step import Report
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
    home: Home, report: Report, facts: Mapping[str, JSON], course: Course, when: str, call: Invocation
) -> None:
    """Write what a run of `all` saw and did, with commands as `call` has them. Raises HomeError, DiskFull."""
    value = {**report.to_json(), **facts, "when": when}
    write_json(home.state / LAST, value, call.plain)
    if report.changed:
        write_json(home.state / LAST_CHANGE, {**value, "course": course.to_json()}, call.plain)


def last_change(home: Home) -> Run | None:
    """The last run that changed anything; None where no run is known."""
    return read_state(home.state / LAST_CHANGE, Run) or read_state(home.state / LAST, Run)


def keep_bench(home: Home, result: Mapping[str, JSON]) -> None:
    """Write what a bench measured. Raises HomeError, DiskFull."""
    write_json(home.state / BENCH, result)


def last_bench(home: Home) -> Bench | None:
    """Read what the last bench measured, None where there is none."""
    return read_state(home.state / BENCH, Bench)
