"""`auto`: which backend is the fastest here and now, found out with bytes that are wanted anyway.

The first one begins. Where the file will be here soon it goes on; else each of the others has its turn for a moment,
behind what is there, and the fastest goes on. One that fails, or whose rate falls far below what another has shown, is
followed by the next. git-lfs reads all that it has before it goes on, so that it is not tried but kept for when
nothing else works.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from provision.command import ours
from provision.core.events import Event, Progress
from provision.core.patience import Patience
from provision.core.step import Context
from provision.download.backend import PASSING_ON, Backend, HubFile, TooSlow
from provision.download.backends.registry import AUTO, backend, backends
from provision.download.part_file import bytes_of
from provision.errors import DownloadError, HubRefused, ProvisionError

WORTH_BYTES = 256 << 20
"""Where less than this is missing, nothing is measured."""
LOOK_S = 2.0
"""The first backend is looked at after so long, from its first byte on."""
TRIAL_S = 3.0
"""How long each of the others is tried."""
SOON_S = 60.0
"""What will be here sooner than this is not worth trying others for."""
AHEAD = 1.15
"""How many times faster another must be to be taken in place of one that stands before it."""
FALLEN = 0.5
"""A rate below this share of what the next one has shown is reason enough to change."""
WINDOW_S = 30.0
"""A rate is that of the last seconds."""


class Enough(DownloadError):
    """What was to be known is known: raised in the middle of a download to end it, and never shown."""

    def __init__(self) -> None:
        super().__init__("A trial is over.", hint=ours("doctor"))


Ends = Callable[[float, float, int], bool]
"""Whether it is enough, after so many seconds, at such a rate (bytes per second), with so many bytes left."""


def bring(ctx: Context, file: HubFile, part: Path) -> str | None:
    """Bring a part to its size with the backend that was asked for, or the one that is fastest.

    Returns the sha256 where a backend took it. Raises what the last one raised, and at once what none could mend.
    """
    chosen, measured = choose(ctx), ctx.options.backend == AUTO
    race = _Race(ctx, file, part, chosen)
    if measured and file.size - bytes_of(part) >= WORTH_BYTES and not ctx.options.limit_rate:
        for each in [each for each in chosen if each.quick]:
            if race.attempt(each, after(TRIAL_S) if race.rates else first_look()):
                return race.sha256
            if each.name not in race.rates:
                race.tell_change(each)
            elif race.soon():
                break
        race.tell()
    while True:
        first, following = race.order()
        ends = fallen(race.rates.get(following.name, 0.0)) if following and measured else never
        if race.attempt(first, ends, refusable=measured):
            return race.sha256
        race.tell_change(first)


def choose(ctx: Context) -> list[Backend]:
    """The backends to try, in order: the one that was asked for, or with `auto` all that this machine has programs
    for."""
    if ctx.options.backend == AUTO:
        return [each for each in backends() if each.usable(ctx.machine)]
    asked = backend(ctx.options.backend)
    return [asked, backend(asked.then)] if asked.then else [asked]


class _Race:
    """Which backends there are still, and what each has shown."""

    def __init__(self, ctx: Context, file: HubFile, part: Path, backends: list[Backend]) -> None:
        self.rates: dict[str, float] = {}
        """Bytes per second, by name."""
        self.sha256: str | None = None
        """The file's, where the backend that brought it took it."""
        self._ctx, self._file, self._part, self._left = ctx, file, part, backends
        self._problem: ProvisionError | None = None
        self._fruitless_s = 0.0
        """How long nothing has come, whichever backend asked."""

    def attempt(self, backend: Backend, ends: Ends, *, refusable: bool = True) -> bool:
        """Fetch until the file is here (True), `ends` says so or it fails.

        Raises its error where no other backend is left, and, unless that is `refusable`, a hub's refusal for good.
        """
        if self._ctx.options.limit_rate and not backend.limited:
            self._ctx.note(f"{backend.name} cannot limit its rate. To limit it: --backend http")
        watch = _Watch(self._ctx, self._file.name, ends)
        before, began = bytes_of(self._part), self._ctx.machine.clock()
        try:
            at = replace(self._ctx, emit=watch.emit, patience=self._patience(backend))
            self.sha256 = backend.fetch(at, self._file, self._part)
            return True
        except Enough:
            self.rates[backend.name], self._problem = watch.rate, None
        except PASSING_ON as error:
            refused = isinstance(error, HubRefused) and error.passing is None
            if isinstance(error, TooSlow) or (refused and not refusable):
                raise
            self._left.remove(backend)
            self.rates.pop(backend.name, None)
            came = bytes_of(self._part) != before
            self._fruitless_s = 0.0 if came else self._fruitless_s + self._ctx.machine.clock() - began
            self._problem = error
            if not self._left:
                raise
        return False

    def _patience(self, backend: Backend) -> Patience:
        """What is left for an outage is shared: whoever has another behind it takes half."""
        whole = self._ctx.patience
        left_s = max(whole.answer_s, whole.outage_s - self._fruitless_s)
        return replace(whole, outage_s=left_s if len(self._left) == 1 else left_s / 2)

    def order(self) -> tuple[Backend, Backend | None]:
        """The backend to use and the one that comes next: the fastest first, and of those that are about as fast the
        one that stands first; those that were not tried come last."""
        best = max(self.rates.values(), default=0.0)
        first = next((each for each in self._left if self.rates.get(each.name, 0.0) * AHEAD >= best), self._left[0])
        others = [each for each in self._left if each is not first]
        return first, max(others, key=lambda each: self.rates.get(each.name, 0.0), default=None)

    def soon(self) -> bool:
        """Whether the file will be here soon at the best rate so far."""
        return max(self.rates.values(), default=0.0) * SOON_S > self._file.size - bytes_of(self._part)

    def tell(self) -> None:
        """Say what was measured, where there was a choice."""
        if len(self.rates) > 1:
            told = ", ".join(f"{name} {rate / 1e6:.1f} MB/s" for name, rate in self.rates.items())
            self._ctx.note(f"Measured for {self._file.name}: {told}. Continuing with {self.order()[0].name}.")

    def tell_change(self, backend: Backend) -> None:
        """Say why another backend goes on, and from where."""
        why = f"{backend.name} failed: {self._problem.message}" if self._problem else f"{backend.name} has become slow."
        self._ctx.note(f"{why} {self.order()[0].name} continues from {bytes_of(self._part):,} bytes.")


class _Watch:
    """Passes events on, and follows the rate of one file over the last `WINDOW_S`, from its first new byte on."""

    def __init__(self, ctx: Context, name: str, ends: Ends) -> None:
        self.rate = 0.0
        self._ctx, self._name, self._ends = ctx, name, ends
        self._began = 0.0
        self._seen: deque[tuple[float, int]] = deque()

    def emit(self, event: Event) -> None:
        """Raises Enough in the thread that tells of the progress."""
        self._ctx.emit(event)
        if not (isinstance(event, Progress) and event.downloads(self._name)):
            return
        now, seen = self._ctx.machine.clock(), self._seen
        if not seen or event.done < seen[-1][1] or (len(seen) == 1 and event.done == seen[0][1]):
            seen.clear()  # nothing has come yet, or it was begun anew
            self._began = now
        seen.append((now, event.done))
        while len(seen) > 2 and now - seen[1][0] >= WINDOW_S:
            seen.popleft()
        since, before = seen[0]
        if now > since and event.total is not None and event.done < event.total:
            self.rate = (event.done - before) / (now - since)
            if self._ends(now - self._began, self.rate, event.total - event.done):
                raise Enough


def first_look() -> Ends:
    """Enough once, after `LOOK_S`, unless the file will be here soon."""
    looked: list[float] = []

    def ends(seconds: float, rate: float, left: int) -> bool:
        if looked or seconds < LOOK_S:
            return False
        looked.append(seconds)
        return left > rate * SOON_S

    return ends


def after(limit_s: float) -> Ends:
    """Enough after so many seconds."""
    return lambda seconds, rate, left: seconds >= limit_s


def fallen(other_rate: float) -> Ends:
    """Enough when it comes at less than `FALLEN` of what another has shown."""
    return lambda seconds, rate, left: seconds >= WINDOW_S and rate < FALLEN * other_rate


def never(seconds: float, rate: float, left: int) -> bool:
    """Not enough until all is here."""
    return False
