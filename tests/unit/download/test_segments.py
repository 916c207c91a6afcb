"""The book-keeping of segments: whatever completes, fails, is split or killed, each byte is brought exactly once."""

from __future__ import annotations

from math import inf

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from provision.download.http.rate import PROBE_S, Bucket, Ramp
from provision.download.http.segments import Claim, Segments, merged, prefix_of

Step = tuple[str, int, int]
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["claim", "take", "take", "write", "write", "release", "split", "save", "kill"]),
        st.integers(0, 7),
        st.integers(1, 60),
    ),
    max_size=200,
)


class Ledger:
    """Counts how often each byte was accepted since it was last lost."""

    def __init__(self, size: int, segment_bytes: int) -> None:
        self.segment_bytes = segment_bytes
        self.times = [0] * size
        self.segments = Segments(size, segment_bytes)
        self.saved = self.segments.done

    def step(self, what: str, which: int, count: int) -> None:
        segments = self.segments
        claims = segments.claims
        chosen = claims[which % len(claims)] if claims else None
        if what == "claim" and len(claims) < 8:
            segments.claim(count if which % 2 else None)
        elif what == "save":
            self.saved = segments.done
        elif what == "kill":
            self._kill()
        elif chosen is not None:
            self._use(chosen, what, count)
        self.check()

    def _use(self, claim: Claim, what: str, count: int) -> None:
        if what == "take":
            self.segments.take(claim, count)
        elif what == "write":
            at = claim.at
            self.segments.advance(claim, count)
            for place in range(at, claim.at):
                self.times[place] += 1
        elif what == "release":
            self.segments.release(claim)
        elif len(self.segments.claims) < 8:
            self.segments.split(claim, 10)

    def _kill(self) -> None:
        """What was not noted is lost, and brought again."""
        kept = {place for start, stop in self.saved for place in range(start, stop)}
        self.times = [times if place in kept else 0 for place, times in enumerate(self.times)]
        self.segments = Segments(len(self.times), self.segment_bytes, self.saved)

    def check(self) -> None:
        segments = self.segments
        here = {place for start, stop in segments.done for place in range(start, stop)}
        assert [times == 1 for times in self.times] == [place in here for place in range(len(self.times))]
        assert max(self.times, default=0) <= 1
        assert segments.done_bytes == len(here)
        coming = [place for claim in segments.claims for place in range(claim.at, claim.stop)]
        assert len(coming) == len(set(coming))
        assert all(claim.start <= claim.at <= claim.taken <= claim.stop for claim in segments.claims)
        assert here.isdisjoint(coming)
        assert segments.prefix == next(
            (place for place in range(len(self.times)) if place not in here), len(self.times)
        )
        assert segments.unclaimed_bytes == len(self.times) - len(here) - len(coming)
        assert bool(segments.waiting) == (len(here) + len(coming) < len(self.times))

    def finish(self) -> None:
        while not self.segments.complete:
            claim = next(iter(self.segments.claims), None) or self.segments.claim()
            assert claim is not None
            self._use(claim, "take", claim.left)
            self._use(claim, "write", claim.taken - claim.at)
            self._use(claim, "release", 0)
        self.check()


@settings(deadline=None, max_examples=300)
@given(size=st.integers(1, 300), segment_bytes=st.integers(1, 120), steps=STEPS)
def test_each_byte_is_brought_exactly_once(size: int, segment_bytes: int, steps: list[Step]) -> None:
    ledger = Ledger(size, segment_bytes)
    for step in steps:
        ledger.step(*step)
    ledger.finish()
    assert ledger.times == [1] * size


@given(st.lists(st.tuples(st.integers(-20, 120), st.integers(-20, 120)), max_size=30))
def test_what_a_note_says_is_never_more_than_the_file(spans: list[tuple[int, int]]) -> None:
    segments = Segments(100, 16, spans)
    said = {place for start, stop in spans for place in range(max(0, start), min(100, stop))}
    assert {place for start, stop in segments.done for place in range(start, stop)} == said
    assert all(before[1] < after[0] for before, after in zip(segments.done, segments.done[1:], strict=False))


SPANS = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)), max_size=12)


def test_claims_go_in_the_order_of_the_file_up_to_the_next_border() -> None:
    segments = Segments(100, 30, [(0, 35), (40, 50)])
    claims = [segments.claim() for _ in range(5)]
    assert [(claim.start, claim.stop) for claim in claims if claim] == [(35, 40), (50, 60), (60, 90), (90, 100)]
    assert claims[4] is None


def test_waiting_counts_segments() -> None:
    segments = Segments(100, 30, [(0, 35)])
    assert segments.waiting == 3
    segments.claim()
    assert segments.waiting == 2


def test_a_small_rest_is_taken_over_whole() -> None:
    segments = Segments(100, 100)
    claim = segments.claim()
    assert claim is not None
    assert segments.take(claim, 85) == 85
    other = segments.split(claim, 10)
    assert other is not None
    assert (claim.left, other.start, other.stop) == (0, 85, 100)
    assert segments.split(claim, 10) is None
    assert segments.take(claim, 5) == 0
    segments.advance(claim, 85)
    assert segments.done == ((0, 85),)


def test_spans() -> None:
    assert merged([(5, 7), (0, 2), (2, 5), (9, 9), (8, 12)]) == [(0, 7), (8, 12)]
    assert prefix_of([(0, 7), (8, 12)]) == 7
    assert prefix_of([(1, 7)]) == 0
    assert prefix_of([]) == 0


# -- pace ---------------------------------------------------------------------------------------------------


def ramped(rate_of: dict[int, float], *, fixed: int = 0, seconds: float = 10, enough: float = inf) -> list[int]:
    """The numbers of connections that a ramp tries, where so many of them bring so much."""
    ramp = Ramp(first=1, second=4, most=8, fixed=fixed, window_s=0.3, now=0)
    tried, total, now = [ramp.aim], 0.0, 0.0
    while now < seconds:
        now += 0.05
        total += rate_of[ramp.aim] * 0.05
        aim = ramp.observe(now, int(total), ramp.aim, enough=enough)
        if aim != tried[-1]:
            tried.append(aim)
    return tried


def test_as_many_are_added_at_once_as_the_hash_could_serve() -> None:
    assert ramped({1: 1e6, 7: 7e6, 8: 8e6}, enough=7.5e6) == [1, 7, 8]
    assert ramped({1: 1e6, 8: 8e6}, enough=1e9) == [1, 8]
    assert ramped({1: 1e6, 8: 1.2e6}, enough=1e9) == [1, 8, 1]
    assert ramped({1: 5e6, 4: 7e6, 8: 8e6}, enough=8e6) == [1, 4, 8, 4]


def test_connections_are_added_while_they_are_worth_it() -> None:
    assert ramped({1: 1e6, 4: 4e6, 8: 8e6}) == [1, 4, 8]
    assert ramped({1: 8e6, 4: 8e6, 8: 8e6}) == [1, 4, 1]
    assert ramped({1: 2e6, 4: 8e6, 8: 8.5e6}) == [1, 4, 8, 4]
    assert ramped({1: 8e6, 4: 8e6}, seconds=PROBE_S * 1.5) == [1, 4, 1, 4, 1]
    assert ramped({5: 1e6}, fixed=5) == [5]


def test_none_is_added_where_disk_and_hash_cannot_keep_up() -> None:
    ramp = Ramp(first=1, second=4, most=8, fixed=0, window_s=0.3, now=0)
    for tick in range(1, 100):
        ramp.observe(tick * 0.05, tick * 10**6, 1, waited_s=tick * 0.01)
    assert ramp.aim == 1


def test_a_server_that_wants_fewer_gets_fewer() -> None:
    ramp = Ramp(first=1, second=4, most=8, fixed=0, window_s=0.3, now=0)
    ramp.aim = 8
    ramp.settle(3, 1.0)
    assert ramp.observe(2.0, 10**9, 3) == 3


def test_a_rate_is_kept() -> None:
    now = [0.0]
    bucket = Bucket(1000, lambda: now[0])
    for _ in range(50):
        now[0] += bucket.take(125)
    assert now[0] == pytest.approx(50 * 125 / 1000, abs=0.6)
    assert bucket.most(1 << 20) == 1024
    free = Bucket(0, lambda: now[0])
    assert (free.most(1 << 20), free.take(1 << 30)) == (1 << 20, 0.0)
