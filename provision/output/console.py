"""Who shows what happens: a live view, plain lines or NDJSON. All of it passes the one door to the screen.

Standard output carries data (a report, a table, JSON), standard error everything else.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from provision.core.estimate import USUAL_S, Pace
from provision.core.events import (
    ApplyStarted,
    CheckSlow,
    Event,
    MendingPlanned,
    Note,
    Output,
    Progress,
    RunStarted,
    StepFinished,
    StepStarted,
    Waiting,
)
from provision.core.finding import JSON
from provision.core.step import Report
from provision.errors import ConsentNeeded, ProvisionError
from provision.output import live_view, safe_streams, views
from provision.output.hints import Invocation
from provision.output.run_state import RunState
from provision.output.screen import Line, Screen
from provision.output.terminal_image import encode, protocol_of
from provision.system.log_files import OwnLog
from provision.system.visible import uncoloured, visible

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.text import Text

    from provision.output.painter import Painter

PLAIN_EVERY_S = 5.0
SPOKEN_EVERY_S = 20.0
"""With `--plain`: a screen reader that speaks is not to be interrupted all the time."""


class Console:
    """Plain lines: no animation, no colour that is not asked for; what logs, pipes and screen readers get.

    With `plain` marks are words, tables are sentences, and progress is told less often.
    """

    def __init__(self, *, verbose: bool = False, yes: bool = False, plain: bool = False) -> None:
        self.verbose, self.yes, self.plain = verbose, yes, plain
        self.marks = views.WORDS if plain else views.GLYPHS
        self.state = RunState()
        self.invocation = Invocation()
        """As it is here, hints name the commands that they propose."""
        self._guard = threading.RLock()
        self._said: dict[tuple[str, str], float] = {}
        self._log: OwnLog | None = None

    def __enter__(self) -> Console:
        return self

    def __exit__(self, *_: object) -> None:
        if self._log is not None:
            self._log.close()
            self._log = None

    def keep_log(self, path: Path) -> None:
        """Write every event as text to a log from now on, as far as one can be kept there."""
        if self._log is None:
            self._log = OwnLog(path)
            self._write(f"--- {time.strftime('%Y-%m-%d %H:%M:%S')} provision {' '.join(sys.argv[1:])}")

    def _write(self, line: str) -> None:
        if self._log is not None:
            self._log.write(visible(uncoloured(line)))

    def log_text(self, text: str) -> None:
        """Lines for the log alone."""
        with self._guard:
            for line in text.splitlines():
                self._write(line)

    def reckon_with(self, pace: Pace, usual: Mapping[str, float] = USUAL_S) -> None:
        """What was measured before and what is usual, for the time that a run will take."""
        self.state = RunState(pace, usual)

    def kept(self) -> str:
        """What a run that is stopped now leaves for the next one, in words."""
        with self._guard:
            return live_view.kept_text(self.state)

    def emit(self, event: Event) -> None:
        """Receive an event, from any thread."""
        with self._guard:
            self.state.add(time.monotonic(), event)
            line = views.log_line(event)
            if line:
                self._write(line)
            self.show(event)

    def show(self, event: Event) -> None:
        """Show one event; called under the guard."""
        if isinstance(event, Progress):
            self._tell_progress(event)
        elif isinstance(event, StepFinished):
            self.line(views.step_line(event, self.marks))
        elif isinstance(event, Waiting):
            self.line(f"  {event.step}: {views.waiting_text(event.says, event.seconds)}")
        elif isinstance(event, ApplyStarted):
            self.line(f"  {event.step}: {event.says}")
        elif isinstance(event, Note):
            self.line(f"  {event.step}: {event.says}" if event.step else event.says)
        elif isinstance(event, CheckSlow) and not event.over:
            self.line(views.slow_line(event))
        elif isinstance(event, MendingPlanned):
            self.line(views.mending_text(event))
        elif isinstance(event, Output) and self.verbose:
            self.line(f"    {uncoloured(event.line)}")

    def _tell_progress(self, event: Progress) -> None:
        if event.total is None or event.unit != "bytes":
            return
        key, now = (event.step, event.says), time.monotonic()
        if now - self._said.setdefault(key, now) < (SPOKEN_EVERY_S if self.plain else PLAIN_EVERY_S):
            return
        self._said[key] = now
        step = self.state.steps.get(event.step)
        rate = step.tasks[event.kind, event.subject].rate.at(now) if step is not None else None
        self.line(f"  {event.step}: {views.progress_text(event, rate)}")
        if self.state.announced and now - self._said.get(("", ""), 0) >= SPOKEN_EVERY_S:
            self._said["", ""] = now
            self.line(f"  {live_view.total_text(self.state, now)}")

    def line(self, text: str) -> None:
        """One line on standard error."""
        safe_streams.say(safe_streams.err(), self._own(text))

    def _own(self, text: str) -> str:
        """A line of our own; the commands in it can be pasted."""
        return visible(self.invocation.said(text))

    def consent(self, question: str) -> bool:
        """Ask yes or no. Raises ConsentNeeded where nobody can answer."""
        if self.yes:
            return True
        if not (is_terminal(sys.stdin) and is_terminal(sys.stderr)):
            raise ConsentNeeded(f"{question} Nobody is here to say yes.", hint="Add --yes to agree beforehand.")
        with self._guard:
            return self.ask(question)

    def agrees_to(self, page: str, question: str) -> bool:
        """Show a text whole and ask about it; True where that was agreed to beforehand, and where nobody can answer."""
        if self.yes or not (is_terminal(sys.stdin) and is_terminal(sys.stderr)):
            return True
        safe_streams.say(safe_streams.err(), page)
        return self.consent(question)

    def ask(self, question: str) -> bool:
        """Ask on the terminal."""
        safe_streams.say(safe_streams.err(), f"{self._own(question)} [y/N] ", end="")
        return sys.stdin.readline().strip().lower() in ("y", "yes")

    def report(self, report: Report, facts: Mapping[str, JSON], *, closing: str) -> None:
        """The end of a run: what is not right with its fix, then one closing sentence."""
        text = views.report_text(report, closing, self.marks)
        if text:
            self.advise(text)

    def checkup(self, report: Report, facts: Mapping[str, JSON], *, closing: str) -> None:
        """Every finding of a look, grouped by step."""
        self.advise(views.checkup_text(report, closing, details=self.verbose, marks=self.marks))

    def advise(self, text: str) -> None:
        """Data of our own words; the commands in it can be pasted."""
        self.data(self.invocation.said(text))

    def data(self, text: str) -> None:
        """Data for standard output."""
        with self._guard:
            safe_streams.say(safe_streams.out(), text)

    def record(self, value: Mapping[str, JSON]) -> None:
        """Data that is only for machines: nothing here."""

    def error(self, error: ProvisionError, log: Path | None = None) -> None:
        """What happened and why, what to type next, where more is written."""
        self.line(views.error_text(error, log, self.marks))

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
            safe_streams.say(safe_streams.out(), json.dumps(value, default=str).replace("\x7f", "\\u007f"))

    def data(self, text: str) -> None:
        """Tables are for people."""

    def agrees_to(self, page: str, question: str) -> bool:
        """Who reads JSON is no person."""
        return True

    def error(self, error: ProvisionError, log: Path | None = None) -> None:
        failure = {"code": error.code, "message": error.message, "hint": error.hint}
        self.record({"schema": 1, "type": "report", "ok": False, "changed": False, "error": failure, "steps": []})


class LiveConsole(Console):
    """A terminal: finished steps as lines that stay, below them what is at work, with bytes, rate and time left."""

    def __init__(self, *, verbose: bool = False, yes: bool = False) -> None:
        super().__init__(verbose=verbose, yes=yes)
        from provision.output.painter import Painter

        self.rich: Painter = Painter(safe_streams.err())
        self.out: Painter = Painter(safe_streams.out())
        self.screen = Screen(self.rich.file, self._picture_of_now, self._guard)

    def __exit__(self, *error: object) -> None:
        self._end()
        super().__exit__(*error)

    def _picture_of_now(self, width: int, height: int) -> list[Line]:
        lines = live_view.live_lines(self.state, time.monotonic(), width, height)
        return [Line(self._coloured(line), line.cell_len) for line in lines]

    def _coloured(self, line: Text) -> str:
        with self.rich.capture() as captured:
            self.rich.print(line, end="", no_wrap=True, overflow="ignore", crop=False)
        return captured.get()

    def _end(self) -> None:
        """The picture goes away, and what was in it is over."""
        with self._guard:
            self.screen.stop()
            self.state.settle()

    def show(self, event: Event) -> None:
        if isinstance(event, RunStarted | StepStarted | Progress | Waiting):
            self.screen.start()
        elif isinstance(event, StepFinished):
            self._print(views.step_row(event))
        elif isinstance(event, Note) and not (event.passing and event.step):
            self._print(views.note_row(replace(event, says=self._own(event.says))))
        elif isinstance(event, MendingPlanned):
            self.line(views.mending_text(event))
        elif isinstance(event, CheckSlow) and not event.over:
            self.screen.start()
        elif isinstance(event, Output) and self.verbose:
            self.line(f"    {uncoloured(event.line)}")

    def _print(self, view: RenderableType) -> None:
        """Something that stays; a command in it is not broken into lines, so that it can be copied."""
        with self._guard:
            self.screen.above(lambda: self.rich.print(view, crop=False))

    def line(self, text: str) -> None:
        with self._guard:
            self.screen.above(lambda: self.rich.print(self._own(text), markup=False, emoji=False))

    def agrees_to(self, page: str, question: str) -> bool:
        self._end()
        return super().agrees_to(page, question)

    def ask(self, question: str) -> bool:
        running = self.screen.running
        self.screen.stop()
        answer = super().ask(question)
        if running:
            self.screen.start()
        return answer

    def data_follows(self) -> None:
        """The picture goes away before data is printed."""
        self._end()

    def data(self, text: str) -> None:
        self._end()
        super().data(text)

    def report(self, report: Report, facts: Mapping[str, JSON], *, closing: str) -> None:
        self._end()
        self.out.print(views.report_view(report, closing, self.invocation.said), crop=False)

    def error(self, error: ProvisionError, log: Path | None = None) -> None:
        self._end()
        self.rich.print(views.error_view(error, log, self.invocation.said), crop=False)

    def picture(self, png: bytes) -> None:
        self._end()
        if not self.out.is_terminal:
            return
        columns = min(self.out.width - 2, 64)
        if drawn := encode(png, protocol_of(os.environ), columns):
            self.out.file.write(drawn)
            self.out.file.flush()
        elif not self.out.no_color:
            self.out.print(views.picture(png, columns))


def is_terminal(stream: TextIO | None) -> bool:
    """Whether a person may be at this stream; a stream may be closed, or not be there at all."""
    return stream is not None and not stream.closed and stream.isatty()


def make_console(
    *, json_lines: bool, verbose: bool, yes: bool, environ: Mapping[str, str], plain: bool = False
) -> Console:
    """The console for this run: `--json` and `--plain` pick the format, a terminal only decides animation."""
    if json_lines:
        return JsonConsole(verbose=verbose, yes=yes)
    if plain:
        return Console(verbose=verbose, yes=yes, plain=True)
    kind: type[Console] = Console
    can_draw = is_terminal(sys.stderr) and (sys.stderr.encoding or "utf-8").lower().startswith("utf")
    if can_draw and environ.get("TERM", "") not in ("", "dumb"):
        kind = LiveConsole
    return kind(verbose=verbose, yes=yes)


def tabulate(console: Console, table: Any) -> None:
    """Print a rich table as data, at the terminal's width or 100 columns; it may be made by a function of the width."""
    from provision.output.painter import Painter

    if isinstance(console, JsonConsole):
        return
    if isinstance(console, LiveConsole):
        console.data_follows()
    rich = Painter(safe_streams.out(), width=None if is_terminal(sys.stdout) else 100)
    rich.print(table(rich.width) if callable(table) else table)
