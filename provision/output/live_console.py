"""A terminal: what stays, and below it what is at work."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from provision.core import events
from provision.core.finding import Verdict
from provision.errors import ProvisionError
from provision.output import live_view, safe_streams, views
from provision.output.as_json import Run
from provision.output.console import Console
from provision.output.painter import Painter
from provision.output.screen import Line, Screen
from provision.output.terminal_image import encode, protocol_of
from provision.system.visible import uncoloured, visible

if TYPE_CHECKING:
    from rich.console import RenderableType

    from provision.core.step import Report
    from provision.output.result import Paper


class LiveConsole(Console):
    """A terminal: finished steps as lines that stay, below them what is at work, with bytes, rate and time left."""

    def __init__(self, run: Run | None = None, *, verbose: bool = False, yes: bool = False) -> None:
        super().__init__(run, verbose=verbose, yes=yes)
        self.rich = Painter(safe_streams.err())
        self.out = Painter(safe_streams.out())
        self.screen = Screen(self.rich.file, self._picture_of_now, self._guard)

    def __exit__(self, *error: object) -> None:
        self._end()
        super().__exit__(*error)

    def _picture_of_now(self, width: int, height: int) -> list[Line]:
        lines = []
        for line in live_view.live_lines(self.state, time.monotonic(), width, height):
            with self.rich.capture() as coloured:
                self.rich.print(line, end="", no_wrap=True, overflow="ignore", crop=False)
            lines.append(Line(coloured.get(), line.cell_len))
        return lines

    def _end(self) -> None:
        """Remove the picture; what was in it is over."""
        with self._guard:
            self.screen.stop()
            self.state.settle()

    def show(self, event: events.Event) -> None:
        match event:
            case events.RunStarted() | events.StepStarted() | events.Progress() | events.Waiting():
                self.screen.start()
            case events.CheckSlow(over=False):
                self.screen.start()
            case events.StepFinished():
                self._print(views.step_row(event))
            case events.Note() if not (event.passing and event.step):
                self._print(views.note_row(event, self.invocation))
            case events.MendingPlanned():
                self.line(views.mending_text(event))
            case events.Output() if self.verbose:
                self.line(f"    {uncoloured(event.line)}")

    def _print(self, view: RenderableType) -> None:
        """Something that stays; a command in it is not broken into lines, so that it can be copied."""
        with self._guard:
            self.screen.above(lambda: self.rich.print(view, crop=False))

    def line(self, text: str) -> None:
        with self._guard:
            self.screen.above(lambda: self.rich.print(visible(text), markup=False, emoji=False))

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

    def data(self, text: str) -> None:
        self._end()
        super().data(text)

    def draw(self, draw: Callable[[Paper], RenderableType]) -> None:
        self._end()
        super().draw(draw)

    def end(self, report: Report, closing: str) -> None:
        self._end()
        lines = views.report_lines(report, closing, self.marks, self.invocation)
        self.out.print(views.painted(lines), crop=False)

    def error(self, error: ProvisionError, log: Path | None = None) -> None:
        self._end()
        lines = views.error_lines(error, log, self.marks.of[Verdict.BLOCKED], self.marks, self.invocation)
        self.rich.print(views.painted(lines), crop=False)

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

    @property
    def takes_pictures(self) -> bool:
        return self.out.is_terminal and not self.out.no_color
