"""What the connections of one download share: the segments, the address, the disk's part, and when to end."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from provision.core.step import Context
from provision.download.backend import Address, HubFile
from provision.download.http.buffers import Buffers
from provision.download.http.rate import Bucket
from provision.download.http.segments import Claim, Segments, Span
from provision.download.http.wire import Dialer
from provision.download.hub.api import address_of, locate
from provision.download.retry import STALL_TIMEOUT_S
from provision.download.web import host_of


@dataclass(frozen=True, slots=True)
class Settings:
    """How the bytes are cut, watched and shared out. Measured on loopback and with limited connections; a smaller
    segment costs requests, a larger one lets the hash wait."""

    segment_bytes: int = 16 << 20
    buffer_bytes: int = 4 << 20
    shared_bytes: int = 512 << 10
    """How much of a buffer is used where there are several connections: together they hold no more in memory."""
    spare_buffers: int = 3
    """How many buffers there are beside one for each connection: what the hash and the disk may be behind."""
    stall_s: float = STALL_TIMEOUT_S
    first: int = 1
    second: int = 4
    most: int = 8
    window_s: float = 0.3
    """How long a number of connections is measured."""
    save_s: float = 0.25
    race_s: float = 1.0
    """A segment that will take longer than this is shared with a connection that has nothing to do; what was on its way
    to the first of them then comes twice, so that it is not done for less."""
    last_bytes: int = 2 << 20
    """Towards the end of a file segments get smaller, down to this, so that all connections end at the same time."""
    least_bytes: int = 256 << 10
    """What is left of a segment is not halved below this, but taken over whole."""


class Changed(Exception):
    """The server has another file now than the one that was begun."""


class NoRanges(Exception):
    """The server sends the whole where a part was asked for."""


class Transfer:
    """The state of one download, for all its threads."""

    def __init__(
        self, ctx: Context, file: HubFile, part: Path, settings: Settings, *, done: Iterable[Span], ranges: bool
    ) -> None:
        self.ctx = ctx
        self.file = file
        self.part = part
        self.settings = settings
        self.ranges = ranges
        """Whether parts are asked for; else the whole, over one connection."""
        self.segments = Segments(file.size, settings.segment_bytes if ranges else file.size, done)
        self.dialer = Dialer(ctx.machine.environ)
        self.bucket = Bucket(ctx.options.limit_rate, ctx.machine.clock)
        self.over = threading.Event()
        """Set: every connection ends at once."""
        self.taken_bytes = 0
        """How many bytes came and were wanted, written by now or not."""
        self.answered = False
        """Whether the server has shown that it gives what is asked for."""
        self.etag, self.etag_host = "", ""
        self.etags = True
        """Whether another ETag means another file; some servers give every answer its own."""
        self.buffers = Buffers(settings.buffer_bytes, 1 + settings.spare_buffers, ctx.machine.clock)
        self.aim = 1
        """How many connections there should be; one that is too many ends after its segment."""
        self.running = 0
        self._turn = threading.Condition()
        self._began: dict[Claim, float] = {}
        self._address: Address | None = None
        self._asked = False
        self._asking = threading.Lock()

    # -- segments ---------------------------------------------------------------------------------------

    def next_claim(self) -> Claim | None:
        """What a connection should bring next; None when it should end. Waits while others may still fail."""
        with self._turn:
            while not (self.over.is_set() or self.segments.complete or self.running > self.aim):
                claim = self.segments.claim(self._fair_bytes()) or self._shared()
                if claim is not None:
                    self._began[claim] = self.ctx.machine.clock()
                    return claim
                self._turn.wait(0.05)
            return None

    def release(self, claim: Claim) -> None:
        """A claim is done with, whether or not all of it was brought; what was is written."""
        with self._turn:
            self.segments.release(claim)
            del self._began[claim]
            self._turn.notify_all()

    def take(self, claim: Claim, count: int) -> tuple[int, int]:
        """`count` bytes more of a claim came: from which place on they are, and how many of them are wanted."""
        with self._turn:
            at, took = claim.taken, self.segments.take(claim, count)
            self.taken_bytes += took
            return at, took

    def advance(self, claim: Claim, count: int) -> None:
        """So many bytes more of a claim are written."""
        with self._turn:
            self.segments.advance(claim, count)

    def prefix(self) -> int:
        """How much is here without a gap."""
        with self._turn:
            return self.segments.prefix

    def wants_more(self) -> bool:
        """Whether there is something for one more connection to bring."""
        with self._turn:
            idle = self.running - len(self.segments.claims)
            return self.running < self.aim and self.segments.waiting > idle

    def enter(self) -> None:
        """One connection more."""
        with self._turn:
            self.running += 1
            self.buffers.most = max(self.buffers.most, self.running + self.settings.spare_buffers)

    def piece_bytes(self) -> int:
        """How much a connection gathers before it hands it on: more where it is the only one."""
        settings = self.settings
        return settings.buffer_bytes if self.aim == 1 else min(settings.buffer_bytes, settings.shared_bytes)

    def leave(self) -> None:
        """One connection less."""
        with self._turn:
            self.running -= 1
            self._turn.notify_all()

    def _fair_bytes(self) -> int | None:
        """How much a connection should take, so that none brings much when the others have nothing left to do."""
        if not self.ranges or self.running < 2:
            return None
        last = self.settings.last_bytes  # what is written past the page cache begins at a multiple of it
        return max(last, self.segments.unclaimed_bytes // (2 * self.running) // last * last)

    def _shared(self) -> Claim | None:
        """Half of what the slowest connection still has to bring, when that takes it long for want of a faster line."""
        if not self.ranges or not self._began or self.ctx.options.limit_rate:
            return None
        now = self.ctx.machine.clock()
        slowest = max(self._began, key=lambda claim: self._seconds_left(claim, now))
        if self._seconds_left(slowest, now) < self.settings.race_s:
            return None
        return self.segments.split(slowest, self.settings.least_bytes)

    def _seconds_left(self, claim: Claim, now: float) -> float:
        since = now - self._began[claim]
        if claim.taken == claim.start:  # a second to begin, then it counts as one that never will
            return 0.0 if since < 1.0 else float("inf")
        return claim.left * since / (claim.taken - claim.start)

    # -- where it comes from ----------------------------------------------------------------------------

    def address(self) -> Address:
        """Where to ask; a fresh one from the hub when there is none that works. Raises as `locate`."""
        with self._asking:
            if self._address is None:
                self._address = (locate if self._asked else address_of)(self.ctx, self.file)
                self._asked = True
            return self._address

    def stale(self, address: Address) -> None:
        """Something went wrong there: the next who asks gets a fresh one."""
        with self._asking:
            if self._address is address:
                self._address = None

    def expected_etag(self, url: str) -> str:
        """The strong ETag that this host gave before, empty when it gave none."""
        with self._turn:
            return self.etag if self.etag_host == host_of(url) else ""

    def state(self) -> tuple[tuple[Span, ...], str, str]:
        """What is to be noted of the part: which bytes are here, the ETag and its host."""
        with self._turn:
            return self.segments.done, self.etag, self.etag_host

    def accept(self, url: str, etag: str) -> None:
        """An answer fits. Its ETag is kept, of weak ones none (RFC 9110, 13.1.5). Raises Changed."""
        strong = etag if self.etags and etag.startswith('"') else ""
        with self._turn:
            same_host = self.etag_host == host_of(url)
            if same_host and self.etag and strong and strong != self.etag:
                raise Changed
            if strong or not same_host:
                self.etag, self.etag_host = strong, host_of(url)
            self.answered = True
            self._turn.notify_all()
