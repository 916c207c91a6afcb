"""From the network to hash and disk: shared buffers, one writer, past the page cache or through it."""

from __future__ import annotations

import hashlib
import os
import random
import threading
import time
from functools import partial
from pathlib import Path

import pytest

from provision.core.step import Context
from provision.download.hashing import Hasher
from provision.download.http import disk_writer
from provision.download.http.buffers import Buffer, Buffers
from provision.download.http.disk_writer import DiskWriter
from provision.download.http.segments import Claim, Span
from provision.download.http.transfer import Settings, Transfer
from provision.download.part_file import open_part
from provision.errors import DiskFull
from provision.rehearsal.hub import Hub
from provision.rehearsal.model_repo import ModelRepo
from tests.support.small_model import FILE, remote_file, small_context

SETTINGS = Settings(segment_bytes=1 << 20, buffer_bytes=64 << 10)


@pytest.fixture
def ctx(tmp_path: Path, hub: Hub, model: ModelRepo) -> Context:
    return small_context(tmp_path, model, hub.url)


@pytest.fixture
def transfer(ctx: Context, hub: Hub, model: ModelRepo) -> Transfer:
    file = remote_file(hub, model)
    part = open_part(ctx.machine, ctx.home, file)
    part.touch()
    return Transfer(ctx, file, part, SETTINGS, done=(), ranges=True)


def bring(transfer: Transfer, sink: DiskWriter, whole: bytes, spans: list[Span]) -> None:
    """What connections would, in the order of `spans`, each a claim."""
    for start, stop in spans:
        claim = transfer.next_claim()
        assert claim is not None
        assert (claim.start, claim.stop) == (start, stop)
        while claim.left:
            buffer = transfer.buffers.take(transfer.over)
            assert buffer is not None
            count = min(claim.left, random.Random(claim.taken).choice([1000, 4096, 65536]))
            buffer.view[:count] = whole[claim.taken : claim.taken + count]
            put(transfer, sink, claim, buffer, count)
            transfer.buffers.give(buffer)
        sink.then(partial(transfer.release, claim))


def put(transfer: Transfer, sink: DiskWriter, claim: Claim, buffer: Buffer, count: int) -> None:
    at, took = transfer.take(claim, count)
    sink.put(at, buffer.view[:took], buffer, partial(transfer.advance, claim, took))


@pytest.mark.parametrize("direct", [True, False], ids=["past the cache", "a volume that cannot"])
def test_what_is_put_is_hashed_and_written(
    ctx: Context, transfer: Transfer, world: tuple[Path, ModelRepo], monkeypatch: pytest.MonkeyPatch, direct: bool
) -> None:
    whole = (world[0].parent / "weights" / FILE).read_bytes()
    if not direct:
        monkeypatch.setattr(
            disk_writer, "_open_direct", lambda path: os.open(path, os.O_RDONLY)
        )  # each write is refused
    hasher = Hasher(lambda: transfer.part, len(whole), transfer.prefix)
    sink = DiskWriter(transfer.part, transfer.buffers, hasher)
    hasher.start()
    sink.start()
    size, each = len(whole), SETTINGS.segment_bytes
    bring(transfer, sink, whole, [(start, min(start + each, size)) for start in range(0, size, each)])
    sink.stop(10)
    assert sink.ended.done()
    assert hasher.wait(ctx, FILE, patience_s=10) == hashlib.sha256(whole).hexdigest()
    hasher.stop()
    assert transfer.part.read_bytes() == whole
    if not direct:
        assert sink.cached_bytes == len(whole)
    assert transfer.segments.complete
    assert transfer.segments.claims == []


def test_a_disk_that_is_full_ends_it_with_its_error(transfer: Transfer) -> None:
    transfer.part.unlink()
    transfer.part.symlink_to("/dev/full")
    hasher = Hasher(lambda: transfer.part, transfer.file.size, transfer.prefix)
    sink = DiskWriter(transfer.part, transfer.buffers, hasher)
    sink.start()
    claim = transfer.next_claim()
    buffer = transfer.buffers.take(transfer.over)
    assert claim
    assert buffer
    put(transfer, sink, claim, buffer, 4096)
    with pytest.raises(DiskFull):
        sink.ended.result(timeout=10)
    assert transfer.segments.done == ()


def test_only_the_next_bytes_are_taken_from_memory(tmp_path: Path, ctx: Context) -> None:
    path, whole = tmp_path / "file", random.Random(1).randbytes(300_000)
    path.write_bytes(whole[:100_000] + bytes(100_000))
    here, given = [0], []
    hasher = Hasher(lambda: path, len(whole), lambda: here[0])
    assert not hasher.offer(100_000, memoryview(whole)[100_000:], lambda: given.append("early"))
    assert hasher.offer(0, memoryview(whole)[:60_000], lambda: given.append("first"))
    assert hasher.offer(60_000, memoryview(whole)[60_000:200_000], lambda: given.append("second"))
    assert not hasher.offer(60_000, memoryview(whole)[60_000:], lambda: given.append("again"))
    path.write_bytes(bytes(200_000) + whole[200_000:])  # of what it was given nothing is read
    here[0] = len(whole)
    hasher.start()
    try:
        assert hasher.wait(ctx, "it", patience_s=10) == hashlib.sha256(whole).hexdigest()
        assert given == ["first", "second"]
    finally:
        hasher.stop()


def test_the_network_waits_for_a_buffer() -> None:
    buffers, over = Buffers(4096, 2, time.monotonic), threading.Event()
    first, second = buffers.take(over), buffers.take(over)
    assert first
    assert second
    assert buffers.waited_s < 0.05
    buffers.share(first, 1)
    buffers.give(first)
    later = threading.Timer(0.1, buffers.give, (first,))
    later.start()
    assert buffers.take(over) is first
    assert buffers.waited_s > 0.05
    over.set()
    assert buffers.take(over) is None
