"""Which hubs are asked, in which order, and when the next one's turn has come: one fails, or its bytes only crawl."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import TypeVar

from provision.command import Fix
from provision.core.events import Emit, Event, Progress, Waiting
from provision.core.patience import BRIEF_S
from provision.core.step import Context
from provision.download.backend import PASSING_ON, TooSlow
from provision.download.retry import STALL_TIMEOUT_S
from provision.download.web import host_of
from provision.errors import WrongFile

T = TypeVar("T")

CRAWL_BYTES_PER_S = 50_000
CRAWL_S = 30.0
"""Slower than `CRAWL_BYTES_PER_S` for so long is crawling."""
DRIP_BYTES_PER_S = 1_000
"""What comes slower than this, from the last hub too, will not be here in a year: it is as good as silent."""
SILENCE_S = STALL_TIMEOUT_S + 5.0
"""Where nothing was told for so long, a program read what it has, or a server asked to wait: that is no pace."""


def endpoints_of(ctx: Context) -> tuple[str, ...]:
    """The hubs in the order in which they are asked: those that were named, else the one that is configured."""
    return ctx.options.endpoints or (ctx.options.endpoint,)


def from_endpoints(ctx: Context, name: str, work: Callable[[Context, str], T]) -> T:
    """Do `work` with the first hub; where that fails or crawls, with the next, which goes on from what is there.

    `name` is the file whose progress tells whether it crawls; the last hub may, and must not drip. Raises what the
    last one raised.
    """
    hubs = endpoints_of(ctx)
    for endpoint, following in pairwise(hubs):
        try:
            watchful = _watchful(ctx, endpoint, name, _Pace(CRAWL_BYTES_PER_S))
            return work(replace(ctx, emit=watchful, patience=ctx.patience.at_most(BRIEF_S)), endpoint)
        except (*PASSING_ON, WrongFile) as error:
            ctx.note(f"{error.sentence} {host_of(following)} is next.")
    return work(replace(ctx, emit=_watchful(ctx, hubs[-1], name, _Pace(DRIP_BYTES_PER_S, SILENCE_S))), hubs[-1])


@dataclass(slots=True)
class _Pace:
    """How fast a file came over the last half minute; a pause of more than `pause_s` begins it anew."""

    least_bytes_per_s: float
    pause_s: float = float("inf")
    seen: deque[tuple[float, int]] = field(default_factory=deque)

    def crawls(self, now: float, done: int, least_bytes_per_s: float) -> bool:
        if self.seen and (done < self.seen[-1][1] or now - self.seen[-1][0] > self.pause_s):
            self.seen.clear()  # it was begun anew
        self.seen.append((now, done))
        while len(self.seen) > 2 and now - self.seen[1][0] >= CRAWL_S:
            self.seen.popleft()
        (since, before), seconds = self.seen[0], now - self.seen[0][0]
        return seconds >= CRAWL_S and (done - before) < least_bytes_per_s * (now - since)


def _watchful(ctx: Context, endpoint: str, name: str, pace: _Pace) -> Emit:
    """An emit that stops a download which crawls: it raises TooSlow in the thread that tells of its progress."""
    limit = ctx.options.limit_rate
    least = min(pace.least_bytes_per_s, limit / 2) if limit else pace.least_bytes_per_s

    def emit(event: Event) -> None:
        ctx.emit(event)
        if isinstance(event, Waiting) and pace.pause_s < float("inf"):
            pace.seen.clear()
        if not (isinstance(event, Progress) and event.downloads(name)) or event.done == event.total:
            return
        if pace.crawls(ctx.machine.clock(), event.done, least):
            raise TooSlow(
                f"{host_of(endpoint)} sends {name} at less than {least / 1000:.0f} kB/s.",
                hint=Fix("Run the same command again later: the download resumes."),
            )

    return emit
