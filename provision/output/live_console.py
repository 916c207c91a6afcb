"""A terminal: what stays, and below it what is at work."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from provision.core import events
from provision.errors import ProvisionError
from provision.output import live_view, views
from provision.output.as_json import Run
from provision.output.console import Console
from provision.output.layout import Line, rows_of
from provision.output.outlet import Colour
from provision.output.painter import Painter
from provision.output.screen import Drawn, Screen, drop_typed
from provision.output.slow_checks import SOON_S
from provision.output.terminal_image import encode, protocol_of
from provision.system.visible import uncoloured

if TYPE_CHECKING:
    from rich.text import Text

    from provision.output.result import Result

PICTURE_ROWS_LEAST = 6
"""Fewest rows of a picture in half blocks, which is twice as many columns wide."""


class LiveConsole(Console):
    """A terminal: finished steps as lines that stay, below them what is at work, with bytes, rate and time left."""

    slow_s = SOON_S

    def __init__(
        self, run: Run | None = None, *, verbose: bool = False, yes: bool = False, colour: Colour = Colour.AUTO
    ) -> None:
        super().__init__(run, verbose=verbose, yes=yes, colour=colour)
        self.rich = Painter(self.err)
        self.screen = Screen(self.rich.file, self._picture_of_now, self._guard)
        self._rows = 0
        """Rows that were shown since the last image."""
        self._rows_to_come = 0
        self._lines: Callable[[float, int, int], Sequence[Text]] | None = None

    def __exit__(self, *error: object) -> None:
        self._end()
        super().__exit__(*error)

    def _picture_of_now(self, width: int, height: int) -> list[Drawn]:
        lines, now = [], time.monotonic()
        shown = self._lines(now, width, height) if self._lines else live_view.live_lines(self.state, now, width, height)
        for line in shown:
            with self.rich.capture() as coloured:
                self.rich.print(line, end="", no_wrap=True, overflow="ignore", crop=False)
            lines.append(Drawn(coloured.get(), line.cell_len))
        return lines

    @contextmanager
    def showing(self, lines: Callable[[float, int, int], Sequence[Text]]) -> Iterator[None]:
        """Draw these lines below what is said, during this block."""
        self._lines = lines
        self.screen.start()
        try:
            yield
        finally:
            self._end()
            self._lines = None

    def _end(self) -> None:
        """Remove the picture; what was in it is over."""
        with self._guard:
            self.screen.stop()
            self.state.settle()

    def emit(self, event: events.Event) -> None:
        if not event.step and isinstance(event, events.Waiting | events.Progress):
            event = replace(event, step=self.run.command or "")  # before the first step, as while a name is looked up
        super().emit(event)

    def show(self, event: events.Event) -> None:
        match event:
            case events.RunStarted() | events.StepStarted() | events.Progress() | events.Waiting():
                self.screen.start()
            case events.CheckSlow(over=False):
                self.screen.start()
            case events.ReaderSeen():
                self.say(*views.note_lines(event, call=self.invocation))
                if not self.state.steps:
                    self.screen.stop()
            case events.StepFinished():
                self.say(views.step_line(event))
            case events.Note() if not (event.passing and event.step):
                self.say(*views.note_lines(event, call=self.invocation))
            case events.MendingPlanned():
                self.say(*views.mending_lines(event))
            case events.Output() if self.verbose:
                self.line(f"    {uncoloured(event.line)}")

    def say(self, *lines: Line) -> None:
        def write() -> None:
            self._rows += self.err.write(lines)

        with self._guard:
            self.screen.above(write)

    def agrees_to(self, page: str, question: str) -> bool:
        self._end()
        return super().agrees_to(page, question)

    def ask(self, question: str) -> bool:
        running = self.screen.running
        self.screen.stop()
        if running:
            drop_typed(sys.stdin)
        answer = super().ask(question)
        if running:
            self.screen.start()
        return answer

    def answer(self, result: Result) -> None:
        for place, part in enumerate(result.view, 1):
            later = [each for after in result.view[place:] for each in self.lines_of(after)]
            self._rows_to_come = len(rows_of(later, self.out.width))
            self.tell(part)

    def show_lines(self, lines: Sequence[Line]) -> None:
        self._end()
        self._rows += self.out.write(lines)

    def data(self, text: str) -> None:
        self._end()
        super().data(text)

    def error(self, error: ProvisionError, log: Path | None = None) -> None:
        self._end()
        super().error(error, log)

    def picture(self, png: bytes, most_rows: int) -> None:
        """Show a picture that leaves what was said in sight; none where there is too little room for one."""
        self._end()
        width, height = self.out.size
        rows = min(most_rows, (width - 2) // 2, height - self._rows - self._rows_to_come - 1)
        self._rows = 0
        if not self.out.is_terminal or rows < PICTURE_ROWS_LEAST:
            return
        painter = Painter(self.out)
        if drawn := encode(png, protocol_of(os.environ), rows * 2):
            painter.file.write(drawn)
            painter.file.flush()
        elif self.out.coloured:
            painter.print(views.picture(png, rows * 2), end="")
