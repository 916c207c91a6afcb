"""The models step: every state that a model's file can be in, what is said of it, and what becomes of it."""

from __future__ import annotations

import hashlib
import os
from dataclasses import replace
from pathlib import Path

import pytest

from provision.core.finding import Cost, Finding, Verdict
from provision.core.runner import run_step
from provision.core.step import Context, StepReport
from provision.download.backends.registry import CHOICES
from provision.errors import HubRefused, ManifestError, NetworkError, WrongFile
from provision.rehearsal.model_repo import ModelRepo, pointer_text
from provision.steps.models.step import MODELS, check_models
from tests.support.faults import Fault
from tests.support.hints import said
from tests.support.hub import Hub
from tests.support.small_model import (
    FILE,
    TWIN,
    Brisk,
    Heard,
    is_one_sentence_with_hint,
    make_small_repo,
    small_context,
)

DEAD = "http://127.0.0.1:9"
"""An endpoint where nobody is: what needs no network does not ask it."""


@pytest.fixture
def ctx(tmp_path: Path, hub: Hub, model: ModelRepo, heard: Heard) -> Context:
    return small_context(tmp_path, model, hub.url, emit=heard)


def place_of(ctx: Context) -> Path:
    return ctx.home.comfyui / "models" / "checkpoints" / FILE


def put(ctx: Context, data: bytes) -> Path:
    place_of(ctx).parent.mkdir(parents=True, exist_ok=True)
    place_of(ctx).write_bytes(data)
    return place_of(ctx)


def look(ctx: Context) -> Finding:
    [finding] = check_models(ctx)
    return finding


def apply(ctx: Context) -> StepReport:
    return run_step(MODELS, ctx, apply=True)


def offline(ctx: Context) -> Context:
    return replace(ctx, options=replace(ctx.options, endpoint=DEAD))


def deep(ctx: Context) -> Context:
    return replace(ctx, options=replace(ctx.options, deep=True))


def is_right(path: Path, model: ModelRepo) -> bool:
    return hashlib.sha256(path.read_bytes()).hexdigest() == model.files[FILE][1]


def aside(ctx: Context) -> list[bytes]:
    return [path.read_bytes() for path in ctx.home.aside.iterdir()] if ctx.home.aside.is_dir() else []


# -- from nothing -------------------------------------------------------------------------------------------


def test_from_nothing_to_a_proven_file(ctx: Context, hub: Hub, model: ModelRepo) -> None:
    size, sha256 = model.files[FILE]
    missing = look(ctx)
    assert (missing.id, missing.verdict, missing.subject) == (
        "ckpt-missing",
        Verdict.FIXABLE,
        f"ComfyUI/models/checkpoints/{FILE}",
    )
    assert missing.cost.download_bytes == missing.cost.disk_bytes == size
    report = apply(ctx)
    assert (report.error, report.changed, report.verdict) == (None, True, Verdict.OK)
    assert is_right(place_of(ctx), model)
    assert set(hub.sent_by_file()) == {FILE}
    assert hub.sent_bytes() < size + 2000  # the header once more
    assert list(ctx.home.parts.iterdir()) == []
    receipt = ctx.receipts.read(f"model-{sha256[:12]}")
    assert (receipt["sha256"], receipt["size"], receipt["inode"]) == (sha256, size, place_of(ctx).stat().st_ino)


def test_again_nothing_is_done_and_why_is_said(ctx: Context, hub: Hub) -> None:
    apply(ctx)
    asked = len(hub.requests)
    report = apply(offline(ctx))
    assert (report.changed, report.verdict) == (False, Verdict.OK)
    assert report.findings[0].says.endswith(" bytes): sha256 OK.")
    assert len(hub.requests) == asked


def test_a_part_counts_in_the_plan(ctx: Context, model: ModelRepo, data: bytes) -> None:
    size, sha256 = model.files[FILE]
    (ctx.home.parts / f"{sha256}.part").write_bytes(data[:1_000_000])
    missing = look(ctx)
    assert missing.cost.download_bytes == missing.cost.disk_bytes == size - 1_000_000
    assert "1,000,000 of" in missing.says


def test_the_other_precision_is_another_file(ctx: Context, hub: Hub) -> None:
    full = replace(ctx, options=replace(ctx.options, precision="fp32"))
    assert apply(full).verdict is Verdict.OK
    assert set(hub.sent_by_file()) == {TWIN}
    with pytest.raises(ManifestError, match="no bf16 checkpoint"):
        look(replace(ctx, options=replace(ctx.options, precision="bf16")))


@pytest.mark.parametrize("backend", CHOICES)
def test_every_backend_ends_in_the_same_file(ctx: Context, model: ModelRepo, backend: str) -> None:
    assert apply(replace(ctx, options=replace(ctx.options, backend=backend))).verdict is Verdict.OK
    assert is_right(place_of(ctx), model)


def test_what_the_manifest_does_not_know_the_hub_tells_and_the_receipt_keeps(
    tmp_path: Path, hub: Hub, model: ModelRepo
) -> None:
    ctx = small_context(tmp_path, model, hub.url, known=False)
    missing = look(ctx)
    assert "size unknown until the hub is asked" in missing.says
    assert missing.cost == Cost()
    assert apply(ctx).verdict is Verdict.OK
    assert look(offline(ctx)).facts["sha256"] == model.files[FILE][1]


def test_an_unknown_file_that_is_there_is_held_against_the_hub(
    tmp_path: Path, hub: Hub, model: ModelRepo, data: bytes
) -> None:
    ctx = small_context(tmp_path, model, hub.url, known=False)
    put(ctx, data)
    assert look(ctx).id == "ckpt-unproven"
    assert apply(ctx).verdict is Verdict.OK
    assert hub.sent_bytes() == 0


# -- what is there is not right -----------------------------------------------------------------------------


def zeroed_header(data: bytes) -> bytes:
    return data[:64] + bytes(64) + data[128:]


BAD_FILES = [
    ("lfs-pointer", lambda data: pointer_text("0" * 64, len(data)).encode(), "Git LFS pointer"),
    ("html-body", lambda data: b"<!DOCTYPE html><html><body>Log in", "an HTML page"),
    ("html-body", lambda data: b'{"error":"Entry not found"}', "a JSON answer"),
    ("html-body", lambda data: b"Entry not found", "text"),
    ("ckpt-zeroed", lambda data: bytes(len(data)), "only zeros"),
    ("ckpt-zeroed", zeroed_header, "header is damaged"),
    ("ckpt-zeroed", lambda data: b"", "0 bytes"),
    ("ckpt-truncated", lambda data: data[:200], "is cut off inside its header"),
    ("ckpt-other", lambda data: b"PK\x03\x04\x14\x00\x08\x08" + data[8:], "zip archive"),
    ("ckpt-other", lambda data: data + b"more", "its header describes"),
]


@pytest.mark.parametrize(("id", "spoil", "says"), BAD_FILES, ids=[says for _, _, says in BAD_FILES])
def test_a_bad_file_is_named_moved_aside_and_replaced(
    ctx: Context, model: ModelRepo, heard: Heard, data: bytes, id: str, spoil: object, says: str
) -> None:
    bad = spoil(data)  # type: ignore[operator]
    put(ctx, bad)
    finding = look(ctx)
    assert (finding.id, finding.verdict) == (id, Verdict.FIXABLE)
    assert says in finding.says
    assert finding.cost.download_bytes == len(data)
    assert apply(ctx).verdict is Verdict.OK
    assert is_right(place_of(ctx), model)
    assert aside(ctx) == [bad]
    assert any("is now moved-aside/" in note for note in heard.notes)


def test_a_truncated_file_is_gone_on_with(ctx: Context, hub: Hub, model: ModelRepo, heard: Heard, data: bytes) -> None:
    put(ctx, data[:3_000_000])
    finding = look(ctx)
    assert finding.id == "ckpt-truncated"
    assert finding.cost.download_bytes == len(data) - 3_000_000
    assert apply(ctx).verdict is Verdict.OK
    assert is_right(place_of(ctx), model)
    assert hub.sent_bytes() == len(data) - 3_000_000
    assert aside(ctx) == []
    assert any("resuming at byte 3,000,000" in note for note in heard.notes)


def test_a_wrong_beginning_is_found_out_and_fetched_anew(ctx: Context, model: ModelRepo, data: bytes) -> None:
    put(ctx, data[:2_000_000] + bytes(1_000_000))
    assert apply(ctx).verdict is Verdict.OK
    assert is_right(place_of(ctx), model)


def test_a_file_without_a_receipt_is_hashed_and_not_downloaded(ctx: Context, hub: Hub, data: bytes) -> None:
    put(ctx, data)
    finding = look(ctx)
    assert (finding.id, finding.verdict) == ("ckpt-unproven", Verdict.FIXABLE)
    assert finding.cost.download_bytes == 0
    assert apply(offline(ctx)).verdict is Verdict.OK
    assert hub.requests == []


def test_a_flipped_bit_is_found_by_the_hash(ctx: Context, model: ModelRepo, data: bytes) -> None:
    rotten = data[:-1] + bytes([data[-1] ^ 1])
    put(ctx, rotten)
    report = apply(ctx)
    assert (report.error, report.verdict) == (None, Verdict.OK)
    assert is_right(place_of(ctx), model)
    assert aside(ctx) == [rotten]


def test_a_touched_file_is_proven_again(ctx: Context, hub: Hub) -> None:
    apply(ctx)
    sent = hub.sent_bytes()
    os.utime(place_of(ctx), ns=(1, 1))
    assert look(ctx).id == "ckpt-unproven"
    assert apply(ctx).verdict is Verdict.OK
    assert hub.sent_bytes() == sent


def test_rot_behind_the_receipt_is_found_with_deep_alone(ctx: Context, model: ModelRepo) -> None:
    apply(ctx)
    stat = place_of(ctx).stat()
    with place_of(ctx).open("r+b") as stream:
        stream.seek(-1, os.SEEK_END)
        stream.write(b"?")
    os.utime(place_of(ctx), ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert look(ctx).verdict is Verdict.OK
    assert look(deep(ctx)).id == "ckpt-bitrot"
    report = apply(deep(ctx))
    assert (report.error, report.verdict) == (None, Verdict.OK)
    assert "sha256 OK" in report.findings[0].says
    assert is_right(place_of(ctx), model)


def test_another_checkpoint_under_the_name(ctx: Context, world: tuple[Path, ModelRepo]) -> None:
    put(ctx, (world[0].parent / "weights" / TWIN).read_bytes())
    finding = look(ctx)
    assert finding.id == "ckpt-other"
    assert "fp32, not fp16" in finding.says


# -- names, links, permissions ------------------------------------------------------------------------------


def test_another_case_is_renamed(ctx: Context, model: ModelRepo, data: bytes) -> None:
    wrong = place_of(ctx).with_name(FILE.upper())
    put(ctx, data).rename(wrong)
    finding = look(ctx)
    assert (finding.id, [path.name for path in finding.paths]) == ("ckpt-case", [FILE.upper()])
    assert apply(offline(ctx)).verdict is Verdict.OK
    assert is_right(place_of(ctx), model)


def test_a_dead_link_is_moved_aside(ctx: Context, model: ModelRepo) -> None:
    place_of(ctx).parent.mkdir(parents=True)
    place_of(ctx).symlink_to("/nowhere/at/all.safetensors")
    finding = look(ctx)
    assert finding.id == "ckpt-deadlink"
    assert "/nowhere/at/all.safetensors" in finding.says
    assert apply(ctx).verdict is Verdict.OK
    assert is_right(place_of(ctx), model)
    assert [path.is_symlink() for path in ctx.home.aside.iterdir()] == [True]


def test_a_link_to_the_right_file_is_read_through(ctx: Context, tmp_path: Path, hub: Hub, data: bytes) -> None:
    (tmp_path / "mine.safetensors").write_bytes(data)
    place_of(ctx).parent.mkdir(parents=True)
    place_of(ctx).symlink_to(tmp_path / "mine.safetensors")
    assert apply(offline(ctx)).verdict is Verdict.OK
    assert place_of(ctx).is_symlink()


def test_a_link_to_a_wrong_file_leaves_that_file_alone(
    ctx: Context, tmp_path: Path, model: ModelRepo, data: bytes
) -> None:
    mine = tmp_path / "mine.safetensors"
    mine.write_bytes(data[:3_000_000])
    place_of(ctx).parent.mkdir(parents=True)
    place_of(ctx).symlink_to(mine)
    assert apply(ctx).verdict is Verdict.OK
    assert mine.read_bytes() == data[:3_000_000]
    assert not place_of(ctx).is_symlink()
    assert is_right(place_of(ctx), model)


def test_a_folder_that_leads_out_is_not_written_to(ctx: Context, tmp_path: Path, hub: Hub) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    place_of(ctx).parent.parent.mkdir(parents=True)
    place_of(ctx).parent.symlink_to(outside)
    report = apply(ctx)
    assert (report.findings[0].id, report.verdict) == ("ckpt-outside", Verdict.BLOCKED)
    assert str(outside) in report.findings[0].says
    assert list(outside.iterdir()) == []
    assert hub.requests == []


def test_a_folder_that_leads_out_with_the_right_file_is_fine(ctx: Context, tmp_path: Path, data: bytes) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / FILE).write_bytes(data)
    place_of(ctx).parent.parent.mkdir(parents=True)
    place_of(ctx).parent.symlink_to(outside)
    assert apply(offline(ctx)).verdict is Verdict.OK


def test_a_folder_under_the_name(ctx: Context, model: ModelRepo) -> None:
    place_of(ctx).mkdir(parents=True)
    (place_of(ctx) / "mine").write_text("kept")
    assert look(ctx).id == "ckpt-other"
    assert apply(ctx).verdict is Verdict.OK
    assert is_right(place_of(ctx), model)
    [kept] = ctx.home.aside.iterdir()
    assert (kept / "mine").read_text() == "kept"


def test_an_unreadable_file_of_ours_is_made_readable(
    ctx: Context, data: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = put(ctx, data)
    place.chmod(0)
    # Root may read everything: what a person's permissions say instead.
    monkeypatch.setattr(os, "access", lambda path, mode: bool(Path(path).stat().st_mode & 0o400))
    assert look(ctx).id == "ckpt-unreadable"
    assert apply(offline(ctx)).verdict is Verdict.OK


# -- what cannot be mended ----------------------------------------------------------------------------------


def test_nobody_answers_and_nothing_is_lost(ctx: Context, data: bytes) -> None:
    put(ctx, bad := bytes(1000))
    report = apply(offline(ctx))
    assert report.error is not None
    assert report.error.code == NetworkError.code
    assert is_one_sentence_with_hint(report.error.message, said(report.error.hint))
    assert place_of(ctx).read_bytes() == bad


@pytest.mark.parametrize(
    ("kind", "value", "code"),
    [
        ("html", "", "hub_refused"),
        ("status", "401", "hub_refused"),
        ("status", "403", "hub_refused"),
        ("status", "404", "hub_refused"),
        ("status", "429 7", "hub_refused"),
        ("status", "503", "hub_refused"),
        ("wrong_length", 7, "wrong_file"),
    ],
)
def test_a_bad_endpoint_is_one_sentence_and_puts_nothing_in_place(
    ctx: Context, hub: Hub, kind: str, value: str | int, code: str
) -> None:
    hub.arm(Fault("*", kind, times=-1, value=value))  # type: ignore[arg-type]
    report = apply(ctx)
    assert report.error is not None
    assert report.error.code == code
    assert is_one_sentence_with_hint(report.error.message, said(report.error.hint))
    assert not place_of(ctx).exists()


def test_a_corrupted_body_puts_nothing_in_place(ctx: Context, hub: Hub) -> None:
    hub.arm(Fault("*", "corrupt", times=-1, value=2_000_000, origin="cdn"))
    report = apply(ctx)
    assert report.error is not None
    assert report.error.code == WrongFile.code
    assert "was downloaded twice" in report.error.message
    assert not place_of(ctx).exists()
    assert list(ctx.home.parts.iterdir()) == []


def test_the_hub_has_another_file_than_the_manifest(tmp_path: Path, hub: Hub, model: ModelRepo, data: bytes) -> None:
    other = replace(model, files={**model.files, FILE: (len(data), "0" * 64)})
    ctx = small_context(tmp_path, other, hub.url)
    put(ctx, data)
    report = apply(ctx)
    assert report.error is not None
    assert "has a different model_fp16.safetensors than the manifest lists" in report.error.message
    assert place_of(ctx).read_bytes() == data


def test_a_wrong_file_is_refused_by_its_header(tmp_path: Path, hub: Hub, model: ModelRepo) -> None:
    swapped = replace(model, files={**model.files, FILE: model.files[TWIN]})
    ctx = small_context(tmp_path, swapped, hub.url)
    twin = replace(ctx.manifest.models[0].files[0], path=TWIN)
    manifest = replace(ctx.manifest, models=(replace(ctx.manifest.models[0], files=(twin,)),))
    report = apply(replace(ctx, manifest=manifest))
    assert report.error is not None
    assert "it is fp32, not fp16" in report.error.message
    assert hub.sent_bytes() < 2000


def test_a_part_is_no_checkpoint(tmp_path: Path, model: ModelRepo) -> None:
    made = make_small_repo(tmp_path / "world", {"model.diffusion_model.in.weight": (8, 8)})
    with Hub(tmp_path / "world" / "hub") as hub:
        ctx = small_context(tmp_path, made, hub.url, machine=Brisk())
        report = apply(ctx)
    assert report.error is not None
    assert "not a complete checkpoint" in report.error.message
    assert HubRefused.code != report.error.code
