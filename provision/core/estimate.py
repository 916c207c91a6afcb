"""Time left: rates, steps, the whole run. Pure; seconds and bytes. None means unknown."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

WINDOW_S = 12.0
"""A rate is the mean over this time: short enough to follow a network, long enough not to flicker."""
SEEN_S = 1.0
"""A rate is unknown until this much was seen."""
STALL_S = 5.0
"""A download stalls when nothing has come for this long."""
CALM_S = 4.0
"""How fast the time shown follows a new estimate."""
OVERDUE = 0.25
"""Time left of overdue work, as a share of the time taken."""
ABSURD = 1e12
"""No line is this fast (bytes a second), and no step this slow (seconds)."""
ASSUMED_BYTES_PER_S = 12_500_000
"""100 Mbit/s: what a plan assumes until something was measured, and a run that has measured nothing."""
MEASURING_S = 2.0
"""How long a run may measure before it assumes."""

USUAL_S: Mapping[str, float] = {
    "hardware": 1,
    "tools": 2,
    "python_env": 4,
    "torch": 25,
    "comfyui": 4,
    "models": 8,
    "requirements": 40,
    "workflow": 0.5,
    "server": 15,
    "first_image": 30,
    "lock": 1,
}
"""Seconds of a step without its download: unpacking, testing, starting. Expected on an M1 Pro, until a run in the home
has measured them (see Pace)."""
REHEARSED_S: Mapping[str, float] = {name: min(seconds, 1.0) for name, seconds in USUAL_S.items()}


@dataclass(slots=True)
class Rate:
    """Bytes a second over the last seconds."""

    seen: deque[tuple[float, int]] = field(default_factory=deque)

    def add(self, now: float, done: int) -> None:
        """Add the bytes done by now; starts again when the number falls."""
        if self.seen and done < self.seen[-1][1]:
            self.seen.clear()
        self.seen.append((now, done))
        while len(self.seen) > 2 and now - self.seen[1][0] > WINDOW_S:
            self.seen.popleft()

    def at(self, now: float) -> float | None:
        """The rate at a moment, which falls while nothing comes; None while too little was seen, or nothing came."""
        if len(self.seen) < 2 or now - self.seen[0][0] < SEEN_S:
            return None
        first = max((seen for seen in self.seen if now - seen[0] > WINDOW_S), default=self.seen[0])
        rate = (self.seen[-1][1] - first[1]) / (now - first[0])
        return rate if rate > 0 else None

    def idle_s(self, now: float) -> float:
        """For how long nothing has come."""
        if not self.seen:
            return 0.0
        last = self.seen[-1][1]
        return now - next(at for at, done in self.seen if done == last)


@dataclass(slots=True)
class Countdown:
    """A time left as it is shown: it runs down with the clock, and is drawn to each new estimate without jumping."""

    shown: float | None = None
    moment: float = 0.0

    def at(self, now: float, estimate: float | None) -> float | None:
        """What to show now, given what is estimated now."""
        if estimate is None or self.shown is None:
            self.shown = estimate
        else:
            passed = max(0.0, now - self.moment)
            running = max(0.0, self.shown - passed)
            self.shown = running + (estimate - running) * (1 - math.exp(-passed / CALM_S))
        self.moment = now
        return self.shown


@dataclass(frozen=True, slots=True)
class Job:
    """What is left of a step: bytes over the network first, then seconds that need no network."""

    name: str
    needs: tuple[str, ...] = ()
    bytes_left: int = 0
    seconds_left: float = 0.0


def run_seconds_left(jobs: Iterable[Job], bytes_per_s: float | None) -> float | None:
    """Seconds until all are done, where downloads share the line; None while bytes are to come at an unknown rate."""
    left = {job.name: job for job in jobs}
    if bytes_per_s is None and any(job.bytes_left > 0 for job in left.values()):
        return None
    passed = 0.0
    while left:
        active = [job for job in left.values() if not left.keys() & set(job.needs)]
        if not active:  # a circle, which the runner would not end either
            return None
        loading = [job for job in active if job.bytes_left > 0]
        share = (bytes_per_s or 0.0) / len(loading) if loading else 0.0
        spans = [job.bytes_left / share if job.bytes_left > 0 else job.seconds_left for job in active]
        span = min(spans)
        for job, its in zip(active, spans, strict=True):
            if job.bytes_left > 0:
                rest = 0 if its <= span else math.ceil(job.bytes_left - share * span)
                left[job.name] = replace(job, bytes_left=rest)
            elif its <= span:
                del left[job.name]
            else:
                left[job.name] = replace(job, seconds_left=job.seconds_left - span)
        passed += span
    return passed


def step_seconds_left(expected_s: float, taken_s: float) -> float:
    """What is left of work that was expected to take so long; of what is overdue, a part of what it has taken."""
    return max(expected_s - taken_s, OVERDUE * taken_s if taken_s > expected_s else 0.0)


@dataclass(frozen=True, slots=True)
class Pace:
    """What was measured: bytes a second (None: nothing yet), and each step's seconds without its download."""

    bytes_per_s: float | None = None
    seconds: Mapping[str, float] = field(default_factory=dict)

    def expected_s(self, step: str, usual: Mapping[str, float] = USUAL_S) -> float:
        """Seconds of a step without its download: measured, or the usual ones."""
        return self.seconds.get(step, usual.get(step, 1.0))

    def to_json(self) -> dict[str, object]:
        """As it is kept in the home."""
        return {"bytes_per_s": self.bytes_per_s, "seconds": {name: round(s, 2) for name, s in self.seconds.items()}}


def believable(kept: Pace) -> Pace:
    """A stored pace without impossible numbers."""
    rate = kept.bytes_per_s
    return Pace(
        rate if rate is not None and 0 < rate < ABSURD else None,
        {name: seconds for name, seconds in kept.seconds.items() if 0 <= seconds < ABSURD},
    )


def must_work(needs: Mapping[str, Sequence[str]], planned: Iterable[str]) -> set[str]:
    """The steps that have work when `planned` have: those, and all that come after one of them."""
    found = set(planned)
    for name, before in needs.items():
        if found & set(before):
            found.add(name)
    return found
