"""The console, here as plain lines: data (a report, a table) goes to standard output, the rest to standard error."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from provision.command import Fix
from provision.core import events
from provision.core.estimate import USUAL_S, Pace
from provision.core.finding import Verdict
from provision.errors import ConsentNeeded, Interrupted, ProvisionError
from provision.output import plan_view, safe_streams, views
from provision.output.as_json import Run
from provision.output.bars import bars_text
from provision.output.hints import HERE
from provision.output.layout import KEPT, Line, line, prose
from provision.output.outlet import Colour, Outlet
from provision.output.pulse import draws, is_terminal
from provision.output.result import Bars, Data, Ending, Findings, Pairs, Part, Picture, Planned, Result, Words
from provision.output.run_state import RunState
from provision.output.slow_checks import SLOW_S
from provision.system.log_files import OwnLog
from provision.system.visible import uncoloured, visible

if TYPE_CHECKING:
    from rich.text import Text

PLAIN_EVERY_S = 5.0
SPOKEN_EVERY_S = 20.0
"""With `--plain`: a screen reader that speaks is not to be interrupted all the time."""


class Console:
    """Plain lines without animation: what logs, pipes and screen readers get.

    With `plain`, marks are words, tables are sentences, and progress comes less often. With `quiet`, only the answer,
    what fails, and questions.
    """

    slow_s = SLOW_S
    """From when on a look says that it takes long."""

    def __init__(
        self,
        run: Run | None = None,
        *,
        verbose: bool = False,
        yes: bool = False,
        plain: bool = False,
        quiet: bool = False,
        colour: Colour = Colour.AUTO,
    ) -> None:
        self.run = run or Run()
        self.heard = self.run.began
        """When something last happened, in seconds since 1970."""
        self.verbose, self.yes, self.plain, self.quiet = verbose, yes, plain, quiet
        colour = Colour.NEVER if plain and colour is Colour.AUTO else colour
        self.out, self.err = Outlet(safe_streams.out(), colour), Outlet(safe_streams.err(), colour)
        """Where answers go, and where all else goes."""
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

    @contextmanager
    def showing(self, lines: Callable[[float, int, int], Sequence[Text]]) -> Iterator[None]:
        """Draw these lines for a time, a width and a height below what is said, during this block: not here."""
        yield

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
        if isinstance(event, events.StepFinished):
            if not self.quiet or event.verdict == Verdict.BLOCKED:
                self.say(views.step_line(event, self.marks))
        elif self.quiet:
            return
        elif isinstance(event, events.Progress):
            self._tell_progress(event)
        elif isinstance(event, events.ReaderSeen) and not event.over and not self._is_due((event.step, "")):
            return
        elif isinstance(event, events.Output):
            if self.verbose:
                self.line(f"    {uncoloured(event.line)}")
        else:
            self.say(*views.note_lines(event, self.marks, self.invocation))

    def _tell_progress(self, event: events.Progress) -> None:
        if event.total is None or event.unit != "bytes":
            return
        now = time.monotonic()
        if not self._is_due((event.step, event.says)):
            return
        step = self.state.steps.get(event.step)
        rate = step.tasks[event.kind, event.subject].rate.at(now) if step is not None else None
        self.line(f"  {event.step}: {views.progress_text(event, rate)}")
        if self.state.under_way and now - self._said.get(("", ""), 0) >= SPOKEN_EVERY_S:
            self._said["", ""] = now
            self.line(f"  {views.total_text(self.state, now)}")

    def _is_due(self, key: tuple[str, str]) -> bool:
        """Whether what moves is to be told again; never the first time, since much of it is over in a moment."""
        now = time.monotonic()
        if now - self._said.setdefault(key, now) < (SPOKEN_EVERY_S if self.plain else PLAIN_EVERY_S):
            return False
        self._said[key] = now
        return True

    def say(self, *lines: Line) -> None:
        """Show lines that are no answer."""
        with self._guard:
            self.err.write(lines)

    def line(self, text: str) -> None:
        """Show a text that is no answer."""
        self.say(*prose(text))

    def consent(self, question: str) -> bool:
        """Ask yes or no. Raises ConsentNeeded where nobody can answer."""
        if self.yes:
            return True
        if not (is_terminal(sys.stdin) and is_terminal(sys.stderr)):
            raise ConsentNeeded(
                f"{question} Confirmation needed, but no terminal.",
                hint=Fix("To answer yes to all questions: add --yes."),
            )
        with self._guard:
            return self.ask(question)

    def agrees_to(self, page: str, question: str) -> bool:
        """Show a text and ask about it; True with `--yes`, and where nobody can answer."""
        if self.yes or not (is_terminal(sys.stdin) and is_terminal(sys.stderr)):
            return True
        self.page(page)
        return self.consent(question)

    def page(self, text: str) -> None:
        """Show a text as it stands, before a question about it."""
        safe_streams.say(safe_streams.err(), text)

    def ask(self, question: str) -> bool:
        safe_streams.say(safe_streams.err(), f"{visible(question)} [y/N] ", end="")
        return sys.stdin.readline().strip().lower() in ("y", "yes")

    def answer(self, result: Result) -> None:
        for part in result.view:
            self.tell(part)

    def tell(self, part: Part) -> None:
        """Show a part of an answer to people; a long command shows some before its end."""
        match part:
            case Data(text):
                self.data(text)
            case Picture(png, rows):
                self.picture(png, rows)
            case _:
                self.show_lines(self.lines_of(part))

    def lines_of(self, part: Part) -> Sequence[Line]:
        """A part of words as lines; none for what is drawn."""
        marks, call = self.marks, self.invocation
        match part:
            case Words(text):
                return views.fix_lines(text, call)
            case Pairs(rows):
                return views.pair_lines(rows, call)
            case Planned(plan, title):
                if self.plain:
                    return plan_view.plan_sentences(plan, title, call)
                return plan_view.plan_lines(plan, title, call)
            case Bars(rows):
                return [line((each, KEPT)) for each in bars_text(rows, self.out.width or 100).splitlines()]
            case Ending(report, closing):
                return views.report_lines(report, closing, marks, call)
            case Findings(report, closing, details):
                return views.checkup_lines(report, closing, details=details or self.verbose, marks=marks, call=call)
        return ()

    def show_lines(self, lines: Sequence[Line]) -> None:
        """Show lines of an answer."""
        with self._guard:
            self.out.write(lines)

    def data(self, text: str) -> None:
        """Write a text as it stands."""
        with self._guard:
            safe_streams.say(safe_streams.out(), text)

    def picture(self, png: bytes, most_rows: int) -> None:
        """Show a picture, where it can be shown: not here."""

    def error(self, error: ProvisionError, log: Path | None = None) -> None:
        """What happened and why, what to type next, where more is written; a stop that was asked for is no error."""
        drawn = self.err.is_terminal and not self.plain
        head = "" if isinstance(error, Interrupted) else self.marks.of[Verdict.BLOCKED] if drawn else "error:"
        self.say(*views.error_lines(error, log, head, self.marks, self.invocation))


def make_console(  # noqa: PLR0913  (what a command line may say of its screen)
    command: str | None,
    *,
    json: bool,
    verbose: bool = False,
    yes: bool = False,
    plain: bool = False,
    quiet: bool = False,
    colour: Colour = Colour.AUTO,
    environ: Mapping[str, str],
) -> Console:
    """The console for this run: `--json` and `--plain` pick the format, a terminal only decides animation."""
    if json:
        from provision.output.json_console import JsonConsole

        return JsonConsole(Run(command), verbose=verbose, yes=yes)
    if plain or quiet or not draws(sys.stderr, environ):
        return Console(Run(command), verbose=verbose, yes=yes, plain=plain, quiet=quiet, colour=colour)
    from provision.output.live_console import LiveConsole

    return LiveConsole(Run(command), verbose=verbose, yes=yes, colour=colour)
