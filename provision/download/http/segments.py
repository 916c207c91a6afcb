"""Which bytes of a file are here, which are on their way, and which are asked for next.

The book-keeping of a download over several connections: no clock, no disk, no lock. Whoever shares it between
threads brings the lock.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

Span = tuple[int, int]
"""First byte, and the first byte after."""


@dataclass(slots=True, eq=False)
class Claim:
    """Bytes that one connection brings: `start` to `stop`. Others may lower `stop`, down to what was taken.

    `taken`: how far they came from the network; `at`: how far they are here, written.
    """

    start: int
    stop: int
    taken: int
    at: int

    @property
    def left(self) -> int:
        """How many bytes are still to come."""
        return self.stop - self.taken


class Segments:
    """A file of `size` bytes in segments, asked for in the order of the file.

    `done`: what is here already; what lies outside of the file is left out.
    """

    def __init__(self, size: int, segment_bytes: int, done: Iterable[Span] = ()) -> None:
        self.size = size
        self.segment_bytes = segment_bytes
        self.claims: list[Claim] = []
        self._done = merged((max(0, start), min(size, stop)) for start, stop in done)
        self._done_bytes = sum(stop - start for start, stop in self._done)

    @property
    def done(self) -> tuple[Span, ...]:
        """What is here: in order, apart from each other."""
        return tuple(self._done)

    @property
    def done_bytes(self) -> int:
        """How much is here."""
        return self._done_bytes

    @property
    def prefix(self) -> int:
        """How much is here without a gap from the beginning on."""
        return prefix_of(self._done)

    @property
    def complete(self) -> bool:
        """Whether everything is here."""
        return self._done_bytes == self.size

    @property
    def waiting(self) -> int:
        """How many segments, or what is missing of them, nobody brings."""
        each = self.segment_bytes
        return sum((stop - 1) // each - start // each + 1 for start, stop in self._gaps())

    @property
    def unclaimed_bytes(self) -> int:
        """How much nobody brings yet."""
        return self.size - self._done_bytes - sum(claim.stop - claim.at for claim in self.claims)

    def claim(self, most_bytes: int | None = None) -> Claim | None:
        """The next segment, or what is missing of it, or its first `most_bytes`; None when nothing is left to be
        claimed."""
        gap = next(self._gaps(), None)
        if gap is None:
            return None
        start, stop = gap
        border = (start // self.segment_bytes + 1) * self.segment_bytes
        stop = min(stop, border, start + most_bytes if most_bytes else border)
        claim = Claim(start, stop, start, start)
        self.claims.append(claim)
        return claim

    def take(self, claim: Claim, count: int) -> int:
        """`count` more bytes of a claim came; returns how many of them are the claim's to bring, now for good."""
        count = max(0, min(count, claim.left))
        claim.taken += count
        return count

    def advance(self, claim: Claim, count: int) -> None:
        """Note `count` more bytes that were taken as here."""
        count = min(count, claim.taken - claim.at)
        self._done = merged((*self._done, (claim.at, claim.at + count)))
        self._done_bytes += count
        claim.at += count

    def release(self, claim: Claim) -> None:
        """End a claim: what is not here of it can be claimed again."""
        self.claims.remove(claim)

    def split(self, claim: Claim, least_bytes: int) -> Claim | None:
        """Give the second half of what a claim still has to bring to another, or all of it when it is less than
        twice `least_bytes`; None when it has nothing left."""
        if not claim.left:
            return None
        cut = claim.taken + claim.left // 2 if claim.left >= 2 * least_bytes else claim.taken
        other = Claim(cut, claim.stop, cut, cut)
        claim.stop = cut
        self.claims.append(other)
        return other

    def _gaps(self) -> Iterator[Span]:
        """What is neither here nor claimed, in order."""
        at = 0
        for start, stop in merged((*self._done, *((claim.at, claim.stop) for claim in self.claims))):
            if at < start:
                yield at, start
            at = stop
        if at < self.size:
            yield at, self.size


def prefix_of(done: Iterable[Span]) -> int:
    """How many bytes from the beginning on are here without a gap."""
    return next((stop for start, stop in done if start == 0), 0)


def merged(spans: Iterable[Span]) -> list[Span]:
    """Spans in order, those that touch made one, empty ones left out."""
    found: list[Span] = []
    for start, stop in sorted(spans):
        if start >= stop:
            continue
        if found and start <= found[-1][1]:
            found[-1] = found[-1][0], max(found[-1][1], stop)
        else:
            found.append((start, stop))
    return found
