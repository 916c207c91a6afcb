"""A Mac's row: a fold over what the driver says of it. Pure; time comes from outside.

What a Mac says is a stranger's text: it becomes events of known types, of known steps, within bounds, or nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Annotated

from msgspec import Meta

from provision.core import events
from provision.fleet.messages import LINE_MAX_BYTES, Look, Message, Outcome, Phase
from provision.output.amounts import rounded_time, size_text
from provision.output.from_json import NUMBER_MAX, event_of
from provision.output.run_state import RunState
from provision.system.strict import Unreadable, convert, decode

STEPS_MAX, TASKS_MAX = 40, 400
SAID_MAX = 300
Seconds = Annotated[float, Meta(ge=0, le=1e9)]
LATE_S = 25.0
"""Two heartbeats and a half: from then on a row says how long nothing was heard."""
FULL = ("disk_full", "disk-low")
WRONG = ("lock", "usage", "manifest", "gpu-hidden")
BUSY = "home_locked"
LOOKS = ("plan", "status", "doctor")
"""Commands that change nothing, and so are never `unchanged`."""
NOTHING_TO_SAY = {"plan": "nothing to do", "status": "ComfyUI answers", "doctor": "no problems"}


@dataclass(frozen=True, slots=True)
class Image:
    """What a Mac's report says of its first image."""

    device: str = ""
    seconds_warm: Seconds = 0.0
    chip: str | None = None


@dataclass(frozen=True, slots=True)
class Fault:
    """An error of a report."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Report:
    """What a row takes of a command's report; commands have more."""

    command: str | None
    ok: bool
    changed: bool
    seconds: Seconds
    error: Fault | None = None
    image: Image | None = None
    url: str = ""
    download_bytes: Annotated[int, Meta(ge=0, le=NUMBER_MAX)] = 0
    expected_s: Seconds = 0.0
    """Of a plan."""


@dataclass(slots=True)
class Row:
    """One Mac: what is going on with it, or how it went."""

    mac: str
    began: float | None = None
    heard: float | None = None
    phase: Phase | None = None
    look: Look | None = None
    sent: tuple[int, int] = (0, 0)
    """Bytes of the kit, sent and in all."""
    state: RunState = field(default_factory=RunState)
    beat: events.Heartbeat | None = None
    report: Report | None = None
    outcome: Outcome | None = None
    says: str = ""
    seconds: float = 0.0
    _seen: set[tuple[str, str]] = field(default_factory=set)

    # -- taking in ------------------------------------------------------------------------------------------------

    def add(self, now: float, message: Message) -> None:
        """Take in a message of the driver."""
        if self.outcome is not None:
            return
        self.began = now if self.began is None else self.began
        self.heard = now
        self.phase = message.phase or self.phase
        self.look = message.look or self.look
        if message.total_bytes:
            self.sent = (message.done_bytes, message.total_bytes)
        if message.line:
            self._line(now, message.line)
        if message.outcome is not None:
            self._end(now, message)

    def stop(self, now: float, says: str, outcome: Outcome = Outcome.STOPPED) -> None:
        """It ends from here."""
        if self.outcome is None:
            self.outcome, self.says, self.seconds = outcome, says, self.since(now)

    def _line(self, now: float, text: str) -> None:
        try:
            line = decode(text, dict[str, object], max_bytes=LINE_MAX_BYTES)
        except Unreadable:
            return
        if line.get("type") == "report":
            self._take_report(line)
        elif (event := event_of(line)) is not None and (event := self._within_bounds(event)) is not None:
            self.beat = event if isinstance(event, events.Heartbeat) else self.beat
            self.state.add(now, event)

    def _take_report(self, line: Mapping[str, object]) -> None:
        try:
            self.report = convert(line, Report)
        except Unreadable:
            self.says = "Its report makes no sense."

    def _within_bounds(self, event: events.Event) -> events.Event | None:
        """The event, unless it would let this row grow without end; a run's steps need only earlier ones."""
        if isinstance(event, events.RunStarted):
            names = [name[:SAID_MAX] for name in list(event.needs)[:STEPS_MAX]]
            needs = {
                name: tuple(each for each in names[:place] if each in event.needs[name])
                for place, name in enumerate(names)
                if name in event.needs
            }
            return replace(event, needs=needs)
        key = (event.step, event.subject if isinstance(event, events.Progress) else "")
        if key not in self._seen and len(self._seen) >= TASKS_MAX:
            return None
        self._seen.add(key)
        return event

    def _end(self, now: float, message: Message) -> None:
        self.seconds = self.since(now)
        self.outcome, self.says = message.outcome, message.says or self.says
        if self.report is not None and message.outcome in (Outcome.LOST, Outcome.OK):
            self.outcome, self.says = judged(self.report)

    # -- what it comes to -------------------------------------------------------------------------------------------

    def since(self, now: float) -> float:
        return 0.0 if self.began is None else now - self.began

    def silent_s(self, now: float) -> float:
        """Seconds without a sign of life."""
        return 0.0 if self.heard is None or self.outcome is not None else now - self.heard

    @property
    def steps(self) -> tuple[int, int]:
        """Steps done, and in all; zeros before a run says which."""
        return len(self.state.done()), len(self.state.run)

    def moved(self) -> tuple[int, int]:
        """Bytes over the network, come and to come."""
        return self.state.bytes_moved(), self.state.bytes_left()


def judged(report: Report) -> tuple[Outcome, str]:
    """How a command went, by its report."""
    if report.ok:
        looked = report.command in LOOKS
        return (Outcome.OK if report.changed or looked else Outcome.UNCHANGED), _success(report)
    error = report.error or Fault("", "It did not say why.")
    says = error.message[:SAID_MAX]
    if error.code in FULL:
        return Outcome.FULL, says
    if error.code == BUSY:
        return Outcome.BUSY, says
    return (Outcome.WRONG if error.code in WRONG else Outcome.FAILED), says


def _success(report: Report) -> str:
    if report.command == "all" and report.image is not None:
        made = f"image on {report.image.device[:20]}, {report.image.seconds_warm:.1f} s"
        return made if report.changed else f"everything is up to date; {made}"
    if report.command == "plan" and report.download_bytes > 0:
        return f"{size_text(report.download_bytes)} to download, about {rounded_time(report.expected_s)}"
    return "" if report.changed else NOTHING_TO_SAY.get(str(report.command), "nothing to do")
