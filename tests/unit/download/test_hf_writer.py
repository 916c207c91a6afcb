"""What a library writes in its order, gathered for hash and disk: nothing lost, nothing twice, errors told."""

from __future__ import annotations

import hashlib
import itertools
import random
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from provision.download.backends.hf_writer import BUFFERS, EACH_BYTES, HOLD_S, Appender
from provision.download.hashing import Follower
from provision.errors import DiskFull

WHOLE = random.Random(5).randbytes(3 * EACH_BYTES + 4321)


@pytest.fixture
def part(tmp_path: Path) -> Path:
    return tmp_path / "weights.part"


@pytest.fixture
def follower(part: Path) -> Iterator[Follower]:
    found = Follower(lambda: part, len(WHOLE))
    found.start()
    yield found
    found.stop()


def pieces(data: bytes) -> Iterator[memoryview]:
    sizes, rest = random.Random(len(data)), memoryview(data)
    while rest:
        count = sizes.choice([1, 700, 65536, EACH_BYTES + 1])
        yield rest[:count]
        rest = rest[count:]


@pytest.mark.parametrize("here", [0, 1, 4096, EACH_BYTES + 17, len(WHOLE)])
def test_what_is_here_is_gone_on_with(part: Path, follower: Follower, here: int) -> None:
    part.write_bytes(WHOLE[:here])
    with Appender(part, follower, time.monotonic) as appender:
        for piece in pieces(WHOLE[here:]):
            before = appender.tell()
            appender.write(piece)
            assert appender.tell() == before + len(piece)
    assert part.read_bytes() == WHOLE
    assert follower.digest.result(timeout=10) == hashlib.sha256(WHOLE).hexdigest()


def test_slow_bytes_are_not_held_back(part: Path, follower: Follower) -> None:
    clock = itertools.count(step=HOLD_S * 1.01)
    with Appender(part, follower, lambda: float(next(clock))) as appender:
        appender.write(memoryview(WHOLE)[:10])
        deadline = time.monotonic() + 10
        while part.stat().st_size < 10 and time.monotonic() < deadline:
            time.sleep(0.001)
        assert part.read_bytes() == WHOLE[:10]


def append(part: Path, follower: Follower, data: Iterable[memoryview], error: type[Exception] | None = None) -> None:
    with Appender(part, follower, time.monotonic) as appender:
        for piece in data:
            appender.write(piece)
        if error is not None:
            raise error


def test_what_came_before_an_error_is_kept(part: Path, follower: Follower) -> None:
    with pytest.raises(ConnectionError):
        append(part, follower, [memoryview(WHOLE)[:1000]], ConnectionError)
    assert part.read_bytes() == WHOLE[:1000]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this machine")
def test_a_full_disk_ends_it_and_does_not_let_it_wait(part: Path) -> None:
    part.symlink_to("/dev/full")
    follower = Follower(lambda: part, len(WHOLE))  # which never gives a buffer back
    with pytest.raises(DiskFull):
        append(part, follower, [memoryview(WHOLE)[:EACH_BYTES]] * (BUFFERS + 2))


def test_a_hash_that_is_stopped_holds_nobody_up(part: Path, follower: Follower) -> None:
    follower.stop()
    append(part, follower, [memoryview(WHOLE)[:EACH_BYTES]] * (BUFFERS + 2))
    assert part.stat().st_size == (BUFFERS + 2) * EACH_BYTES
