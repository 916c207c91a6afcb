"""What happens, as values, for whoever shows it: the live view, plain lines or NDJSON.

`step` is stamped by the runner, so that a step need not know its own name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import ClassVar

from provision.command import Command
from provision.core.finding import JSON, Finding


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """The root of all events."""

    type: ClassVar[str] = "event"
    step: str = ""

    def to_json(self) -> dict[str, JSON]:
        """The event as one NDJSON object."""
        return {"type": self.type, **asdict(self)}


Emit = Callable[[Event], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStarted(Event):
    """A run begins: its steps in their order, each with those of them that it waits for."""

    type: ClassVar[str] = "run_started"
    needs: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class StepPlanned(Event):
    """What a quick look says that a step will move over the network and add to the disk, in bytes."""

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

    def to_json(self) -> dict[str, JSON]:
        return {"type": self.type, "step": self.step, **self.finding.to_json()}


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplyStarted(Event):
    """A step begins to mend one finding."""

    type: ClassVar[str] = "apply_started"
    finding_id: str
    says: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress(Event):
    """Work moves. `unit` is `bytes`, `steps` or `objects`; `total` is None while it is not known.

    Bytes come over the network, unless the subject begins with one of `LOCAL_WORK`.
    """

    type: ClassVar[str] = "progress"
    subject: str
    done: int
    total: int | None = None
    unit: str = "bytes"


LOCAL_WORK = ("verifying ", "copying ")
"""How the subject of a Progress begins whose bytes are read from the disk."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting(Event):
    """A step waits for something outside, for as many seconds, and then goes on by itself."""

    type: ClassVar[str] = "waiting"
    says: str
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Doing(Event):
    """What a check is about to wait for; shown once it takes long (see `slow`)."""

    type: ClassVar[str] = "doing"
    says: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckSlow(Event):
    """A check that takes long says what it does; with `over`, that it has ended. `seconds` since it began."""

    type: ClassVar[str] = "check_slow"
    says: str
    seconds: float
    over: bool = False


@dataclass(frozen=True, slots=True)
class Mend:
    """One thing that `doctor --fix` is about to do: `does` in words, bytes over the network, the question before it.

    `waits_for` is the step that a person must mend first; empty where nothing is in the way.
    """

    step: str
    id: str
    says: str
    does: str
    download_bytes: int = 0
    asks: str = ""
    waits_for: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class MendingPlanned(Event):
    """Everything that `doctor --fix` is about to do, in its order."""

    type: ClassVar[str] = "mending_planned"
    mends: tuple[Mend, ...]
    then: tuple[str, ...] = ()
    """Steps that need what is mended: they are looked at again, and mended where they must be."""

    @property
    def download_bytes(self) -> int:
        """What all of it will move over the network."""
        return sum(mend.download_bytes for mend in self.mends if not mend.waits_for)

    def to_json(self) -> dict[str, JSON]:
        return {**Event.to_json(self), "download_bytes": self.download_bytes}


@dataclass(frozen=True, slots=True, kw_only=True)
class Note(Event):
    """One sentence that a person should read now, and the command that goes with it."""

    type: ClassVar[str] = "note"
    says: str
    command: Command | None = None

    def to_json(self) -> dict[str, JSON]:
        return {"type": self.type, "step": self.step, "says": self.says, "command": self.command}

    @property
    def is_passing(self) -> bool:
        """Whether it tells what is being done just now, as one that ends in dots does: soon it is no news any more."""
        return self.says.endswith("...")


@dataclass(frozen=True, slots=True, kw_only=True)
class Output(Event):
    """A line that a program said: shown dimmed in a live view, printed with `-v`."""

    type: ClassVar[str] = "output"
    line: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageMade(Event):
    """A picture lies on the disk."""

    type: ClassVar[str] = "image"
    path: str
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class StepFinished(Event):
    """A step is done: its worst verdict, what it did, seconds."""

    type: ClassVar[str] = "step_finished"
    verdict: str
    says: str
    changed: bool
    seconds: float
