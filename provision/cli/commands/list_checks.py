"""`doctor --list`: every check."""

from __future__ import annotations

from dataclasses import dataclass

from provision.core.finding import Kind
from provision.output.result import Pairs, Result, answer
from provision.steps.catalogue import CATALOGUE, steps_with_findings
from provision.steps.registry import STEPS


@dataclass(frozen=True, slots=True)
class Checks:
    """What a step looks at, which steps it needs, and every kind of finding that it may yield."""

    step: str
    about: str
    needs: tuple[str, ...]
    findings: tuple[Kind, ...]


@dataclass(frozen=True, slots=True)
class CheckList:
    """The checks of every step."""

    checks: tuple[Checks, ...]


def list_checks() -> Result:
    """Every finding by its step, with what is looked at."""
    about = {step.name: step for step in STEPS}
    checks: list[Checks] = []
    rows: list[tuple[str, str]] = []
    for name in dict.fromkeys([*about, *steps_with_findings()]):
        entries = [entry for entry in CATALOGUE if entry.step == name]
        says, needs = (about[name].about, about[name].needs) if name in about else ("", ())
        checks.append(Checks(name, says, needs, tuple(entries)))
        rows += [(name, says), *((f"  {entry.id}", entry.looks_at) for entry in entries)]
    return answer(CheckList(tuple(checks)), Pairs(rows))
