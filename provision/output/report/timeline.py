"""When each step checked, fixed and moved bytes: from a run's events, for `provision report`."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace

from provision.core.events import ApplyStarted, Emit, Event, Progress, StepFinished, StepStarted, Waiting, Work
from provision.core.finding import JSON

LOOKING, MENDING, WAITING = "look", "mend", "wait"
ABSURD_S = 1e9
"""No run takes so long: what was kept of one is read again."""
SAMPLES_MAX = 96
"""Of a transfer: as many as a chart can show."""


@dataclass(frozen=True, slots=True)
class Span:
    """What one step did, from `start` to `end`, in seconds since the run began."""

    step: str
    kind: str
    says: str
    start: float
    end: float

    def __post_init__(self) -> None:
        if not 0 <= self.start <= self.end < ABSURD_S:
            raise ValueError("no run goes so")


@dataclass(frozen=True, slots=True)
class Transfer:
    """Bytes that moved; each sample is (seconds since the run began, bytes done)."""

    step: str
    subject: str
    samples: tuple[tuple[float, int], ...]
    kind: Work = Work.DOWNLOAD

    def __post_init__(self) -> None:
        if not self.samples or not all(0 <= at < ABSURD_S and done >= 0 for at, done in self.samples):
            raise ValueError("no bytes move so")

    @property
    def done(self) -> int:
        return self.samples[-1][1]

    @property
    def moved(self) -> int:
        """Bytes that were seen to come: not those that were there before."""
        return self.done - self.samples[0][1]

    @property
    def seconds(self) -> float:
        return self.samples[-1][0] - self.samples[0][0]


_Key = tuple[str, Work, str]
"""A step, what it does with bytes, and whose they are."""


@dataclass(frozen=True, slots=True)
class Course:
    """How a run went."""

    spans: tuple[Span, ...] = ()
    transfers: tuple[Transfer, ...] = ()

    @property
    def seconds(self) -> float:
        ends = [span.end for span in self.spans] + [each.samples[-1][0] for each in self.transfers]
        return max(ends, default=0.0)

    def to_json(self) -> dict[str, JSON]:
        return asdict(self)


@dataclass
class Timeline:
    """Hears events, from any thread, and keeps when they came. `clock` gives seconds."""

    clock: Callable[[], float]
    began: float = field(init=False)
    _open: dict[str, Span] = field(default_factory=dict)
    _spans: list[Span] = field(default_factory=list)
    _moved: dict[_Key, list[tuple[float, int]]] = field(default_factory=dict)
    _every: dict[_Key, float] = field(default_factory=dict)
    _guard: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.began = self.clock()

    def before(self, emit: Emit) -> Emit:
        """Wrap an emit: events are heard here first."""

        def hear(event: Event) -> None:
            with self._guard:
                self._hear(event, self.clock() - self.began)
            emit(event)

        return hear

    def course(self) -> Course:
        with self._guard:
            moved = (
                Transfer(step, subject, tuple(samples), kind) for (step, kind, subject), samples in self._moved.items()
            )
            spans = sorted(self._spans, key=lambda span: (span.start, span.end))
            return Course(tuple(spans), tuple(sorted(moved, key=lambda each: each.samples[0])))

    def _hear(self, event: Event, now: float) -> None:
        if isinstance(event, StepStarted):
            self._begin(event.step, LOOKING, "", now)
        elif isinstance(event, ApplyStarted):
            self._begin(event.step, MENDING, event.says, now)
        elif isinstance(event, StepFinished):
            self._end(event.step, now)
        elif isinstance(event, Waiting):
            until = round(now + event.seconds, 3)
            self._spans.append(Span(event.step, WAITING, event.says, round(now, 3), until))
        elif isinstance(event, Progress) and event.unit == "bytes":
            self._sample((event.step, event.kind, event.subject), now, event.done, over=event.done == event.total)

    def _begin(self, step: str, kind: str, says: str, now: float) -> None:
        self._end(step, now)
        self._open[step] = Span(step, kind, says, round(now, 3), round(now, 3))

    def _end(self, step: str, now: float) -> None:
        if span := self._open.pop(step, None):
            self._spans.append(replace(span, end=round(now, 3)))

    def _sample(self, key: _Key, now: float, done: int, *, over: bool) -> None:
        samples = self._moved.setdefault(key, [])
        every = self._every.setdefault(key, 0.05)
        if samples and not over and now - samples[-1][0] < every:
            return
        samples.append((round(now, 3), done))
        if len(samples) > SAMPLES_MAX:  # half of them, from now on half as often: the first and the last stay
            self._moved[key] = [*samples[:-1:2], samples[-1]]
            self._every[key] = every * 2
