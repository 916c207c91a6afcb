"""The state of a run, from its events: what each step does, how far it is, what it waits for, what is left."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from provision.core import estimate, events
from provision.core.estimate import Countdown, Job, Pace, Rate
from provision.core.finding import Verdict

MOST = 0.99
"""Of a run that is not over."""
BEGINNING = events.StepStarted | events.StepPlanned | events.ApplyStarted | events.Progress | events.Waiting
"""With these a step is at work that nobody announced."""


@dataclass(slots=True)
class Task:
    """One thing that moves within a step."""

    at: events.Progress
    """The last progress."""
    begun_at: int
    """What was done at the first progress: a resumed download has bytes already."""
    rate: Rate = field(default_factory=Rate)
    left: Countdown = field(default_factory=Countdown)

    @property
    def told_in_time(self) -> bool:
        """Whether progress is reported while it moves."""
        return self.at.kind is not events.Work.INSTALL

    @property
    def moved_bytes(self) -> int:
        """What of it came over the network in this run."""
        return self.at.done - self.begun_at if self.at.over_network else 0

    @property
    def bytes_left(self) -> int:
        """What of it is still to come over the network, as far as is known."""
        return self.at.total - self.at.done if self.at.over_network and self.at.total is not None else 0

    def seconds_left(self, now: float) -> float | None:
        """As it is shown: smoothed, None while it cannot be known."""
        rate = self.rate.at(now) if self.told_in_time else None
        if self.at.total is None or rate is None:
            return self.left.at(now, None)
        return self.left.at(now, (self.at.total - self.at.done) / rate)


@dataclass(slots=True)
class StepState:
    """A step of the run."""

    name: str
    needs: tuple[str, ...] = ()
    phase: str = "waits"
    """`waits` for others, `looks`, `works`, or is `done`."""
    verdict: str = ""
    doing: str = ""
    since: float = 0.0
    offline_since: float = 0.0
    """When it began, or its last byte came over the network."""
    output: str = ""
    waiting: str = ""
    """What outside of the run it waits for, and until when."""
    until: float = 0.0
    planned_bytes: int | None = None
    """None: no work is planned."""
    tasks: dict[tuple[events.Work, str], Task] = field(default_factory=dict)
    earlier_bytes: int = 0
    """What came over the network in tasks that were restarted."""

    @property
    def active(self) -> bool:
        return self.phase in ("looks", "works")

    @property
    def moving(self) -> list[Task]:
        """What is under way in it, the latest last."""
        return [task for task in self.tasks.values() if not task.at.complete]

    @property
    def moved_bytes(self) -> int:
        """What it has moved over the network in this run."""
        return self.earlier_bytes + sum(task.moved_bytes for task in self.tasks.values())

    @property
    def bytes_left(self) -> int:
        """What it will still move: by its plan, or by what is under way where that is more."""
        return max((self.planned_bytes or 0) - self.moved_bytes, sum(task.bytes_left for task in self.moving), 0)


class RunState:
    """A fold over events. `add` is called in the order of the events, with a clock that only goes forward."""

    def __init__(self, pace: Pace | None = None, usual: Mapping[str, float] = estimate.USUAL_S) -> None:
        self.steps: dict[str, StepState] = {}
        self.pace, self.usual = pace or Pace(), usual
        self.rate, self.left = Rate(), Countdown()
        self.measured: dict[str, float] = {}
        self.run: tuple[str, ...] = ()
        """The steps that a run said it has; a look says nothing."""
        self.begun = 0.0
        self._share = 0.0
        self.images: list[str] = []
        """Where images were written."""
        self._seen: float | None = None
        self._line_bytes = 0

    # -- taking in ------------------------------------------------------------------------------------------

    def add(self, now: float, event: events.Event) -> None:
        begins = isinstance(event, BEGINNING)
        if isinstance(event, events.RunStarted):
            self.steps = {name: StepState(name, tuple(needs)) for name, needs in event.needs.items()}
            self.run, self.begun, self._share = tuple(event.needs), now, 0.0
        elif event.step and isinstance(event, events.ImageMade):
            self.images.append(event.path)
        elif event.step and isinstance(event, events.CheckSlow):
            self._slow(now, event)
        elif event.step and (begins or event.step in self.steps):
            new = StepState(event.step, phase="looks", since=now, offline_since=now)
            self._to_step(now, self.steps.setdefault(event.step, new), event)

    def _slow(self, now: float, event: events.CheckSlow) -> None:
        """A look that takes long is shown until it is over; fast ones come and go unseen."""
        step = self.steps.get(event.step)
        if event.over and step is not None and not self.run:
            del self.steps[event.step]
        elif not event.over:
            step = self.steps.setdefault(event.step, StepState(event.step, phase="looks", offline_since=now))
            step.doing, step.since = event.says, now - event.seconds

    def _to_step(self, now: float, step: StepState, event: events.Event) -> None:
        match event:
            case events.StepPlanned():
                step.planned_bytes = event.download_bytes
            case events.StepStarted():
                step.phase, step.doing, step.since, step.output = "looks", "", now, ""
                step.offline_since = step.offline_since if event.again else now
            case events.ApplyStarted():
                step.phase, step.doing, step.since, step.output = "works", event.says, now, ""
                step.planned_bytes = step.planned_bytes or 0
            case events.Doing() | events.Note(passing=True):
                step.doing = event.says
            case events.Waiting():
                step.waiting, step.until = event.says, now + event.seconds
            case events.Progress():
                self._moved(now, step, event)
            case events.Output():
                step.output = event.line.strip()
            case events.StepFinished():
                if event.changed:
                    self.measured[step.name] = now - step.offline_since
                step.phase, step.verdict, step.waiting, step.planned_bytes = "done", event.verdict, "", None

    def _moved(self, now: float, step: StepState, event: events.Progress) -> None:
        task = _task(step, event)
        before, task.at = task.at.done, event
        task.begun_at = min(task.begun_at, event.done)
        step.waiting, step.output = "", ""
        if event.unit == "bytes":
            task.rate.add(now, event.done)
        if event.over_network:
            step.offline_since = now
            if task.told_in_time:
                self._line_bytes += max(0, event.done - before)
                self.rate.add(now, self._line_bytes)
                self._seen = self.rate.at(now) or self._seen
        if event.complete and (event.kind is events.Work.CLONE or event.unit == "packages"):
            step.planned_bytes = step.moved_bytes  # git and uv say so once all is here

    def settle(self) -> None:
        """Forget what nobody announced: it is over, and nothing says so."""
        self.steps = {name: step for name, step in self.steps.items() if step.needs or step.phase == "done"}

    # -- what it comes to -----------------------------------------------------------------------------------

    def measured_pace(self) -> Pace:
        """What this run measured, over what was known before."""
        return Pace(self._seen or self.pace.bytes_per_s, {**self.pace.seconds, **self.measured})

    def blocked(self, step: StepState) -> bool:
        """Whether a step can no longer begin, because one that it needs is not satisfied."""
        needs = [self.steps[name] for name in step.needs if name in self.steps]
        return any(
            (need.phase == "done" and need.verdict not in (Verdict.OK, Verdict.WARN)) or self.blocked(need)
            for need in needs
        )

    def bytes_moved(self) -> int:
        """Over the network, in this run."""
        return sum(step.moved_bytes for step in self.steps.values())

    def bytes_left(self) -> int:
        """Still to come over the network, as far as is planned."""
        return sum(step.bytes_left for step in self.steps.values() if step.phase != "done")

    @property
    def under_way(self) -> bool:
        """Whether a run of several steps is not over yet."""
        return len(self.run) > 1 and any(self.steps[name].phase != "done" for name in self.run)

    def share(self, now: float) -> float | None:
        """How much of the run is over, by time, below 1; it never falls. None while it cannot be known."""
        taken, left = now - self.begun, self.seconds_left(now)
        planned = self.measured or any(step.planned_bytes is not None for step in self.steps.values())
        if left is not None and planned and taken >= estimate.MEASURING_S:
            self._share = max(self._share, min(MOST, taken / (taken + left)))
        return self._share or None

    def done(self) -> list[StepState]:
        return [step for step in self.steps.values() if step.phase == "done"]

    def bytes_per_s(self, now: float) -> float | None:
        """The line's rate: measured now, else as in an earlier run, else assumed; None when it stalls."""
        if self._seen is None:
            assumed = estimate.ASSUMED_BYTES_PER_S if now - self.begun >= estimate.MEASURING_S else None
            return self.pace.bytes_per_s or assumed
        under_way = (task for step in self.steps.values() for task in step.moving)
        if not any(task.at.over_network and task.told_in_time for task in under_way):
            return self._seen
        return self.rate.at(now) if self.rate.idle_s(now) < estimate.STALL_S else None

    def heartbeat(self, now: float) -> events.Heartbeat:
        """What is going on."""
        return events.Heartbeat(
            active=tuple(step.name for step in self.steps.values() if step.active),
            done_bytes=self.bytes_moved(),
            left_bytes=self.bytes_left(),
            bytes_per_s=self.bytes_per_s(now),
            seconds_left=self.seconds_left(now),
        )

    def seconds_left(self, now: float) -> float | None:
        """Of the whole run, as it is shown; None while it cannot be known."""
        return self.left.at(now, estimate.run_seconds_left(self._jobs(now), self.bytes_per_s(now)))

    def _jobs(self, now: float) -> list[Job]:
        needs = {name: step.needs for name, step in self.steps.items()}
        changed = {name for name, step in self.steps.items() if step.planned_bytes is not None}
        at_work = estimate.must_work(needs, changed | set(self.measured))
        return [
            Job(step.name, step.needs, step.bytes_left, self._seconds_of(now, step) if step.name in at_work else 0.0)
            for step in self.steps.values()
            if step.phase != "done" and not self.blocked(step)
        ]

    def _seconds_of(self, now: float, step: StepState) -> float:
        """Seconds left of a step without its download; they pass only while no byte is to come."""
        expected = self.pace.expected_s(step.name, self.usual)
        if not step.active or step.bytes_left:
            return expected
        return estimate.step_seconds_left(expected, now - step.offline_since)

    def unfinished(self) -> list[Task]:
        """Downloads under way, which the next run resumes."""
        tasks = [task for step in self.steps.values() if step.active for task in step.moving]
        return [task for task in tasks if task.at.kind is events.Work.DOWNLOAD and task.at.total and task.at.done]


def _task(step: StepState, event: events.Progress) -> Task:
    """The task of an event; another unit, or another install, is a new one."""
    task = step.tasks.get(key := (event.kind, event.subject))
    if task and (task.at.unit != event.unit or (event.kind is events.Work.INSTALL and event.done < task.at.done)):
        step.earlier_bytes += task.moved_bytes
        task = None
    if task is None:
        task = step.tasks[key] = Task(event, event.done if event.kind is events.Work.DOWNLOAD else 0)
    return task
