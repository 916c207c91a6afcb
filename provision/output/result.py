"""What a command answers: parts for people, and one report for programs. A console renders one of the two."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from provision.command import Fix
from provision.errors import ErrorJson
from provision.output.layout import Line

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    from provision.core.plan import Plan
    from provision.core.step import Report


Says = str | Fix | Line
"""A text, a sentence with a command to paste, or a line with a path in it that is never broken."""


@dataclass(frozen=True, slots=True)
class Words:
    """A text, or a sentence with a command to paste; wrapped for a terminal."""

    text: Says


@dataclass(frozen=True, slots=True)
class Data:
    """A text that is shown as it stands: a script, a log, a path."""

    text: str


@dataclass(frozen=True, slots=True)
class Pairs:
    """Names and values in columns, of which the last wraps."""

    rows: Sequence[tuple[Says, ...]]


@dataclass(frozen=True, slots=True)
class Planned:
    """What would be done, under a title."""

    plan: Plan
    title: str = ""


@dataclass(frozen=True, slots=True)
class Bars:
    """A bar chart: a name, a number, words and a kind for each row."""

    rows: Sequence[tuple[str, float, str, str]]


@dataclass(frozen=True, slots=True)
class Picture:
    """A PNG, where it can be shown; with half blocks, in so many rows at most."""

    png: bytes
    rows: int = 32


@dataclass(frozen=True, slots=True)
class Ending:
    """The end of a run: what is not right with its fix, then closing words."""

    report: Report
    closing: tuple[Says, ...]


@dataclass(frozen=True, slots=True)
class Findings:
    """A look, step by step, then closing words; with `details` all that was seen."""

    report: Report
    closing: tuple[Says, ...]
    details: bool = False


Part = Words | Data | Pairs | Planned | Bars | Picture | Ending | Findings


@dataclass(frozen=True, slots=True)
class Result:
    """What a program reads (a dataclass), what a person reads; `error` says why the exit code is not 0."""

    data: DataclassInstance
    view: tuple[Part, ...] = ()
    error: ErrorJson | None = None
    changed: bool = False
    report: Report | None = field(default=None, compare=False)

    @property
    def ok(self) -> bool:
        """Whether the exit code is 0."""
        return self.error is None


@dataclass(frozen=True, slots=True)
class Nothing:
    """Nothing beside what every report says."""


def answer(
    facts: DataclassInstance, *view: Part | Says, error: ErrorJson | None = None, changed: bool = False
) -> Result:
    """The answer of a command that runs no steps; a text is shown as it stands."""
    parts = tuple(Words(part) if isinstance(part, str | Fix | Line) else part for part in view)
    return Result(facts, parts, error, changed)


def why(code: str, what: Fix) -> ErrorJson:
    """Why a command that ends well is not satisfied."""
    return ErrorJson(code, what.says, Fix(command=what.command), what.command)


def ran(report: Report, facts: DataclassInstance, *closing: Says, before: Sequence[Part] = ()) -> Result:
    """The answer of a run of steps."""
    return Result(facts, (*before, Ending(report, closing)), report.error, report.changed, report)


def looked(report: Report, facts: DataclassInstance, *closing: Says, details: bool = False) -> Result:
    """The answer of a look at steps."""
    return Result(facts, (Findings(report, closing, details),), report.error, report.changed, report)
