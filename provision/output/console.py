"""The console, here as plain lines: data (a report, a table) goes to standard output, the rest to standard error."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from provision.command import Fix
from provision.core import events
from provision.core.estimate import USUAL_S, Pace
from provision.errors import ConsentNeeded, ProvisionError
from provision.output import safe_streams, views
from provision.output.as_json import Run
from provision.output.hints import HERE
from provision.output.result import Drawn, Ending, Findings, Paper, Part, Picture, Result, Words
from provision.output.run_state import RunState
from provision.system.log_files import OwnLog
from provision.system.visible import uncoloured, visible

if TYPE_CHECKING:
    from rich.console import RenderableType

    from provision.core.step import Report

PLAIN_EVERY_S = 5.0
SPOKEN_EVERY_S = 20.0
"""With `--plain`: a screen reader that speaks is not to be interrupted all the time."""


class Console:
    """Plain lines: no animation, no colour that is not asked for; what logs, pipes and screen readers get.

    With `plain`, marks are words, tables are sentences, and progress comes less often.
    """

    def __init__(
        self, run: Run | None = None, *, verbose: bool = False, yes: bool = False, plain: bool = False
    ) -> None:
        self.run = run or Run()
        self.heard = self.run.began
        """When something last happened, in seconds since 1970."""
        self.verbose, self.yes, self.plain = verbose, yes, plain
        self.marks = views.WORDS if plain else views.GLYPHS
        self.state = RunState()
        self.invocation = HERE
        """As it is here, commands are shown."""
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
        """Write lines to the log only."""
        with self._guard:
            for line in text.splitlines():
                self._write(line)

    def reckon_with(self, pace: Pace, usual: Mapping[str, float] = USUAL_S) -> None:
        """What was measured before and what is usual, for the time that a run will take."""
        self.state = RunState(pace, usual)

    def kept(self) -> str:
        """What a run that is stopped now leaves for the next one, in words."""
        with self._guard:
            return views.kept_text(self.state)

    def emit(self, event: events.Event) -> None:
        """Receive an event, from any thread."""
        with self._guard:
            self.heard = time.time()
            self.state.add(time.monotonic(), event)
            if line := views.log_line(event):
                self._write(line)
            self.show(event)

    def heartbeat(self) -> events.Heartbeat:
        """What is going on."""
        with self._guard:
            return self.state.heartbeat(time.monotonic())

    def emit_of_a_look(self, event: events.Event) -> None:
        """Receive an event of a look, whose findings are shown at its end: before, only what moves or takes long."""
        if isinstance(event, events.Note | events.Progress | events.Output | events.Waiting):
            self.emit(event)

    def show(self, event: events.Event) -> None:
        """Show one event; called under the guard."""
        if isinstance(event, events.Progress):
            self._tell_progress(event)
        elif isinstance(event, events.StepFinished):
            self.line(views.step_line(event, self.marks))
        elif isinstance(event, events.Output) and self.verbose:
            self.line(f"    {uncoloured(event.line)}")
        elif says := views.spoken(event, self.invocation):
            self.line(f"  {event.step}: {says}" if event.step else says)

    def _tell_progress(self, event: events.Progress) -> None:
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
            self.line(f"  {views.total_text(self.state, now)}")

    def line(self, text: str) -> None:
        safe_streams.say(safe_streams.err(), visible(text))

    def consent(self, question: str) -> bool:
        """Ask yes or no. Raises ConsentNeeded where nobody can answer."""
        if self.yes:
            return True
        if not (is_terminal(sys.stdin) and is_terminal(sys.stderr)):
            raise ConsentNeeded(f"{question} Nobody is here to say yes.", hint=Fix("Add --yes to agree beforehand."))
        with self._guard:
            return self.ask(question)

    def agrees_to(self, page: str, question: str) -> bool:
        """Show a text and ask about it; True with `--yes`, and where nobody can answer."""
        if self.yes or not (is_terminal(sys.stdin) and is_terminal(sys.stderr)):
            return True
        safe_streams.say(safe_streams.err(), page)
        return self.consent(question)

    def ask(self, question: str) -> bool:
        safe_streams.say(safe_streams.err(), f"{visible(question)} [y/N] ", end="")
        return sys.stdin.readline().strip().lower() in ("y", "yes")

    def answer(self, result: Result) -> None:
        for part in result.view:
            self.tell(part)

    def tell(self, part: Part) -> None:
        """Show a part of an answer to people; a long command shows some before its end."""
        match part:
            case Words(text):
                self.data(text if isinstance(text, str) else self.invocation.text(text))
            case Drawn(_, words) if self.plain and words:
                self.data(words)
            case Drawn(draw):
                self.draw(draw)
            case Ending(report, closing):
                self.end(report, closing)
            case Findings(report, closing):
                details, call = self.verbose, self.invocation
                self.data(views.checkup_text(report, closing, details=details, marks=self.marks, call=call))
            case Picture(png):
                self.picture(png)

    def data(self, text: str) -> None:
        with self._guard:
            safe_streams.say(safe_streams.out(), text)

    def draw(self, draw: Callable[[Paper], RenderableType]) -> None:
        """Something of rich's on standard output, at the terminal's width or 100 columns."""
        from provision.output.painter import Painter

        rich = Painter(safe_streams.out(), width=None if is_terminal(sys.stdout) else 100)
        rich.print(draw(Paper(rich.width, self.takes_pictures, self.invocation)))

    def end(self, report: Report, closing: str) -> None:
        if lines := views.report_lines(report, closing, self.marks, self.invocation):
            self.data(views.plain(lines))

    def picture(self, png: bytes) -> None:
        """Show a picture, where it can be shown: not here."""

    @property
    def takes_pictures(self) -> bool:
        """Whether pictures can be shown."""
        return False

    def error(self, error: ProvisionError, log: Path | None = None) -> None:
        """What happened and why, what to type next, where more is written."""
        self.line(views.plain(views.error_lines(error, log, "error:", self.marks, self.invocation)))


def is_terminal(stream: TextIO | None) -> bool:
    """Whether this stream is a terminal; it may be closed or missing."""
    return stream is not None and not stream.closed and stream.isatty()


def make_console(
    command: str | None,
    *,
    json: bool,
    verbose: bool = False,
    yes: bool = False,
    plain: bool = False,
    environ: Mapping[str, str],
) -> Console:
    """The console for this run: `--json` and `--plain` pick the format, a terminal only decides animation."""
    if json:
        from provision.output.json_console import JsonConsole

        return JsonConsole(Run(command), verbose=verbose, yes=yes)
    can_draw = is_terminal(sys.stderr) and (sys.stderr.encoding or "utf-8").lower().startswith("utf")
    if plain or not can_draw or environ.get("TERM", "") in ("", "dumb"):
        return Console(Run(command), verbose=verbose, yes=yes, plain=plain)
    from provision.output.live_console import LiveConsole

    return LiveConsole(Run(command), verbose=verbose, yes=yes)
