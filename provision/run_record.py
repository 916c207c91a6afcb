"""The run that is kept for `provision report`: the last one that changed anything, with its course.

`state/report.json` is of the last run, which has often nothing left to do.
"""

from __future__ import annotations

from collections.abc import Mapping

from provision.finding import JSON
from provision.home import Home
from provision.receipts import read_json, write_json
from provision.step import Report
from provision.timeline import Course

LAST, LAST_CHANGE, BENCH = "report.json", "run.json", "bench.json"


def keep_run(home: Home, report: Report, facts: Mapping[str, JSON], course: Course, when: str) -> None:
    """Write what a run of `all` saw and did. Raises HomeError, DiskFull."""
    value = {**report.to_json(), **facts, "when": when}
    write_json(home.state / LAST, value)
    if report.changed:
        write_json(home.state / LAST_CHANGE, {**value, "course": course.to_json()})


def last_change(home: Home) -> dict[str, JSON] | None:
    """The last run that changed anything; None where no run is known."""
    return read_json(home.state / LAST_CHANGE) or read_json(home.state / LAST)


def keep_bench(home: Home, result: Mapping[str, JSON]) -> None:
    """Write what a bench measured. Raises HomeError, DiskFull."""
    write_json(home.state / BENCH, result)


def last_bench(home: Home) -> dict[str, JSON] | None:
    """What the last bench measured, None where none was made."""
    return read_json(home.state / BENCH)
