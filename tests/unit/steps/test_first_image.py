"""The first image on the miniature engine: made, judged, kept, believed while nothing changed, refused when bad."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from provision.comfyui.server_process import start_server, stop_server
from provision.core.events import ImageMade, Progress
from provision.core.finding import Finding, Verdict
from provision.core.image import Quality, judge
from provision.core.receipt_kinds import ImageReceipt
from provision.core.runner import run_step
from provision.core.step import Context
from provision.errors import EngineError, ImageRejected, StartOver
from provision.steps.first_image import step as first_image
from provision.steps.first_image.step import FIRST_IMAGE, apply_first_image, check_first_image, make_image
from provision.system.mac import SYSCTL
from tests.support.engine_home import CHECKPOINT, EngineHome, engine_home, install_torch, with_sets
from tests.support.fake_machine import FakeMachine
from tests.support.hints import said


@contextmanager
def running(root: Path, fault: str = "", *sets: str) -> Iterator[EngineHome]:
    home = engine_home(root, fault=fault, sets=sets)
    start_server(home.ctx, timeout_s=60)
    try:
        yield home
    finally:
        stop_server(home.ctx)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EngineHome]:
    """A home whose first image is made; tests change copies of its receipt, and put it back."""
    with running(tmp_path_factory.mktemp("made")) as home:
        report = run_step(FIRST_IMAGE, home.ctx, apply=True)
        assert report.satisfied, report
        yield home


def only(ctx: Context) -> Finding:
    (finding,) = check_first_image(ctx)
    return finding


def test_the_image_is_kept_and_told(made: EngineHome) -> None:
    ctx = made.ctx
    with Image.open(ctx.home.first_image) as picture:
        assert picture.size == (256, 192)
        assert "workflow" in picture.info
    (event,) = [event for event in made.events if isinstance(event, ImageMade)]
    assert event.path == str(ctx.home.first_image)
    stages = {event.subject for event in made.events if isinstance(event, Progress)}
    assert {"the first image: sampling", "a second, warm image: sampling"} <= stages
    receipt = ctx.receipts.read("first_image")
    assert receipt["verdict"] == "ok"
    assert len(set(receipt["seeds"])) == 2  # type: ignore[call-overload]
    (finding,) = check_first_image(ctx)
    assert "published: 2 to 3 s, warm, on an M1 Pro; this is another machine" in finding.says


def test_it_is_believed_without_the_server(made: EngineHome) -> None:
    seen = only(replace(made.ctx, machine=FakeMachine()))
    assert (seen.id, seen.verdict) == ("first-image-made", Verdict.OK)
    assert "a warm one" in seen.says


def test_a_second_run_changes_nothing(made: EngineHome) -> None:
    before = made.ctx.home.first_image.stat().st_mtime_ns
    assert not run_step(FIRST_IMAGE, made.ctx, apply=True).changed
    assert made.ctx.home.first_image.stat().st_mtime_ns == before


@pytest.mark.parametrize(
    ("what", "id"),
    [
        ("settings", "first-image-stale"),
        ("flags", "first-image-stale"),
        ("torch", "first-image-stale"),
        ("comfyui", "first-image-stale"),
        ("weights", "first-image-stale"),
        ("file", "first-image-stale"),
        ("missing", "first-image-missing"),
        ("receipt", "first-image-missing"),
    ],
)
def test_what_makes_it_doubtful(made: EngineHome, tmp_path: Path, what: str, id: str) -> None:
    ctx = copy_of(made, tmp_path)
    match what:
        case "settings":
            ctx = with_sets(ctx, "first_image.steps=2")
        case "flags":
            ctx = with_sets(ctx, 'comfyui.args=["--force-fp32"]')
        case "torch":
            install_torch(ctx.home, "2.17.0")
        case "comfyui":
            ctx.receipts.write("comfyui", commit="2" * 40)
        case "weights":
            ctx = with_sets(ctx, f"models.0.files.0.sha256={'0' * 64}")
        case "file":
            ctx.home.first_image.write_bytes(b"another")
        case "missing":
            ctx.home.first_image.unlink()
        case _:
            ctx.receipts.drop("first_image")
    seen = only(ctx)
    assert (seen.id, seen.verdict) == (id, Verdict.FIXABLE)
    if id == "first-image-stale" and what != "file":
        other = "other" if what in ("flags", "settings", "weights") else "another"
        assert f"made with {other} {what}" in seen.says


def copy_of(made: EngineHome, root: Path) -> Context:
    """A home with the same proof."""
    ctx = engine_home(root, port=made.ctx.manifest.comfyui.port).ctx
    ctx.receipts.write("first_image", **made.ctx.receipts.read("first_image"))
    ctx.home.first_image.write_bytes(made.ctx.home.first_image.read_bytes())
    assert only(ctx).id == "first-image-made"
    return ctx


@pytest.mark.parametrize(
    ("fault", "says"), [("black", "is black"), ("flat", "is one flat colour"), ("noise", "is noise")]
)
def test_what_is_no_picture_is_refused_and_kept_aside(tmp_path: Path, fault: str, says: str) -> None:
    with running(tmp_path, fault) as home:
        with pytest.raises(StartOver) as caught:
            apply_first_image(home.ctx, only(home.ctx))
        assert caught.value.message.startswith(f"The picture {says} (")
        assert caught.value.message.endswith("s): tried again with --force-upcast-attention.")
        assert (home.ctx.home.root / "first-image.rejected.png").is_file()
        assert not home.ctx.home.first_image.exists()
        assert only(home.ctx).id == "first-image-missing"


def test_where_no_other_flag_is_left_it_says_what_it_means(tmp_path: Path) -> None:
    sets = ("torch.channel=stable", 'comfyui.args=["--force-upcast-attention", "--fp32-vae"]')
    with running(tmp_path, "black", *sets) as home:
        with pytest.raises(ImageRejected) as caught:
            apply_first_image(home.ctx, only(home.ctx))
        assert "It is black (mean 0.0 of 255). The decoder computed no numbers (NaN)" in caught.value.message
        assert "first-image.rejected.png" in caught.value.message
        assert said(caught.value.hint) == "provision doctor --deep"


def test_a_rough_picture_is_kept_with_a_warning(
    made: EngineHome, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ctx = copy_of(made, tmp_path)
    ctx.receipts.drop("first_image")

    def rough(png: bytes, width: int, height: int) -> object:
        return replace(judge(png, width, height), verdict=Quality.WARN, says="Neighbours correlate by 0.70.")

    monkeypatch.setattr(first_image, "judge", rough)
    apply_first_image(ctx, only(ctx))
    fine, warning = check_first_image(ctx)
    assert (fine.verdict, warning.verdict) == (Verdict.OK, Verdict.WARN)
    assert (warning.id, warning.says) == ("first-image-rough", "Neighbours correlate by 0.70.")


def test_a_checkpoint_that_comfyui_does_not_see(made: EngineHome) -> None:
    ctx = with_sets(made.ctx, "models.0.files.0.path=elsewhere.safetensors")
    with pytest.raises(EngineError, match=f"does not see the checkpoint elsewhere.safetensors; it sees {CHECKPOINT}"):
        apply_first_image(ctx, only(ctx))


def test_without_a_server_it_says_what_to_run(tmp_path: Path) -> None:
    ctx = engine_home(tmp_path).ctx
    with pytest.raises(EngineError, match="does not run") as caught:
        apply_first_image(ctx, only(ctx))
    assert said(caught.value.hint) == "provision launch"


def test_an_engine_that_is_killed_is_told_as_memory(tmp_path: Path) -> None:
    words = "its log does not say why: the memory was full, or somebody ended it"
    with running(tmp_path, "die") as home, pytest.raises(EngineError, match=words):
        apply_first_image(home.ctx, only(home.ctx))


def test_what_only_proves_leaves_no_picture_among_a_persons(tmp_path: Path) -> None:
    with running(tmp_path) as home:
        output, image = home.ctx.home.comfyui / "output", home.ctx.manifest.first_image
        assert run_step(FIRST_IMAGE, home.ctx, apply=True).satisfied
        proof = make_image(home.ctx, image, "an image", seed=7, kept=False)
        assert list(output.glob("*.png")) == []
        kept = make_image(home.ctx, image, "an image", seed=7)
        (picture,) = output.glob("*.png")
        assert picture.read_bytes() == kept.png
        with Image.open(io.BytesIO(proof.png)) as one, Image.open(io.BytesIO(kept.png)) as other:
            assert one.tobytes() == other.tobytes()
            assert one.info["workflow"] == other.info["workflow"]


def test_one_image_for_the_command_line(made: EngineHome) -> None:
    image = replace(made.ctx.manifest.first_image, prompt="a boat", width=128, height=64)
    one, same = (make_image(made.ctx, image, "an image", seed=5) for _ in range(2))
    assert (one.seed, one.judgement.facts.width, one.judgement.facts.height) == (5, 128, 64)
    assert one.png == same.png


@pytest.mark.parametrize(
    ("chip", "device", "says"),
    [
        ("Apple M1 Pro", "mps", "on an M1 Pro, as this is"),
        ("Apple M4", "mps", "this is another machine: Apple M4, on mps"),
        (None, "cpu", "this is another machine: an unknown processor, on cpu"),
    ],
)
def test_seconds_stand_beside_the_published_ones(chip: str | None, device: str, says: str) -> None:
    receipt = ImageReceipt(chip=chip, device=device, seconds_first=12.4, seconds_warm=2.44)
    told = first_image._seconds(receipt, rehearsal=False)
    assert "published" not in first_image._seconds(receipt, rehearsal=True)
    assert told.startswith("the first took 12 s, a warm one 2.4 s")
    assert says in told


@pytest.mark.parametrize(("said", "chip"), [("machdep.cpu.brand_string: Apple M2\n", "Apple M2"), ("", None)])
def test_the_chip_of_a_mac(tmp_path: Path, said: str, chip: str | None) -> None:
    ctx = replace(engine_home(tmp_path).ctx, machine=FakeMachine({" ".join(SYSCTL): said}))
    assert first_image.chip_name(ctx) == chip
