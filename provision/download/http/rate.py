"""How fast and over how many connections: a limit to the rate, and a search for the number that is worth it."""

from __future__ import annotations

import threading
from collections.abc import Callable

GAIN = 0.05
"""What each connection more must add to the total rate to be kept."""
STRAINED = 0.1
"""Connections that spend more of their time than this waiting for the disk or the hash are enough."""
PROBE_S = 15.0
"""After so long the search is taken up again: networks change."""


class Bucket:
    """A limit of `rate` bytes a second for all threads together; 0 is none. Half a second's bytes may come at once."""

    def __init__(self, rate: int, clock: Callable[[], float]) -> None:
        self._rate = rate
        self._clock = clock
        self._lock = threading.Lock()
        self._free_at = clock()

    def most(self, wanted: int) -> int:
        """How many bytes to take at a time, so that the flow stays even."""
        return min(wanted, max(1024, self._rate // 8)) if self._rate else wanted

    def take(self, count: int) -> float:
        """Account for bytes that came; returns how many seconds to wait before the next are taken."""
        if not self._rate:
            return 0.0
        with self._lock:
            now = self._clock()
            self._free_at = max(self._free_at, now - 0.5) + count / self._rate
            return max(0.0, self._free_at - now)


class Ramp:
    """How many connections to use: one at first, soon as many as the disk and the hash could serve at the first one's
    rate, `second` at least, then doubled for as long as each one more adds `GAIN`, else back to where it was best.
    None is added where the disk or the hash could not keep up.

    `aim` is the number to use now. With `fixed`, it is that.
    """

    def __init__(self, *, first: int, second: int, most: int, fixed: int, window_s: float, now: float) -> None:
        self.aim = fixed or min(first, most)
        self._second, self._most = min(second, most), fixed or most
        self._window_s = window_s
        self._settled_until: float | None = float("inf") if fixed else None
        self._before: tuple[int, float] | None = None
        self._begun = (now, -1, 0.0)

    def observe(
        self, now: float, total_bytes: int, connections: int, *, waited_s: float = 0.0, enough: float = float("inf")
    ) -> int:
        """Look at the bytes that came so far over `connections` connections; returns the new aim.

        `waited_s`: how long these in all have waited for the disk and the hash. `enough`: the rate from which on more
        connections would only let them wait.
        """
        began, bytes_then, waited_then = self._begun
        if bytes_then < 0 or connections < self.aim or (total_bytes == bytes_then and self._before is None):
            self._begun = now, total_bytes, waited_s  # not all of them run yet, or nothing comes
        elif self._settled_until is not None:
            if now >= self._settled_until:
                self._settled_until = self._before = None
                self._begun = now, total_bytes, waited_s
        elif now - began >= (self._window_s if self.aim > 1 else self._window_s / 3):
            passed_s = now - began
            rate = (total_bytes - bytes_then) / passed_s
            if rate > enough or waited_s - waited_then > STRAINED * passed_s * connections:
                self.settle(self.aim, now)
            else:
                self._adjust(now, rate, enough)
            self._begun = now, total_bytes, waited_s
        return self.aim

    def settle(self, aim: int, now: float) -> None:
        """Use so many for now: a server wants no more."""
        self.aim = max(1, min(aim, self.aim))
        self._before = None
        self._settled_until = now + PROBE_S

    def _adjust(self, now: float, rate: float, enough: float) -> None:
        before = self._before
        if before is not None and rate < before[1] * (1 + GAIN * (self.aim - before[0])):
            self.settle(before[0], now)
        elif self.aim >= self._most:
            self.settle(self.aim, now)
        else:
            self._before = self.aim, rate
            wanted = int(min(enough * self.aim / rate, self._most)) if rate and enough < float("inf") else 0
            self.aim = min(max(2 * self.aim, self._second, wanted), self._most)
