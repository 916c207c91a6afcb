"""The hash that follows a file while a program writes it."""

from __future__ import annotations

import hashlib
from pathlib import Path

import psutil
import pytest

from provision.command import Fix
from provision.core.step import Context
from provision.download import hashing
from provision.download.backend import Backend
from provision.download.backends.registry import backends
from provision.download.hashing import MUCH_BYTES, Hasher, Syncer, fetch_and_hash
from provision.download.part_file import open_part
from provision.download.retry import Retry
from provision.errors import DownloadError
from provision.rehearsal.hub import Hub
from provision.rehearsal.model_repo import ModelRepo
from provision.system.disk_use import bytes_here
from tests.support.processes import PATIENCE_S, eventually
from tests.support.small_model import FILE, Heard, remote_file, small_context


@pytest.fixture
def ctx(tmp_path: Path, hub: Hub, model: ModelRepo, heard: Heard) -> Context:
    return small_context(tmp_path, model, hub.url, emit=heard)


@pytest.fixture
def whole(world: tuple[Path, ModelRepo]) -> bytes:
    return (world[0].parent / "weights" / FILE).read_bytes()


@pytest.mark.parametrize("backend", backends(), ids=lambda backend: backend.name)
def test_every_backend_hashes_what_it_brings(backend: Backend, ctx: Context, hub: Hub, model: ModelRepo) -> None:
    file = remote_file(hub, model)
    part = open_part(ctx.machine, ctx.home, file)
    assert backend.fetch(ctx, file, part) == file.sha256 == hashlib.sha256(part.read_bytes()).hexdigest()


def test_what_was_here_before_is_hashed_too(ctx: Context, hub: Hub, model: ModelRepo, whole: bytes) -> None:
    file = remote_file(hub, model)
    part = open_part(ctx.machine, ctx.home, file)
    part.write_bytes(whole[: file.size // 2])

    def attempt(_: Hasher) -> Retry | None:
        with part.open("ab") as stream:
            stream.write(whole[file.size // 2 :])
        return None

    assert fetch_and_hash(ctx, file, part, attempt) == file.sha256


def test_a_part_begun_anew_behind_the_hash_is_not_taken_for_proven(
    ctx: Context, hub: Hub, model: ModelRepo, whole: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hashing, "STUCK_S", 0.2)
    file = remote_file(hub, model)
    part = open_part(ctx.machine, ctx.home, file)
    part.write_bytes(whole[:512] + b"of another file")

    def attempt(_: Hasher) -> Retry | None:
        assert eventually(lambda: str(part) in (each.path for each in psutil.Process().open_files()))
        aside = part.with_suffix(".new")  # another file in its place: the hash goes on with the old one
        aside.write_bytes(whole)
        aside.replace(part)
        return None

    assert fetch_and_hash(ctx, file, part, attempt) is None
    assert bytes_here(part) == file.size


def test_an_error_ends_the_hash_with_it(ctx: Context, hub: Hub, model: ModelRepo) -> None:
    file = remote_file(hub, model)
    part = open_part(ctx.machine, ctx.home, file)

    def attempt(_: Hasher) -> Retry | None:
        raise DownloadError("No.", hint=Fix("again"))

    with pytest.raises(DownloadError):
        fetch_and_hash(ctx, file, part, attempt)


def test_a_file_is_followed_when_it_gets_another_name(
    tmp_path: Path, ctx: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hashing, "PIECE_BYTES", 1000)
    first, second = tmp_path / "incomplete", tmp_path / "complete"
    first.write_bytes(b"a" * 1000)
    hasher = Hasher(lambda: first, 3000)
    hasher.start()
    try:
        assert eventually(lambda: hasher.hashed_bytes == 1000)
        with first.open("ab") as stream:
            stream.write(b"b" * 1000)
            first.rename(second)
            stream.write(b"c" * 1000)
        whole = b"a" * 1000 + b"b" * 1000 + b"c" * 1000
        assert hasher.wait(ctx, "it", patience_s=PATIENCE_S) == hashlib.sha256(whole).hexdigest()
    finally:
        hasher.stop()


def test_the_disk_is_let_take_what_fills_the_page_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hashing, "SYNC_SOON_S", 0.001)
    monkeypatch.setattr(hashing, "SYNC_EVERY_S", 1000.0)
    looks: list[int] = []
    synced_at: list[int] = []
    monkeypatch.setattr(hashing.os, "fsync", lambda handle: synced_at.append(len(looks)))

    def cached_bytes() -> int:
        looks.append(MUCH_BYTES + (len(looks) >= 10))
        return looks[-1]

    path = tmp_path / "part"
    path.touch()
    syncer = Syncer(path, cached_bytes)
    syncer.start()
    assert eventually(lambda: len(looks) >= 30)
    syncer.stop()
    assert synced_at == [11], "once, at the first look that found more than is left alone"
