"""A command run once in this process, and its screen at any width, with what differs from run to run made the same."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from provision.cli.request import Request
from provision.cli.session import open_session
from provision.cli.which_home import choose_home
from provision.core.events import CheckSlow, Event, Progress, Waiting
from provision.errors import ProvisionError
from provision.output import views
from provision.output.as_json import Run
from provision.output.console import Console
from provision.output.hints import Invocation
from provision.output.layout import Line, plain_text
from provision.output.outlet import Outlet
from provision.output.result import Data, Part, Picture, Result
from provision.steps.registry import STEPS
from provision.system.local_machine import LocalMachine

SAME = (
    (r"\([^()]*(?:Linux|macOS)[^()]*\)", "(Debian GNU/Linux 12, a processor)"),
    (r"git \d[\d.]*", "git 2.39.5"),
    (r"^\d{5}$", "58123"),
    (r"in [\d.]+ seconds", "in 0.29 seconds"),
    (r"pid \d+", "pid 4711"),
    (r"port \d{4,}", "port 58123"),
    (r"(?:127\.0\.0\.1|localhost):\d+", "127.0.0.1:58123"),
    (r"Python 3[\d.]*", "Python 3.12.7"),
    (r"(Python [\d.]+ \()\w+\) from [^ ]+", r"\1arm64) from ~/.local/python"),
    (r"\d{4}-\d\d-\d\d", "2026-11-24"),
    (r"dev\d{8}", "dev20261120"),
    (r" \(\d[\d.]*\xa0s\)", ""),
    (r"<?\d+ min \d\d s|<?\d[\d.]* (?:s|min)\b", "1.2 s"),
    (r"\d[\d.]* available", "22.4 available"),
    (r"(?m)^ *\d[\d.]* (?:GB|MB|kB)(?=  )", "   24.9 MB"),
    (r"\d[\d.]* (?:GiB|GB|MB|kB)", "24.9 MB"),
    (r"█+[▏▎▍▌▋▊▉]? *", "████████  "),
    (r"seed \d+", "seed 1234"),
    (r"\b[0-9a-f]{40,64}\b", "bd198d8beccc0c42c9f891537fbf52d1a1490bda17e5c734bcf1eeb7ed1de27a"),
    (r"(?<=[( ])(?=[0-9a-f]*[a-f])[0-9a-f]{8}(?:[0-9a-f]{4})?\b", "711b40ff"),
)
"""What a run finds of this machine and this moment, and what stands for it."""
TIME_COLUMN = re.compile(r" {9,}<?\d+ (?:s|min)$")


ORDER = {step.name: place for place, step in enumerate(STEPS)}


class Recorder(Console):
    """Keeps what is shown instead of showing it."""

    def __init__(self, command: str) -> None:
        super().__init__(Run(command))
        self.parts: list[Part | Line] = []
        self.step = ""
        self.steps: dict[str, list[Line]] = {}
        """What was said of each step: they work at the same time."""

    def show(self, event: Event) -> None:
        if not isinstance(event, Progress | CheckSlow | Waiting):  # as fast as the machine is
            self.step = event.step
            super().show(event)
            self.step = ""

    def say(self, *lines: Line) -> None:
        (self.steps.setdefault(self.step, []) if self.step else self.parts).extend(lines)

    def tell(self, part: Part) -> None:
        for name in sorted(self.steps, key=lambda name: ORDER.get(name, len(ORDER))):
            self.parts += self.steps.pop(name)
        self.parts.append(part)

    def error(self, error: ProvisionError, log: Path | None = None) -> None:
        self.say(*views.error_lines(error, log, "✗", call=self.invocation))


@dataclass(frozen=True)
class Wide(Outlet):
    """A terminal of a width."""

    columns: int = 80

    @property
    def width(self) -> int:
        return self.columns


def screen(
    request: Request, run: Callable[..., Result], home: Path, words: Mapping[str, object] | None = None
) -> Callable[[int], str]:
    """The screen of a command for a width; a picture is a line that says so."""
    console = Recorder(request.command)
    console.invocation = Invocation(("provision",), home="", rehearsal=request.rehearse)
    machine = LocalMachine()
    try:
        with console, open_session(request, console, machine, choose_home(request, machine)) as at:
            result = run(at, **words or {})
        console.answer(result)
    except ProvisionError as error:
        console.error(error)
    return lambda width: _drawn(console, width, home)


def _drawn(console: Recorder, width: int, home: Path) -> str:
    console.out = Wide(None, columns=width)
    rows = []
    for part in console.parts:
        if isinstance(part, Data):
            rows.append(_same(part.text, home))
        elif isinstance(part, Picture):
            rows.append("(the image)" if part.png else "(no image)")
        else:
            lines = [part] if isinstance(part, Line) else console.lines_of(part)
            rows.append(plain_text(_all_same(lines, home), width))
    return "\n".join(rows)


def _all_same(lines: Sequence[Line], home: Path) -> list[Line]:
    return [Line(tuple((_same(text, home), style) for text, style in each.spans), each.hang) for each in lines]


def _same(text: str, home: Path) -> str:
    text = text.replace(str(home), "/Users/you/provision")
    text = TIME_COLUMN.sub(lambda found: f"{'1.2 s':>{len(found[0])}}", text)
    for pattern, instead in SAME:
        text = re.sub(pattern, instead, text)
    return text
