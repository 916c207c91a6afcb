"""Xet: the rehearsal's storage as the real libraries see it, and `hf` with it: gone on with, ended, handed over."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from provision.core.patience import Patience
from provision.core.step import Context
from provision.download import retry
from provision.download.backends import xet
from provision.download.backends.auto import bring
from provision.download.backends.hf import BACKEND as HF
from provision.download.hub.api import XetOffer, locate_both
from provision.download.part_file import open_part, part_of
from provision.errors import DiskFull, DownloadError, HubRefused, Interrupted, NetworkError
from provision.rehearsal.model_repo import ModelRepo
from provision.system.disk_use import bytes_here
from tests.support.faults import Fault
from tests.support.hints import said
from tests.support.hub import Faults, Hub
from tests.support.small_model import (
    FILE,
    REPO,
    TOKEN,
    Brisk,
    Heard,
    is_one_sentence_with_hint,
    remote_file,
    small_context,
)
from tests.support.xet import ACCESS, CHUNK_BYTES, XORB_CHUNKS

XORB_BYTES = CHUNK_BYTES * XORB_CHUNKS
STOCK = """
import sys
from huggingface_hub import hf_hub_download
repo, name, revision, endpoint, folder = sys.argv[1:]
print(hf_hub_download(repo, name, revision=revision, endpoint=endpoint, local_dir=folder))
"""


@pytest.fixture
def hub(world: tuple[Path, ModelRepo]) -> Iterator[Hub]:
    with Hub(world[0], faults=Faults(xet=True, token=TOKEN)) as running:
        yield running


@pytest.fixture
def ctx(tmp_path: Path, hub: Hub, model: ModelRepo, heard: Heard) -> Context:
    ctx = small_context(tmp_path, model, hub.url, machine=Brisk(HF_TOKEN=TOKEN), emit=heard, backend="hf")
    return replace(ctx, patience=Patience(outage_s=2, answer_s=2))


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("SILENT_MS", 500), ("RETRIES", 1), ("RETRY_DELAY_MS", 20)):
        monkeypatch.setattr(xet, name, value)


def fetch(ctx: Context, hub: Hub, model: ModelRepo) -> tuple[Path, str | None]:
    file = remote_file(hub, model)
    part = open_part(ctx.machine, ctx.home, file)
    return part, HF.fetch(ctx, file, part)


def begin(ctx: Context, world: tuple[Path, ModelRepo], count: int) -> Path:
    part = part_of(ctx.home, world[1].files[FILE][1])
    part.write_bytes((world[0].parent / "weights" / FILE).read_bytes()[:count])
    return part


def is_right(part: Path, model: ModelRepo) -> bool:
    return hashlib.sha256(part.read_bytes()).hexdigest() == model.files[FILE][1]


def asked(hub: Hub, word: str) -> int:
    return sum(word in seen.path for seen in hub.requests)


# -- the rehearsal's storage ----------------------------------------------------------------------------------


@pytest.mark.parametrize("version", [2, 1])
def test_stock_huggingface_hub_downloads_through_it(tmp_path: Path, hub: Hub, model: ModelRepo, version: int) -> None:
    """The real library, from HEAD to the last byte; hf_xet falls back to the protocol's first version by itself."""
    if version == 1:
        hub.arm(Fault("/v2/*", "status", times=-1, value="404"))
    env = {"PATH": os.environ["PATH"], "HF_HOME": str(tmp_path / "hf"), "HF_TOKEN": TOKEN, "no_proxy": "*"}
    argv = [sys.executable, "-c", STOCK, REPO, FILE, model.commit, hub.url, str(tmp_path / "to")]
    ran = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0, ran.stderr
    assert is_right(tmp_path / "to" / FILE, model)
    assert asked(hub, f"/v{version}/reconstructions/")
    assert asked(hub, "/xorbs/") == -(-model.files[FILE][0] // XORB_BYTES)
    assert not asked(hub, "/lfs/")


def test_the_storage_wants_its_own_key(hub: Hub, model: ModelRepo) -> None:
    import requests

    answer = requests.head(f"{hub.url}/{REPO}/resolve/main/{FILE}", headers={"Authorization": f"Bearer {TOKEN}"})
    info, key = answer.links["xet-reconstruction-info"]["url"], answer.links["xet-auth"]["url"]
    assert requests.get(key).status_code == 401
    assert requests.get(info, headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 401
    given = requests.get(key, headers={"Authorization": f"Bearer {TOKEN}"}).json()
    told = requests.get(info, headers={"Authorization": f"Bearer {given['accessToken']}", "Range": "bytes=100-199"})
    [term] = told.json()["terms"]
    assert told.json()["offset_into_first_range"] == 100
    assert (term["range"], term["unpacked_length"]) == ({"start": 0, "end": 1}, CHUNK_BYTES)
    [fetch_info] = told.json()["fetch_info"][term["hash"]]
    assert requests.get(fetch_info["url"].replace("Signature=", "Signature=0")).status_code == 403


def test_a_hub_that_was_not_told_to_offers_none(world: tuple[Path, ModelRepo]) -> None:
    import requests

    with Hub(world[0]) as plain:
        answer = requests.head(f"{plain.url}/{REPO}/resolve/main/{FILE}")
        assert not any("xet" in f"{name} {value}".lower() for name, value in answer.headers.items())
        route = f"{plain.url}/api/models/{REPO}/xet-read-token/{world[1].commit}"
        assert requests.get(route).status_code == 404


# -- hf -------------------------------------------------------------------------------------------------------


def test_the_bytes_come_by_xet_and_are_hashed_as_they_come(
    ctx: Context, hub: Hub, model: ModelRepo, heard: Heard
) -> None:
    size, sha256 = model.files[FILE]
    part, digest = fetch(ctx, hub, model)
    assert digest == sha256
    assert is_right(part, model)
    assert not asked(hub, "/lfs/")
    assert hub.sent_bytes() < size + 1000  # the chunks' headers
    assert heard.last(FILE).done == heard.last(FILE).total == size
    assert sorted(path.name for path in part.parent.iterdir()) == [part.with_suffix(".json").name, part.name]
    assert not list(Path(os.environ["HOME"]).rglob("xet"))


def test_the_token_goes_to_the_hub_and_the_key_to_the_storage(ctx: Context, hub: Hub, model: ModelRepo) -> None:
    fetch(ctx, hub, model)
    sent = [(seen.origin, seen.headers["authorization"]) for seen in hub.requests if "authorization" in seen.headers]
    assert {origin for origin, words in sent if words == f"Bearer {TOKEN}"} == {"hub"}
    assert {origin for origin, words in sent if words.startswith(f"Bearer {ACCESS}")} == {"cdn"}
    assert {words[: len("Bearer xet_")] for _, words in sent} == {
        f"Bearer {TOKEN}"[: len("Bearer xet_")],
        "Bearer xet_",
    }


def test_the_token_is_not_sent_where_another_host_is_to_give_the_key(
    ctx: Context, hub: Hub, model: ModelRepo, world: tuple[Path, ModelRepo]
) -> None:
    with Hub(world[0]) as thief:
        file = remote_file(hub, model)
        offer = XetOffer("0" * 64, f"{thief.url}/api/models/{REPO}/xet-read-token/main")
        retry = xet.fetch_by_xet(ctx, file, open_part(ctx.machine, ctx.home, file), offer)
        assert retry is not None
        assert "gave no access key" in retry.error.message
        assert len(thief.requests) == 1
        assert "authorization" not in thief.requests[0].headers


@pytest.mark.parametrize("begun", [CHUNK_BYTES, 3_000_001, 4_981_175])
def test_a_part_is_gone_on_with_from_its_last_byte(
    ctx: Context, hub: Hub, model: ModelRepo, world: tuple[Path, ModelRepo], begun: int
) -> None:
    begin(ctx, world, begun)
    part, digest = fetch(ctx, hub, model)
    assert digest == model.files[FILE][1]
    assert is_right(part, model)
    assert hub.sent_bytes() <= model.files[FILE][0] - begun + CHUNK_BYTES + 1000  # from the chunk that holds the byte


@pytest.mark.parametrize("said", ["1", "true", "YES"])
def test_a_person_can_forbid_it(tmp_path: Path, hub: Hub, model: ModelRepo, said: str) -> None:
    machine = Brisk(HF_TOKEN=TOKEN, HF_HUB_DISABLE_XET=said)
    part, _ = fetch(small_context(tmp_path, model, hub.url, machine=machine), hub, model)
    assert is_right(part, model)
    assert not asked(hub, "/xorbs/")


def test_a_library_that_we_do_not_know_is_not_used(
    ctx: Context, hub: Hub, model: ModelRepo, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert xet.usable({}), "the version that is installed is not one that we know"
    monkeypatch.setattr(xet, "KNOWN_VERSIONS", ("99", "100"))
    part, _ = fetch(ctx, hub, model)
    assert is_right(part, model)
    assert not asked(hub, "/xorbs/")


def test_connections_are_bounded_as_asked(tmp_path: Path, hub: Hub, model: ModelRepo) -> None:
    ctx = small_context(tmp_path, model, hub.url, machine=Brisk(HF_TOKEN=TOKEN), connections=1)
    hub.arm(Fault("/xorbs/*", "stall", times=1, value=1000))
    part, _ = fetch(ctx, hub, model)
    assert is_right(part, model)
    places = [seen.path.rsplit("/", 1)[1] for seen in hub.requests if "/xorbs/" in seen.path]
    assert places[0] == places[1], "another block was asked for while the first one stalled"


# -- what goes wrong ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fault",
    [
        Fault("/xorbs/*/3", "status", times=-1, value="503"),
        Fault("*/xet-read-token/*", "status", times=-1, value="403"),
        Fault("*/reconstructions/*", "status", times=-1, value="401"),
    ],
    ids=lambda fault: f"{fault.match.split('/')[1]}-{fault.kind}",
)
def test_where_it_lasts_http_goes_on_from_what_is_there(
    ctx: Context, hub: Hub, model: ModelRepo, heard: Heard, fault: Fault
) -> None:
    file, reached = remote_file(hub, model), 3 * XORB_BYTES if "xorbs" in fault.match else 0
    part = open_part(ctx.machine, ctx.home, file)
    hub.arm(fault)
    assert bring(ctx, file, part) == file.sha256
    [note] = heard.notes
    assert note.startswith("hf failed: Xet could not download")
    assert note.endswith(f" http continues from {reached:,} bytes.")
    assert is_one_sentence_with_hint(note, "-")
    sent = sum(seen.sent_bytes for seen in hub.requests if "/lfs/" in seen.path)
    assert sent == file.size - reached


def test_what_the_hub_refuses_is_refused_for_all(ctx: Context, hub: Hub, model: ModelRepo, heard: Heard) -> None:
    file = remote_file(hub, model)
    hub.arm(Fault("*resolve*", "status", times=-1, value="403"))
    with pytest.raises(HubRefused, match="403"):
        bring(ctx, file, open_part(ctx.machine, ctx.home, file))
    assert heard.notes == []


def test_a_child_that_hangs_is_ended(ctx: Context, hub: Hub, model: ModelRepo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(xet, "SILENT_MS", 600_000)
    monkeypatch.setattr(xet, "SLOWEST_S", 0.5)
    hub.arm(Fault("/xorbs/*/2", "silent", times=-1))
    file = remote_file(hub, model)
    part = open_part(ctx.machine, ctx.home, file)
    with pytest.raises(NetworkError, match=r"Xet received nothing from .* for too long"):
        HF.fetch(replace(ctx, patience=ctx.patience.at_most(0)), file, part)
    assert bytes_here(part) <= 2 * XORB_BYTES  # less where the machine is busy
    assert children() == []


def test_silence_is_measured_by_the_rate() -> None:
    assert xet.silence_s(0, 5) == xet.SLOWEST_S
    assert retry.STALL_TIMEOUT_S < xet.silence_s(10**9, 10) < retry.STALL_TIMEOUT_S + 2
    assert xet.silence_s(10**6, 100) == xet.SLOWEST_S


def test_a_key_that_has_ended_is_asked_for_again(ctx: Context, hub: Hub, model: ModelRepo) -> None:
    hub.arm(Fault("*/reconstructions/*", "status", value="401"))
    part, digest = fetch(ctx, hub, model)
    assert digest == model.files[FILE][1]
    assert is_right(part, model)
    assert asked(hub, "/xet-read-token/") == 2


def test_no_address_with_a_signature_is_said(ctx: Context, hub: Hub, model: ModelRepo, heard: Heard) -> None:
    hub.arm(Fault("/xorbs/*", "status", times=-1, value="503"))
    with pytest.raises(DownloadError) as failed:
        fetch(ctx, hub, model)
    assert is_one_sentence_with_hint(failed.value.message, said(failed.value.hint))
    for words in (failed.value.message, heard.text):
        assert "xorbs" not in words
        assert "://" not in words


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (
            "ConnectionError: Server error: Request error: HTTP status server error (503 Service Unavailable),"
            " domain: https://host/xorbs/a?Signature=b",
            "HTTP status server error (503 Service Unavailable)",
        ),
        (
            "ConnectionError: Network error: Request middleware error: error sending request for url (https://h/x?S=b)",
            "error sending request",
        ),
        (
            "ConnectionError: Network error: error decoding response body, domain: no-url",
            "error decoding response body",
        ),
        ("OSError: I/O error: I/O error: error decoding response body", "error decoding response body"),
        ("RuntimeError: something of https://host/a?Signature=b", "something of https"),
        ("Segmentation fault", "Segmentation fault"),
    ],
)
def test_a_reason_in_the_words_of_hf_xet_1_8(said: str, reason: str) -> None:
    assert xet.reason(said) == reason


def test_a_full_disk_is_said(ctx: Context, hub: Hub, model: ModelRepo) -> None:
    file = remote_file(hub, model)
    part = open_part(ctx.machine, ctx.home, file)
    part.symlink_to("/dev/full")
    with pytest.raises(DiskFull):
        HF.fetch(ctx, file, part)


def test_ctrl_c_ends_the_child_and_keeps_the_part(tmp_path: Path, world: tuple[Path, ModelRepo]) -> None:
    with Hub(world[0], faults=Faults(xet=True, rate_bytes_s=2_000_000)) as slow:
        ctx = small_context(tmp_path, world[1], slow.url)
        part = part_of(ctx.home, world[1].files[FILE][1])

        def stop() -> None:
            while bytes_here(part) < XORB_BYTES:
                time.sleep(0.005)
            ctx.machine.interrupt()

        stopper = threading.Thread(target=stop)
        stopper.start()
        with pytest.raises(Interrupted):
            fetch(ctx, slow, world[1])
        stopper.join()
        assert (world[0].parent / "weights" / FILE).read_bytes().startswith(part.read_bytes())
        assert XORB_BYTES <= bytes_here(part) < world[1].files[FILE][0]
        assert children() == []


def test_a_child_that_outlived_its_run_is_ended_before_the_next_one_writes(
    tmp_path: Path, world: tuple[Path, ModelRepo]
) -> None:
    with Hub(world[0], faults=Faults(xet=True, rate_bytes_s=1_000_000)) as slow:
        ctx = small_context(tmp_path, world[1], slow.url)
        file = remote_file(slow, world[1])
        part = open_part(ctx.machine, ctx.home, file)
        attempt = threading.Thread(target=lambda: xet.fetch_by_xet(ctx, file, part, locate_both(ctx, file)[1]))
        attempt.start()
        while not (found := children()):
            time.sleep(0.01)
        open_part(ctx.machine, ctx.home, file)
        assert [child for child in found if child in children()] == []
        attempt.join(timeout=10)
        assert not attempt.is_alive()


def children() -> list[psutil.Process]:
    found = []
    for child in psutil.Process().children(recursive=True):
        try:
            if set(HF.writers) & {Path(word).name for word in child.cmdline()}:
                found.append(child)
        except psutil.Error:
            continue
    return found
