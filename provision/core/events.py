"""What happens, as values, for the live view, plain lines and NDJSON. The runner fills in `step`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar, Literal

from provision.command import Command
from provision.core.finding import Finding
from provision.errors import Passing


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """The root of all events."""

    type: ClassVar[str] = "event"
    step: str = ""


Emit = Callable[[Event], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStarted(Event):
    """A run starts: its steps in order, each with those that it waits for."""

    type: ClassVar[str] = "run_started"
    needs: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class StepPlanned(Event):
    """Bytes that a step will download and add to the disk, from a quick check."""

    type: ClassVar[str] = "step_planned"
    download_bytes: int
    disk_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StepStarted(Event):
    """A step begins to check, or to check again after it applied."""

    type: ClassVar[str] = "step_started"
    again: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class FindingSeen(Event):
    """A check saw something."""

    type: ClassVar[str] = "finding"
    finding: Finding


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplyStarted(Event):
    """A step starts to fix one finding."""

    type: ClassVar[str] = "apply_started"
    finding_id: str
    says: str


class Work(StrEnum):
    """A kind of work that moves."""

    DOWNLOAD = "download"
    INSTALL = "install"
    """uv installs packages: of a wheel it reports the start and the end, nothing between."""
    CLONE = "clone"
    VERIFY = "verify"
    COPY = "copy"
    SAMPLE = "sample"
    PROVE = "prove"

    @property
    def over_network(self) -> bool:
        """Whether its bytes come over the network."""
        return self in (Work.DOWNLOAD, Work.INSTALL, Work.CLONE)

    @property
    def verb(self) -> str:
        """What stands before the subject; empty where the subject says it."""
        return {Work.VERIFY: "verifying", Work.COPY: "copying"}.get(self, "")

    def says(self, subject: str) -> str:
        """The work in words: `verifying x`."""
        return f"{self.verb} {subject}".strip()


Unit = Literal["bytes", "steps", "objects", "packages"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress(Event):
    """Progress of work on `subject`. `total` is null while unknown."""

    type: ClassVar[str] = "progress"
    kind: Work = Work.DOWNLOAD
    subject: str
    done: int
    total: int | None = None
    unit: Unit = "bytes"

    @property
    def says(self) -> str:
        """The work in words: `verifying x`."""
        return self.kind.says(self.subject)

    @property
    def over_network(self) -> bool:
        """Whether it counts bytes over the network."""
        return self.unit == "bytes" and self.kind.over_network

    def downloads(self, name: str) -> bool:
        """Whether it is the download of a file of that name."""
        return self.kind is Work.DOWNLOAD and self.subject == name

    @property
    def complete(self) -> bool:
        return self.total is not None and self.done >= self.total


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting(Event):
    """A step waits for something outside, for `seconds`, and then tries again by itself."""

    type: ClassVar[str] = "waiting"
    kind: Passing = Passing.BUSY
    says: str
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Doing(Event):
    """What a check does next."""

    type: ClassVar[str] = "doing"
    says: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckSlow(Event):
    """A check takes long: what it does, `seconds` after it began; `over` once it has ended."""

    type: ClassVar[str] = "check_slow"
    says: str
    seconds: float
    over: bool = False


@dataclass(frozen=True, slots=True)
class RunInProgress:
    """A command at work in this install folder: since when, on which steps, with how many bytes, and how fast.

    `last_sign` is when something last happened in it, in UTC as `since`.
    """

    pid: int
    run: str
    command: str
    since: str
    last_sign: str
    active: tuple[str, ...] = ()
    doing: str = ""
    done_bytes: int = 0
    left_bytes: int = 0
    bytes_per_s: float | None = None
    seconds_left: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSeen(CheckSlow):
    """What `status --watch` sees of a run in progress; `over` once it has ended."""

    type: ClassVar[str] = "run_seen"
    in_progress: RunInProgress


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingStarted(Event):
    """`serve` answers at `address` for `seconds`: the bytes that it offers by part, and the parts that it lacks."""

    type: ClassVar[str] = "serving_started"
    address: str
    files: int
    parts: Mapping[str, int]
    lacks: tuple[str, ...]
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ReaderSeen(CheckSlow):
    """What `serve` sees of one reader, whose address is the step's name; `over` once it has gone."""

    type: ClassVar[str] = "reader_seen"
    file: str
    file_sent_bytes: int
    file_bytes: int
    sent_bytes: int
    bytes_per_s: float | None


@dataclass(frozen=True, slots=True)
class MacAtWork:
    """A Mac of a fleet: `state` is its phase, or how it went; bytes and seconds are those of its own run.

    `silent_s` is how long it has said nothing; numbers are null while they are not known.
    """

    mac: str
    state: str
    steps_done: int
    steps: int
    doing: str
    done_bytes: int
    left_bytes: int
    bytes_per_s: float | None
    seconds_left: float | None
    silent_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class MacSeen(Event):
    """What happens at a Mac of a fleet, whenever that changes."""

    type: ClassVar[str] = "mac_seen"
    says: str
    at_work: MacAtWork


@dataclass(frozen=True, slots=True)
class Mend:
    """One thing that `doctor --fix` is about to do, with its download, the question before it, and what blocks it."""

    step: str
    id: str
    says: str
    does: str
    download_bytes: int = 0
    asks: str = ""
    waits_for: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class MendingPlanned(Event):
    """Everything that `doctor --fix` is about to do, in its order.

    `then` are steps that need what is fixed: they are checked again, and fixed where necessary.
    """

    type: ClassVar[str] = "fixes_planned"
    mends: tuple[Mend, ...]
    then: tuple[str, ...] = ()

    @property
    def download_bytes(self) -> int:
        """What all of it will move over the network."""
        return sum(mend.download_bytes for mend in self.mends if not mend.waits_for)


@dataclass(frozen=True, slots=True, kw_only=True)
class Note(Event):
    """A sentence for people, and the command that goes with it."""

    type: ClassVar[str] = "note"
    says: str
    argv: Command | None = None
    passing: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Output(Event):
    """A line that a program printed; only with `-v`."""

    type: ClassVar[str] = "output"
    line: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LogLine(Event):
    """A line of the log that `logs --follow` reads."""

    type: ClassVar[str] = "log_line"
    line: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Heartbeat(Event):
    """A sign of life, every 10 s: the steps at work, the bytes downloaded and those left."""

    type: ClassVar[str] = "heartbeat"
    active: tuple[str, ...]
    done_bytes: int
    left_bytes: int
    bytes_per_s: float | None
    seconds_left: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageMade(Event):
    """An image was written."""

    type: ClassVar[str] = "image"
    path: str
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class StepFinished(Event):
    """A step is done: its worst verdict, what it saw or did, whether it changed anything."""

    type: ClassVar[str] = "step_finished"
    verdict: str
    says: str
    changed: bool
    seconds: float
