"""Which hubs are asked, in which order, and when the next one's turn has come: one fails, or its bytes only crawl."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import TypeVar

from provision.backends.backend import PASSING_ON, Crawling
from provision.backends.web import host_of
from provision.errors import WrongFile
from provision.events import Emit, Event, Progress
from provision.step import Context

T = TypeVar("T")

CRAWL_BYTES_PER_S = 50_000
CRAWL_S = 30.0
"""Slower than `CRAWL_BYTES_PER_S` for so long is crawling."""


def endpoints_of(ctx: Context) -> tuple[str, ...]:
    """The hubs in the order in which they are asked: those that were named, else the one that is configured."""
    return ctx.options.endpoints or (ctx.options.endpoint,)


def from_endpoints(ctx: Context, name: str, work: Callable[[Context, str], T]) -> T:
    """Do `work` with the first hub; where that fails or crawls, with the next, which goes on from what is there.

    `name` is the file whose progress tells whether it crawls; the last hub may. Raises what the last one raised.
    """
    hubs = endpoints_of(ctx)
    for endpoint, following in pairwise(hubs):
        try:
            return work(replace(ctx, emit=_watchful(ctx, endpoint, name)), endpoint)
        except (*PASSING_ON, WrongFile) as error:
            ctx.note(f"{error.message} {host_of(following)} is asked next.")
    return work(ctx, hubs[-1])


@dataclass(slots=True)
class _Pace:
    """How fast a file came over the last half minute."""

    seen: deque[tuple[float, int]] = field(default_factory=deque)

    def crawls(self, now: float, done: int, least_bytes_per_s: float) -> bool:
        if self.seen and done < self.seen[-1][1]:
            self.seen.clear()  # it was begun anew
        self.seen.append((now, done))
        while len(self.seen) > 2 and now - self.seen[1][0] >= CRAWL_S:
            self.seen.popleft()
        (since, before), seconds = self.seen[0], now - self.seen[0][0]
        return seconds >= CRAWL_S and (done - before) < least_bytes_per_s * (now - since)


def _watchful(ctx: Context, endpoint: str, name: str) -> Emit:
    """An emit that stops a download which crawls: it raises Crawling in the thread that tells of its progress."""
    pace, limit = _Pace(), ctx.options.limit_rate
    least = min(CRAWL_BYTES_PER_S, limit / 2) if limit else CRAWL_BYTES_PER_S

    def emit(event: Event) -> None:
        ctx.emit(event)
        if not isinstance(event, Progress) or event.subject != name or event.done == event.total:
            return
        if pace.crawls(ctx.machine.clock(), event.done, least):
            raise Crawling(
                f"{host_of(endpoint)} sends {name} at less than {least / 1000:.0f} kB/s.",
                hint="Run the same command again later: it goes on from what is there.",
            )

    return emit
