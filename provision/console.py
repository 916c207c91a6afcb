"""Who shows what happens: a live view, plain lines or NDJSON. The only place that prints.

Standard output carries data (a report, a table, JSON), standard error everything else.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from provision import views
from provision.errors import ConsentNeeded, ProvisionError
from provision.events import (
    ApplyStarted,
    CheckSlow,
    Doing,
    Event,
    MendingPlanned,
    Note,
    Output,
    Progress,
    StepFinished,
    StepStarted,
)
from provision.finding import JSON
from provision.home import unusable
from provision.step import Report

if TYPE_CHECKING:
    from rich.console import Console as RichConsole
    from rich.console import RenderableType
    from rich.live import Live

PLAIN_EVERY_S = 5.0
LIVE_PER_SECOND = 8


class Console:
    """Plain lines: no animation, no colour that is not asked for; what logs, pipes and screen readers get."""

    def __init__(self, *, verbose: bool = False, yes: bool = False) -> None:
        self.verbose, self.yes = verbose, yes
        self._guard = threading.RLock()
        self._said: dict[tuple[str, str], float] = {}
        self._log: TextIO | None = None

    def __enter__(self) -> Console:
        return self

    def __exit__(self, *_: object) -> None:
        if self._log is not None:
            with suppress(OSError):
                self._log.close()
            self._log = None

    def keep_log(self, path: Path) -> None:
        """Write every event as text to a log from now on. Raises HomeError, DiskFull."""
        if self._log is not None:
            return
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._log = path.open("a", encoding="utf-8", buffering=1)
        except OSError as error:
            raise unusable(path, error) from error
        self._write(f"--- {time.strftime('%Y-%m-%d %H:%M:%S')} provision {' '.join(sys.argv[1:])}")

    def _write(self, line: str) -> None:
        """A line for the log; a disk that is full ends the log and nothing else."""
        if self._log is None:
            return
        try:
            self._log.write(line + "\n")
        except OSError:
            broken, self._log = self._log, None
            with suppress(OSError):
                broken.close()

    def log_text(self, text: str) -> None:
        """Lines for the log alone."""
        with self._guard:
            for line in text.splitlines():
                self._write(line)

    def emit(self, event: Event) -> None:
        """Receive an event, from any thread."""
        with self._guard:
            line = views.log_line(event)
            if line:
                self._write(line)
            self.show(event)

    def show(self, event: Event) -> None:
        """Show one event; called under the guard."""
        if isinstance(event, Progress):
            if event.total is None or event.unit != "bytes":
                return
            key, now = (event.step, event.subject), time.monotonic()
            if now - self._said.setdefault(key, now) >= PLAIN_EVERY_S:
                self._said[key] = now
                self.line(f"  {event.step}: {views.progress_text(event)}")
        elif isinstance(event, StepFinished):
            self.line(views.step_line(event))
        elif isinstance(event, ApplyStarted):
            self.line(f"  {event.step}: {event.says}")
        elif isinstance(event, Note):
            self.line(f"  {event.step}: {event.says}" if event.step else event.says)
        elif isinstance(event, CheckSlow) and not event.over:
            self.line(views.slow_line(event))
        elif isinstance(event, MendingPlanned):
            self.line(views.mending_text(event))
        elif isinstance(event, Output) and self.verbose:
            self.line(f"    {event.line}")

    def line(self, text: str) -> None:
        """One line on standard error."""
        print(text, file=sys.stderr, flush=True)

    def consent(self, question: str) -> bool:
        """Ask yes or no. Raises ConsentNeeded where nobody can answer."""
        if self.yes:
            return True
        if not (is_terminal(sys.stdin) and is_terminal(sys.stderr)):
            raise ConsentNeeded(f"{question} Nobody is here to say yes.", hint="Add --yes to agree beforehand.")
        with self._guard:
            return self.ask(question)

    def ask(self, question: str) -> bool:
        """Ask on the terminal."""
        print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
        return sys.stdin.readline().strip().lower() in ("y", "yes")

    def report(self, report: Report, facts: Mapping[str, JSON], *, closing: str) -> None:
        """The end of a run: what is not right with its fix, then one closing sentence."""
        text = views.report_text(report, closing)
        if text:
            self.data(text)

    def checkup(self, report: Report, facts: Mapping[str, JSON], *, closing: str) -> None:
        """Every finding of a look, grouped by step."""
        self.data(views.checkup_text(report, closing, details=self.verbose))

    def data(self, text: str) -> None:
        """Data for standard output."""
        with self._guard:
            print(text, flush=True)

    def record(self, value: Mapping[str, JSON]) -> None:
        """Data that is only for machines: nothing here."""

    def error(self, error: ProvisionError, log: Path | None = None) -> None:
        """What happened, and what to type next."""
        self.line(f"error: {error.message}\n  {views.ARROW} {error.hint}")
        if log is not None:
            self.line(f"  log: {log}")

    def picture(self, png: bytes) -> None:
        """A picture, where it can be shown: not here."""


class JsonConsole(Console):
    """One JSON object a line on standard output, the report last."""

    def show(self, event: Event) -> None:
        self.record(event.to_json())

    def report(self, report: Report, facts: Mapping[str, JSON], *, closing: str) -> None:
        self.record({**report.to_json(), **facts})

    def checkup(self, report: Report, facts: Mapping[str, JSON], *, closing: str) -> None:
        self.report(report, facts, closing=closing)

    def record(self, value: Mapping[str, JSON]) -> None:
        with self._guard:
            print(json.dumps(value, default=str), flush=True)

    def data(self, text: str) -> None:
        """Tables are for people."""

    def error(self, error: ProvisionError, log: Path | None = None) -> None:
        failure = {"code": error.code, "message": error.message, "hint": error.hint}
        self.record({"schema": 1, "type": "report", "ok": False, "changed": False, "error": failure, "steps": []})


@dataclass
class _Row:
    """A step that is at work, as the live view shows it."""

    started: float
    doing: str = "looking"
    progress: dict[str, Progress] = field(default_factory=dict)
    rate: views.Rate = field(default_factory=views.Rate)
    output: str = ""


class LiveConsole(Console):
    """A terminal: finished steps as lines that stay, steps at work below with bytes, rate and time left."""

    def __init__(self, *, verbose: bool = False, yes: bool = False) -> None:
        super().__init__(verbose=verbose, yes=yes)
        from rich.console import Console as RichConsole

        self.rich: RichConsole = RichConsole(stderr=True, highlight=False)
        self.out: RichConsole = RichConsole(highlight=False)
        self._rows: dict[str, _Row] = {}
        self._live: Live | None = None

    def __exit__(self, *error: object) -> None:
        self._stop()
        super().__exit__(*error)

    def _start(self) -> None:
        from rich.live import Live

        if self._live is None:
            self._live = Live(
                get_renderable=self._picture_of_now,
                console=self.rich,
                transient=True,
                refresh_per_second=LIVE_PER_SECOND,
            )
            self._live.start()

    def _stop(self) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _picture_of_now(self) -> RenderableType:
        # Called by rich's own thread under rich's lock: taking our guard here could deadlock with `show`.
        rows = [
            views.LiveRow(name, row.doing, list(row.progress.values()), row.rate.bytes_per_s, row.output, row.started)
            for name, row in list(self._rows.items())
        ]
        return views.live_table(rows, time.monotonic())

    def show(self, event: Event) -> None:
        if isinstance(event, StepStarted):
            self._rows.setdefault(event.step, _Row(time.monotonic()))
            self._start()
        elif isinstance(event, StepFinished):
            self._rows.pop(event.step, None)
            self.rich.print(views.step_text(event))
        elif isinstance(event, Note):
            self.rich.print(views.note_text(event))
        elif isinstance(event, MendingPlanned):
            self.line(views.mending_text(event))
        elif isinstance(event, CheckSlow):
            self._show_slow(event)
        else:
            if isinstance(event, Progress) and event.step not in self._rows:  # a look, whose steps are not announced
                self._rows[event.step] = _Row(time.monotonic())
                self._start()
            if event.step in self._rows:
                self._update(self._rows[event.step], event)

    def _show_slow(self, event: CheckSlow) -> None:
        """A row for a look that takes long; fast ones come and go unseen."""
        if event.over:
            self._rows.pop(event.step, None)
        else:
            row = self._rows.setdefault(event.step, _Row(time.monotonic() - event.seconds))
            row.doing = event.says
            self._start()

    def _update(self, row: _Row, event: Event) -> None:
        if isinstance(event, Doing):
            row.doing = event.says
        elif isinstance(event, ApplyStarted):
            row.doing, row.output = event.says, ""
            row.progress.clear()
        elif isinstance(event, Progress):
            row.progress[event.subject] = event
            if event.unit == "bytes":
                row.rate.add(time.monotonic(), sum(p.done for p in row.progress.values()))
            if event.total is not None and event.done >= event.total:
                row.progress.pop(event.subject)
        elif isinstance(event, Output):
            row.output = event.line
            if self.verbose:
                self.rich.print(f"    {event.line}", style="dim", markup=False, emoji=False)

    def line(self, text: str) -> None:
        self.rich.print(text, markup=False, emoji=False)

    def ask(self, question: str) -> bool:
        self._stop()
        answer = super().ask(question)
        self._start()
        return answer

    def report(self, report: Report, facts: Mapping[str, JSON], *, closing: str) -> None:
        self._stop()
        self.out.print(views.report_view(report, closing))

    def checkup(self, report: Report, facts: Mapping[str, JSON], *, closing: str) -> None:
        self._stop()
        super().checkup(report, facts, closing=closing)

    def error(self, error: ProvisionError, log: Path | None = None) -> None:
        self._stop()
        self.rich.print(views.error_view(error, log))

    def picture(self, png: bytes) -> None:
        self._stop()
        self.out.print(views.picture(png, min(self.out.width - 2, 64)))


def is_terminal(stream: TextIO | None) -> bool:
    """Whether a person may be at this stream; a stream may be closed, or not be there at all."""
    return stream is not None and not stream.closed and stream.isatty()


def make_console(*, json_lines: bool, verbose: bool, yes: bool, environ: Mapping[str, str]) -> Console:
    """The console for this run: `--json` alone picks the format, a terminal only decides animation."""
    kind: type[Console] = Console
    if json_lines:
        kind = JsonConsole
    elif is_terminal(sys.stderr) and environ.get("TERM", "") not in ("", "dumb"):
        kind = LiveConsole
    return kind(verbose=verbose, yes=yes)


def tabulate(console: Console, table: Any) -> None:
    """Print a rich table as data, at the terminal's width or 100 columns."""
    from rich.console import Console as RichConsole

    width = None if is_terminal(sys.stdout) else 100
    if not isinstance(console, JsonConsole):
        RichConsole(highlight=False, width=width).print(table)
