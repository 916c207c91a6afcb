"""What a library writes in its order, gathered for hash and disk: nothing lost, nothing twice, errors told."""

from __future__ import annotations

import hashlib
import itertools
import random
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from provision.download.backends.hf_writer import BUFFERS, EACH_BYTES, HOLD_S, HfWriter
from provision.download.hashing import Hasher
from provision.errors import DiskFull
from tests.support.processes import eventually

WHOLE = random.Random(5).randbytes(3 * EACH_BYTES + 4321)


@pytest.fixture
def part(tmp_path: Path) -> Path:
    return tmp_path / "weights.part"


@pytest.fixture
def hasher(part: Path) -> Iterator[Hasher]:
    found = Hasher(lambda: part, len(WHOLE))
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
def test_what_is_here_is_gone_on_with(part: Path, hasher: Hasher, here: int) -> None:
    part.write_bytes(WHOLE[:here])
    with HfWriter(part, hasher, time.monotonic) as writer:
        for piece in pieces(WHOLE[here:]):
            before = writer.tell()
            writer.write(piece)
            assert writer.tell() == before + len(piece)
    assert part.read_bytes() == WHOLE
    assert hasher.digest.result(timeout=10) == hashlib.sha256(WHOLE).hexdigest()


def test_slow_bytes_are_not_held_back(part: Path, hasher: Hasher) -> None:
    clock = itertools.count(step=HOLD_S * 1.01)
    with HfWriter(part, hasher, lambda: float(next(clock))) as writer:
        writer.write(memoryview(WHOLE)[:10])
        assert eventually(lambda: part.stat().st_size == 10)
        assert part.read_bytes() == WHOLE[:10]


def append(part: Path, hasher: Hasher, data: Iterable[memoryview], error: type[Exception] | None = None) -> None:
    with HfWriter(part, hasher, time.monotonic) as writer:
        for piece in data:
            writer.write(piece)
        if error is not None:
            raise error


def test_what_came_before_an_error_is_kept(part: Path, hasher: Hasher) -> None:
    with pytest.raises(ConnectionError):
        append(part, hasher, [memoryview(WHOLE)[:1000]], ConnectionError)
    assert part.read_bytes() == WHOLE[:1000]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this machine")
def test_a_full_disk_ends_it_and_does_not_let_it_wait(part: Path) -> None:
    part.symlink_to("/dev/full")
    hasher = Hasher(lambda: part, len(WHOLE))  # which never gives a buffer back
    with pytest.raises(DiskFull):
        append(part, hasher, [memoryview(WHOLE)[:EACH_BYTES]] * (BUFFERS + 2))


def test_a_hash_that_is_stopped_holds_nobody_up(part: Path, hasher: Hasher) -> None:
    hasher.stop()
    append(part, hasher, [memoryview(WHOLE)[:EACH_BYTES]] * (BUFFERS + 2))
    assert part.stat().st_size == (BUFFERS + 2) * EACH_BYTES
