"""`provision report`: what a run did, as one HTML page."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from typer import Option

from provision.cli.command import Session, command
from provision.cli.request import USUAL
from provision.command import Fix, ours
from provision.errors import UsageError
from provision.output.layout import KEPT, line
from provision.output.result import Result, answer

MARK = '<!DOCTYPE html>\n<html lang="en">'
FILE = "provision-report.html"


@dataclass(frozen=True, slots=True)
class PageFacts:
    """Where the page is, and its bytes."""

    path: str
    size: int


def report(
    at: Session,
    *,
    output: Annotated[Path | None, Option("-o", "--output", metavar="FILE", help="Where to save the page.")] = None,
    open_it: Annotated[bool, Option("--open", help="Open the page in the browser.")] = False,
) -> Result:
    """Write the page of the last run that changed something. Raises UsageError where there was none."""
    import webbrowser
    from functools import partial

    from provision.cli.commands.run_page import run_page
    from provision.cli.commands.shared_page import check_place, person_of, write_page
    from provision.output.amounts import size_text
    from provision.output.report.page import html_page
    from provision.output.report.redact import redact
    from provision.output.report.run_record import last_change

    ctx = at.ctx
    run = last_change(ctx.home)
    if run is None:
        raise UsageError(f"No recorded run of `all` in {ctx.home.root}.", hint=ours("all"))
    path = (output or ctx.home.root / FILE).expanduser().absolute()
    check_place(path, MARK, ours("report", "-o", FILE))
    tell = partial(redact, person=person_of(ctx))
    write_page(path, html_page(run_page(ctx, run, tell), tell))
    if open_it:
        webbrowser.open(path.as_uri())
    size = path.stat().st_size
    again = ours("report", "--open", *(("-o", str(output)) if output is not None else ()))
    kept = line("Report: ", (str(path), KEPT), f" ({size_text(size)}, one file)")
    return answer(PageFacts(str(path), size), kept, *([] if open_it else [Fix("To look at it:", again)]))


app = command("report", report, USUAL)
