"""The built-in backend over several connections: every misbehaviour of a server, kills, holes, a full disk, a stop."""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from provision.core.events import Work
from provision.core.step import Context
from provision.download.backend import HubFile
from provision.download.backends import http as http_backend
from provision.download.backends.hf import fetch_hf
from provision.download.http.transfer import Settings
from provision.download.obtain import download
from provision.download.part_file import bytes_of, bytes_waiting, known_ranges, make_plain, open_part, part_of
from provision.errors import DiskFull, Interrupted, ProvisionError
from provision.rehearsal.model_repo import ModelRepo
from tests.support.faults import Fault
from tests.support.hints import said
from tests.support.hub import Faults, Hub
from tests.support.paths import CHECKOUT
from tests.support.small_model import FILE, Heard, is_one_sentence_with_hint, remote_file, small_context

SMALL = Settings(
    segment_bytes=256 << 10,
    buffer_bytes=32 << 10,
    stall_s=0.5,
    window_s=0.05,
    save_s=0.02,
    race_s=60,
    least_bytes=16 << 10,
)
FETCH = """
import json, sys
from pathlib import Path
from provision.download.backends import http
from provision.download.backend import HubFile
from provision.download.part_file import open_part
from provision.download.http.transfer import Settings
from provision.rehearsal.model_repo import ModelRepo
from tests.support.small_model import FILE; from tests.support.small_model import TWIN, small_context

http.SETTINGS = Settings(segment_bytes=256 << 10, buffer_bytes=32 << 10, save_s=0.02)
root, file = Path(sys.argv[1]), HubFile(**json.loads(sys.argv[2]))
model = ModelRepo(file.repo, file.revision, dict.fromkeys((FILE, TWIN), (file.size, file.sha256)))
ctx = small_context(root, model, file.endpoint)
print(http.fetch_http(ctx, file, open_part(ctx.machine, ctx.home, file)))
"""


@pytest.fixture
def ctx(tmp_path: Path, hub: Hub, model: ModelRepo, heard: Heard) -> Context:
    return small_context(tmp_path, model, hub.url, emit=heard)


@pytest.fixture(autouse=True)
def small_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_backend, "SETTINGS", SMALL)


def content(world: tuple[Path, ModelRepo]) -> bytes:
    return (world[0].parent / "weights" / FILE).read_bytes()


def fetch(ctx: Context, hub: Hub, model: ModelRepo) -> tuple[Path, str | None]:
    file = remote_file(hub, model)
    part = open_part(ctx.machine, ctx.home, file)
    return part, http_backend.fetch_http(ctx, file, part)


def is_right(fetched: tuple[Path, str | None], model: ModelRepo) -> bool:
    part, digest = fetched
    return hashlib.sha256(part.read_bytes()).hexdigest() == digest == model.files[FILE][1]


def ranges(hub: Hub) -> list[tuple[int, int]]:
    asked = [seen.range or "" for seen in hub.requests if seen.origin == "cdn"]
    return [(int(first), int(last)) for first, _, last in (text[6:].partition("-") for text in asked if text)]


# -- the bytes ----------------------------------------------------------------------------------------------


def test_segments_come_each_once_and_are_hashed_as_they_come(ctx: Context, hub: Hub, model: ModelRepo) -> None:
    assert is_right(fetch(ctx, hub, model), model)
    size = model.files[FILE][0]
    assert sorted(ranges(hub)) == [
        (start, min(start + SMALL.segment_bytes, size) - 1) for start in range(0, size, SMALL.segment_bytes)
    ]
    assert hub.sent_bytes() == size


def test_the_hash_of_the_follower_is_the_proof(ctx: Context, hub: Hub, model: ModelRepo, heard: Heard) -> None:
    ctx = replace(ctx, options=replace(ctx.options, backend="http"))
    download(ctx, remote_file(hub, model), precision="fp16", checkpoint=True)
    assert not [event for event in heard.events if getattr(event, "kind", "") == Work.VERIFY]


@pytest.mark.parametrize("connections", [1, 3])
def test_as_many_connections_as_were_asked_for(tmp_path: Path, world: tuple[Path, ModelRepo], connections: int) -> None:
    with Hub(world[0], faults=Faults(rate_bytes_s=4_000_000)) as hub:
        ctx = small_context(tmp_path, world[1], hub.url, connections=connections)
        most, over = [0], threading.Event()

        def watch() -> None:
            while not over.wait(0.002):
                most[0] = max(most[0], len(hub._cdn._open))

        watcher = threading.Thread(target=watch)
        watcher.start()
        assert is_right(fetch(ctx, hub, world[1]), world[1])
        over.set()
        watcher.join()
    assert most[0] == connections


def test_limited_connections_are_added_up(tmp_path: Path, world: tuple[Path, ModelRepo]) -> None:
    """One connection would take 5 s."""
    with Hub(world[0], faults=Faults(rate_bytes_s=1_000_000)) as hub:
        ctx = small_context(tmp_path, world[1], hub.url)
        began = time.monotonic()
        assert is_right(fetch(ctx, hub, world[1]), world[1])
    assert time.monotonic() - began < 2.5


def test_a_limit_to_the_rate_holds_for_all_connections(
    tmp_path: Path, world: tuple[Path, ModelRepo], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_backend, "SETTINGS", Settings(segment_bytes=2 << 20, race_s=0.2, window_s=0.05))
    with Hub(world[0]) as hub:
        ctx = small_context(tmp_path, world[1], hub.url, limit_rate=4_000_000)
        began = time.monotonic()
        assert is_right(fetch(ctx, hub, world[1]), world[1])
        took_s = time.monotonic() - began
        assert hub.sent_bytes() == world[1].files[FILE][0], "no byte is asked for twice: a limit is to save them"
    assert took_s > (world[1].files[FILE][0] / 4_000_000) - 0.6


def test_a_plain_beginning_is_gone_on_with(
    ctx: Context, hub: Hub, model: ModelRepo, world: tuple[Path, ModelRepo]
) -> None:
    part_of(ctx.home, model.files[FILE][1]).write_bytes(content(world)[:3_000_001])
    assert is_right(fetch(ctx, hub, model), model)
    assert hub.sent_bytes() == model.files[FILE][0] - 3_000_001


def with_holes(ctx: Context, hub: Hub, world: tuple[Path, ModelRepo]) -> Path:
    """A part as a kill leaves it: a beginning, a hole, a piece."""
    data, file = content(world), remote_file(hub, world[1])
    part = open_part(ctx.machine, ctx.home, file)
    part.write_bytes(data[:1_000_000] + bytes(500_000) + data[1_500_000:2_000_000])
    note = part.with_suffix(".json")
    note.write_text(json.dumps({**json.loads(note.read_text()), "ranges": [[0, 1_000_000], [1_500_000, 2_000_000]]}))
    return part


def test_holes_are_filled_and_nothing_else_comes(
    ctx: Context, hub: Hub, model: ModelRepo, world: tuple[Path, ModelRepo]
) -> None:
    part = with_holes(ctx, hub, world)
    assert bytes_of(part) == bytes_waiting(ctx.home, part.stem) == 1_500_000
    assert is_right(fetch(ctx, hub, model), model)
    assert hub.sent_bytes() == model.files[FILE][0] - 1_500_000


def test_another_backend_gets_a_beginning_without_holes(
    ctx: Context, hub: Hub, model: ModelRepo, world: tuple[Path, ModelRepo]
) -> None:
    part = with_holes(ctx, hub, world)
    file = remote_file(hub, model)
    fetch_hf(ctx, file, open_part(ctx.machine, ctx.home, file))
    assert part.read_bytes() == content(world)
    assert hub.sent_bytes() == file.size - 1_000_000
    assert known_ranges(part) == [(0, file.size)]


def test_a_note_that_says_more_than_is_there_is_not_believed(
    ctx: Context, hub: Hub, world: tuple[Path, ModelRepo]
) -> None:
    part = with_holes(ctx, hub, world)
    os.truncate(part, 1_600_000)
    assert known_ranges(part) == [(0, 1_000_000), (1_500_000, 1_600_000)]
    make_plain(part)
    assert part.stat().st_size == 1_000_000


# -- bad answers --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fault",
    [
        Fault("*", "truncate", times=6, value=0.4, origin="cdn"),
        Fault("*", "reset", times=6, value=0.4, origin="cdn"),
        Fault("*", "stall", times=3, value=100_000, origin="cdn"),
        Fault("*", "silent", times=2, origin="cdn"),
        Fault("*", "status", times=3, value="503", origin="cdn"),
        Fault("*", "status", times=3, value="429 1", origin="cdn"),
        Fault("*", "status", times=2, value="500", origin="hub"),
        Fault("*", "html", times=2, origin="cdn"),
        Fault("*", "json", times=2, origin="cdn"),
        Fault("*", "pointer", times=2, origin="cdn"),
        Fault("*", "expire", times=3, value=100_000, origin="cdn"),
        Fault("*", "no_length", times=5, origin="cdn"),
        Fault("*", "no_length", times=5, value="close", origin="cdn"),
        Fault("*", "wrong_length", times=2, origin="cdn"),
        Fault("*", "wrong_range", times=2, origin="cdn"),
        Fault("*", "gzip", times=2, origin="cdn"),
        Fault("*", "status", times=2, value="416", origin="cdn"),
        Fault("*", "no_range", times=1, origin="cdn"),
        Fault("*", "no_range", times=-1, origin="cdn"),
        Fault("*", "etag_changes", times=1, origin="cdn"),
    ],
    ids=lambda fault: f"{fault.kind}{fault.value}x{fault.times}",
)
@pytest.mark.parametrize("after", [0, 4], ids=["at once", "later"])
def test_what_passes_is_waited_out(ctx: Context, hub: Hub, model: ModelRepo, fault: Fault, after: int) -> None:
    if after:  # spend some good answers first
        good = Fault("*", "no_length", times=after, origin="cdn")
        hub.arm(good)
    hub.arm(fault)
    assert is_right(fetch(ctx, hub, model), model)


@pytest.mark.parametrize(
    "fault",
    [
        Fault("*", "status", times=-1, value="503", origin="cdn"),
        Fault("*", "status", times=-1, value="403", origin="cdn"),
        Fault("*", "status", times=-1, value="404", origin="cdn"),
        Fault("*", "status", times=-1, value="416", origin="cdn"),
        Fault("*", "html", times=-1, origin="cdn"),
        Fault("*", "gzip", times=-1, origin="cdn"),
        Fault("*", "wrong_range", times=-1, origin="cdn"),
        Fault("*", "wrong_length", times=-1, value=1, origin="cdn"),
        Fault("*", "redirect_loop", times=-1, origin="cdn"),
        Fault("*", "stall", times=-1, value=0, origin="cdn"),
        Fault("*", "truncate", times=-1, value=0, origin="cdn"),
    ],
    ids=lambda fault: f"{fault.kind}{fault.value}",
)
def test_what_lasts_is_one_sentence_and_a_hint(
    ctx: Context, hub: Hub, model: ModelRepo, heard: Heard, fault: Fault, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_backend, "SETTINGS", replace(SMALL, stall_s=0.2))
    hub.arm(fault)
    with pytest.raises(ProvisionError) as failed:
        fetch(ctx, hub, model)
    assert is_one_sentence_with_hint(failed.value.message, said(failed.value.hint)), failed.value.message
    assert "Expires" not in failed.value.message + heard.text


def test_a_changed_file_is_begun_anew_once_and_said(ctx: Context, hub: Hub, model: ModelRepo, heard: Heard) -> None:
    hub.arm(Fault("*", "no_length", times=3, origin="cdn"), Fault("*", "etag_changes", times=1, origin="cdn"))
    assert is_right(fetch(ctx, hub, model), model)
    assert heard.notes == [f"{FILE} changed on its server during the download: starting over."]


def test_another_etag_each_time_is_no_other_file(ctx: Context, hub: Hub, model: ModelRepo, heard: Heard) -> None:
    hub.arm(Fault("*", "etag_changes", times=-1, origin="cdn"))
    assert is_right(fetch(ctx, hub, model), model)
    assert heard.notes[-1] == f"The server of {FILE} changes its ETag with every answer: relying on the hash alone."


def test_a_stranger_in_the_part_is_thrown_away(ctx: Context, hub: Hub, model: ModelRepo) -> None:
    part_of(ctx.home, model.files[FILE][1]).write_bytes(b"<!doctype html><html>" * 1000)
    assert is_right(fetch(ctx, hub, model), model)


def test_a_connection_that_hangs_is_raced(
    ctx: Context, hub: Hub, model: ModelRepo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a patience of a minute for stalls, the end would wait for the one that hangs."""
    monkeypatch.setattr(http_backend, "SETTINGS", replace(SMALL, stall_s=60, race_s=0.2))
    ctx = replace(ctx, options=replace(ctx.options, connections=3))
    hub.arm(Fault("*", "stall", times=1, value=50_000, origin="cdn"))
    began = time.monotonic()
    assert is_right(fetch(ctx, hub, model), model)
    assert time.monotonic() - began < 10


def test_a_full_disk_reaches_the_caller(ctx: Context, hub: Hub, model: ModelRepo) -> None:
    file = remote_file(hub, model)
    part = open_part(ctx.machine, ctx.home, file)
    part.symlink_to("/dev/full")
    with pytest.raises(DiskFull):
        http_backend.fetch_http(ctx, file, part)


def test_a_stop_is_heard_at_once_and_what_came_is_kept(
    tmp_path: Path, world: tuple[Path, ModelRepo], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_backend, "SETTINGS", replace(http_backend.SETTINGS, stall_s=60))
    with Hub(world[0], faults=Faults(rate_bytes_s=500_000)) as hub:
        hub.arm(Fault("*", "silent", times=1, origin="cdn", method="GET"))
        ctx = small_context(tmp_path, world[1], hub.url)
        stopped_at = [0.0]

        def stop() -> None:
            file = remote_file(hub, world[1])
            while bytes_waiting(ctx.home, file.sha256) < 300_000:
                time.sleep(0.005)
            stopped_at[0] = time.monotonic()
            ctx.machine.interrupt()

        stopper = threading.Thread(target=stop)
        stopper.start()
        with pytest.raises(Interrupted):
            fetch(ctx, hub, world[1])
        assert time.monotonic() - stopped_at[0] < 10, "not when the silent one is given up"
        stopper.join()
        assert bytes_waiting(ctx.home, world[1].files[FILE][1]) >= 300_000


# -- kills --------------------------------------------------------------------------------------------------


def test_killed_again_and_again(tmp_path: Path, world: tuple[Path, ModelRepo], model: ModelRepo) -> None:
    """kill -9 after seeded numbers of bytes; every byte that was noted is kept, and the last run ends right."""
    chance = random.Random(7)
    root = CHECKOUT
    kills = 6
    with Hub(world[0], faults=Faults(rate_bytes_s=400_000)) as hub:
        file = remote_file(hub, model)
        ctx = small_context(tmp_path, model, hub.url)
        for _ in range(kills):
            argv = [sys.executable, "-c", FETCH, str(tmp_path), file_json(file)]
            before = hub.sent_bytes()
            child = subprocess.Popen(argv, cwd=root, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            until = before + chance.randrange(60_000, 160_000)
            while hub.sent_bytes() < until and child.poll() is None:
                time.sleep(0.002)
            os.kill(child.pid, signal.SIGKILL)
            child.wait()
            part = part_of(ctx.home, file.sha256)
            data, whole = part.read_bytes(), content(world)
            assert all(data[start:stop] == whole[start:stop] for start, stop in known_ranges(part))
        kept = bytes_waiting(ctx.home, file.sha256)
    assert kept > 100_000
    with Hub(world[0]) as fresh:
        assert is_right(fetch(small_context(tmp_path, model, fresh.url), fresh, model), model)
        assert fresh.sent_bytes() == file.size - kept


def file_json(file: HubFile) -> str:
    names = ("endpoint", "repo", "revision", "path", "size", "sha256")
    return json.dumps({name: getattr(file, name) for name in names})
