"""What a command answers: parts for people, and one report for programs. A console renders one of the two."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from provision.command import Fix
from provision.errors import ErrorJson

if TYPE_CHECKING:
    from rich.console import RenderableType

    from provision.core.step import Report
    from provision.output.hints import Invocation


@dataclass(frozen=True, slots=True)
class Words:
    """A text, or a sentence with a command to paste."""

    text: str | Fix


@dataclass(frozen=True, slots=True)
class Paper:
    """What there is to draw on: columns, whether it takes pictures, and how this person types commands."""

    width: int
    takes_pictures: bool
    call: Invocation


@dataclass(frozen=True, slots=True)
class Drawn:
    """What is drawn; with `--plain` the `words` for it, where there are any."""

    draw: Callable[[Paper], RenderableType]
    words: str = ""


@dataclass(frozen=True, slots=True)
class Picture:
    """A PNG, where it can be shown."""

    png: bytes


@dataclass(frozen=True, slots=True)
class Ending:
    """The end of a run: what is not right with its fix, then closing words."""

    report: Report
    closing: str


@dataclass(frozen=True, slots=True)
class Findings:
    """Every finding of a look, grouped by step, then closing words."""

    report: Report
    closing: str


Part = Words | Drawn | Picture | Ending | Findings


@dataclass(frozen=True, slots=True)
class Result:
    """What a program reads (a dataclass), what a person reads; `error` says why the exit code is not 0."""

    facts: object
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


def answer(facts: object, *view: Part | str | Fix, error: ErrorJson | None = None, changed: bool = False) -> Result:
    """The answer of a command that runs no steps; a text is shown as it stands."""
    parts = tuple(Words(part) if isinstance(part, str | Fix) else part for part in view)
    return Result(facts, parts, error, changed)


def why(code: str, what: Fix) -> ErrorJson:
    """Why a command that ends well is not satisfied."""
    return ErrorJson(code, what.says, Fix(command=what.command), what.command)


def ran(report: Report, facts: object, closing: str, *before: Part) -> Result:
    """The answer of a run of steps."""
    return Result(facts, (*before, Ending(report, closing)), report.error, report.changed, report)


def looked(report: Report, facts: object, closing: str) -> Result:
    """The answer of a look at steps."""
    return Result(facts, (Findings(report, closing),), report.error, report.changed, report)


def pairs(rows: Sequence[tuple[str, ...]]) -> Drawn:
    """Names and values."""
    from provision.output import views

    return Drawn(lambda _: views.pairs_table(rows))
