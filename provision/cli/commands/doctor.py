"""`provision doctor`: check everything, fix it, or explain a log."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from provision.cli.command import Session, command
from provision.cli.offers import offer_findings
from provision.cli.request import ASKING
from provision.core.finding import Kind
from provision.output.result import Result, answer, pairs


def doctor(
    at: Session,
    *,
    logfile: Annotated[
        list[Path] | None,
        Argument(metavar="LOGFILE", help="Explain this log, ComfyUI's or any other; - reads standard input."),
    ] = None,
    fix: Annotated[bool, Option("--fix", help="Fix what can be fixed, after showing what will be done.")] = False,
    only: Annotated[
        list[str] | None,
        Option("--only", metavar="ID", help="Only this finding.", autocompletion=offer_findings),
    ] = None,
    listed: Annotated[bool, Option("--list", help="List all checks.")] = False,
    report_file: Annotated[
        Path | None, Option("--report", metavar="FILE", help="Write a report for an issue, with secrets removed.")
    ] = None,
) -> Result:
    """Check or fix everything, list the checks, or explain logs. Raises UsageError, and what the steps raise."""
    from provision.cli.commands.examine import examine
    from provision.cli.commands.explain_log import explain_log

    if listed:
        return list_checks()
    if logfile:
        return explain_log(*logfile)
    return examine(at, fix=fix, only=only or [], report_file=report_file)


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
    from provision.steps.catalogue import CATALOGUE, steps_with_findings
    from provision.steps.registry import STEPS

    about = {step.name: step for step in STEPS}
    checks: list[Checks] = []
    rows: list[tuple[str, str]] = []
    for name in dict.fromkeys([*about, *steps_with_findings()]):
        entries = [entry for entry in CATALOGUE if entry.step == name]
        says, needs = (about[name].about, about[name].needs) if name in about else ("", ())
        checks.append(Checks(name, says, needs, tuple(entries)))
        rows += [(name, says), *((f"  {entry.id}", entry.looks_at) for entry in entries)]
    return answer(CheckList(tuple(checks)), pairs(rows))


app = command("doctor", doctor, ASKING | {"backend", "precision", "comfyui", "python", "deep"})
