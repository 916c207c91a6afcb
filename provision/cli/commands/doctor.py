"""`provision doctor`: check everything, fix it, or explain a log."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from provision.cli.command import Session, command
from provision.cli.offers import offer_findings
from provision.cli.request import ASKING, OFFLINE
from provision.output.result import Result


def doctor(  # noqa: PLR0913  (each is a flag)
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
    bisect: Annotated[
        bool, Option("--bisect", help="Find the custom node that makes the start or the image wrong, by halves.")
    ] = False,
    report_file: Annotated[
        Path | None, Option("--report", metavar="FILE", help="Write a report for an issue, with secrets removed.")
    ] = None,
) -> Result:
    """Check or fix everything, list the checks, explain logs, or find a custom node at fault.

    Raises UsageError, and what the steps raise.
    """
    from provision.cli.commands.examine import examine
    from provision.cli.commands.explain_log import explain_log

    if listed:
        from provision.cli.commands.list_checks import list_checks

        return list_checks()
    if bisect:
        from provision.cli.commands.bisect_nodes import bisect as by_halves

        return by_halves(at)
    if logfile:
        return explain_log(*logfile)
    return examine(at, fix=fix, only=only or [], report_file=report_file)


app = command("doctor", doctor, ASKING | OFFLINE | {"backend", "precision", "comfyui", "python", "deep"})
