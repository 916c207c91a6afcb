"""The ladder on the miniature engine: what is tried when pictures are bad, in which order, and what is kept of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from provision.comfyui import fallback_flags
from provision.comfyui.fallback_flags import FLAG_RUNGS, KEPT, TRIED, WISH, flags_with
from provision.comfyui.server_process import engine_flags, stop_server
from provision.command import Fix
from provision.core.events import Note, StepFinished
from provision.core.finding import Finding, Verdict
from provision.core.runner import run
from provision.core.step import Context, Report, Step
from provision.environment.packages import torch_version
from provision.steps.first_image.step import FIRST_IMAGE
from provision.steps.server.step import SERVER, check_server
from provision.steps.torch.step import check_torch
from tests.support.engine_home import TORCH, EngineHome, engine_home, install_torch, with_sets
from tests.support.findings import fixable
from tests.support.hints import said

UPCAST, FP32_VAE = "--force-upcast-attention", "--fp32-vae"
STABLE = "2.15.0"


def check_channel(ctx: Context) -> Iterable[Finding]:
    """The part of the torch step that heeds the wish for another channel, with a torch that is at hand."""
    if fallback_flags.stable_instead(ctx) and ".dev" in torch_version(ctx.home.venv):
        yield fixable("torch-channel", "torch", "", fix=Fix(""))


def asked_of_torch(ctx: Context) -> list[tuple[str, str]]:
    """What the torch step says, with a torchvision that fits."""
    site = next(ctx.home.venv.glob("lib/python3*/site-packages"))
    (site / "torchvision-0.30.0.dist-info").mkdir()
    (site / "torchvision-0.30.0.dist-info" / "METADATA").write_text("Name: torchvision\n", encoding="utf-8")
    return [(finding.id, finding.says) for finding in check_torch(ctx)]


def take_stable(ctx: Context, finding: Finding) -> None:
    install_torch(ctx.home, STABLE)


STEPS = (
    Step("torch", (), check_channel, take_stable),
    Step("requirements", ("torch",), lambda ctx: ()),
    SERVER,
    FIRST_IMAGE,
)


@contextmanager
def home_of(root: Path, fault: str, *sets: str) -> Iterator[EngineHome]:
    home = engine_home(root, fault=fault, sets=sets)
    home.ctx.receipts.write("torch", device="cpu", os="macOS 15.1")
    try:
        yield home
    finally:
        stop_server(home.ctx)


def tries(home: EngineHome) -> list[str]:
    """What was said of each picture that was no good, without the seconds."""
    said = [e.says for e in home.events if isinstance(e, StepFinished) and "trying again" in e.says]
    return [f"{one.partition(' (')[0]}{one.rpartition(')')[2]}" if "(" in one else one for one in said]


def notes(home: EngineHome) -> str:
    return "\n".join(event.says for event in home.events if isinstance(event, Note))


def climb(home: EngineHome) -> Report:
    return run(STEPS, home.ctx, apply=True)


def again(flags: str) -> str:
    return f"The image is black: trying again with {flags}."


BOTH = f"{UPCAST} and {FP32_VAE}"
ANOTHER = "stable torch and the default flags"


@pytest.mark.parametrize(
    ("fault", "tried", "flags"),
    [
        (f"black:{UPCAST}", [UPCAST], [UPCAST]),
        (f"black:{FP32_VAE}", [UPCAST, BOTH], [UPCAST, FP32_VAE]),
        ("black:stable", [UPCAST, BOTH, ANOTHER], []),
    ],
)
def test_what_worked_is_kept_and_said(tmp_path: Path, fault: str, tried: list[str], flags: list[str]) -> None:
    with home_of(tmp_path, fault) as home:
        assert climb(home).ok
        ctx = home.ctx
        assert tries(home) == [again(each) for each in tried]
        assert engine_flags(ctx) == ("--force-fp16", *flags, "--cpu")
        assert ctx.receipts.read("first_image")["flags"] == ["--force-fp16", *flags, "--cpu"]
        assert "The image is correct with " in notes(home)
        found = {finding.id: finding.says for finding in check_server(ctx)}
        assert ("flags-kept" in found) == bool(flags)
        if flags:
            assert f"{' and '.join(flags)}: without, the image is black (torch {TORCH}" in found["flags-kept"]
        else:
            assert fallback_flags.stable_instead(ctx).startswith(f"torch {TORCH} fails with all flags (It is black")
        assert not ctx.receipts.read(TRIED)
        assert not climb(home).changed


def test_noise_and_what_cannot_be_opened_climb_too(tmp_path: Path) -> None:
    with home_of(tmp_path, f"noise:{UPCAST},broken:{FP32_VAE}") as home:
        assert climb(home).ok
        assert [each.partition(":")[0] for each in tries(home)] == ["The image cannot be opened"] * 2


def test_where_nothing_helps_everything_that_was_tried_is_listed(tmp_path: Path) -> None:
    with home_of(tmp_path, "flat") as home:
        report = climb(home)
        error = report.step("first_image").error
        assert error is not None
        lines = error.message.splitlines()
        assert len(lines) == 2 + 2 * (1 + len(FLAG_RUNGS)) + 1
        assert "It is one flat colour" in lines[0]
        assert lines[2].startswith(f"- torch {TORCH}, --force-fp16: It is one flat colour")
        assert lines[-2].startswith(f"- torch {STABLE}, --force-fp16 {UPCAST} {FP32_VAE}: It is")
        assert lines[-1] == f"torch {STABLE} did not help either: the next run goes back to nightly torch."
        assert "provision doctor --deep" in said(error.hint)
        assert [home.ctx.receipts.read(name) for name in (TRIED, KEPT, WISH)] == [{}, {}, {}]
        assert (home.ctx.home.root / "first-image.rejected.png").is_file()
        assert asked_of_torch(home.ctx) == [("torch-channel", f"torch {STABLE} is installed; nightly is wanted.")]


def test_stable_torch_that_helped_once_is_given_up_when_it_helps_no_more(tmp_path: Path) -> None:
    with home_of(tmp_path, "flat") as home:
        ctx = home.ctx
        install_torch(ctx.home, STABLE)
        ctx.receipts.write("torch", device="cpu", os="macOS 15.1", wanted="nightly", got="stable", why="because")
        ctx.receipts.write(WISH, wanted="nightly", os="macOS 15.1", why="because")
        error = climb(home).step("first_image").error
        assert "goes back to nightly torch." in error.message
        assert asked_of_torch(ctx) == [("torch-channel", f"torch {STABLE} is installed; nightly is wanted.")]


def test_a_torch_that_a_person_asked_for_is_not_changed(tmp_path: Path) -> None:
    with home_of(tmp_path, "black:stable", f"torch.channel={TORCH}") as home:
        report = climb(home)
        assert len(report.step("first_image").error.message.splitlines()) == 2 + 1 + len(FLAG_RUNGS)
        assert torch_version(home.ctx.home.venv) == TORCH


def test_an_engine_that_does_not_take_a_flag_is_no_dead_end(tmp_path: Path) -> None:
    with home_of(tmp_path, f"black:{FP32_VAE},refuse_flag:{UPCAST}", "torch.channel=stable") as home:
        report = climb(home)
        error = report.step("server").error
        assert error is not None
        assert "does not accept its flags" in error.message
        assert f"--force-fp16 {UPCAST}: ComfyUI exited: this ComfyUI does not accept" in error.message
        assert engine_flags(home.ctx) == ("--force-fp16", "--cpu")


@pytest.mark.parametrize("change", ["torch", "macOS", "ComfyUI", "manifest"])
def test_kept_flags_are_trusted_only_while_nothing_changed(tmp_path: Path, change: str) -> None:
    ctx = engine_home(tmp_path).ctx
    ctx.receipts.write("torch", device="mps", os="macOS 15.1")
    facts = {"torch": TORCH, "comfyui": "1" * 40, "os": "macOS 15.1", "args": ["--force-fp16"]}
    ctx.receipts.write(KEPT, flags=[UPCAST], proven=True, **facts)
    ctx.receipts.write(WISH, wanted="nightly", os="macOS 15.1", why="because")
    assert engine_flags(ctx) == ("--force-fp16", UPCAST)
    assert fallback_flags.stable_instead(ctx) == "because"
    if change == "torch":
        install_torch(ctx.home, "2.17.0")
    elif change == "macOS":
        ctx.receipts.write("torch", device="mps", os="macOS 15.2")
        assert fallback_flags.stable_instead(ctx) == ""
    elif change == "ComfyUI":
        ctx.receipts.write("comfyui", commit="2" * 40)
    else:
        ctx = with_sets(ctx, 'comfyui.args=["--force-fp32"]')
    assert engine_flags(ctx) == ctx.manifest.comfyui.args


def test_damaged_receipts_are_no_receipts(tmp_path: Path) -> None:
    ctx = engine_home(tmp_path).ctx
    ctx.receipts.write(KEPT, flags=UPCAST, **fallback_flags._facts(ctx))
    ctx.receipts.write(TRIED, tried=[{"torch": 3}], **fallback_flags._system_facts(ctx))
    assert fallback_flags.kept_flags(ctx) == ()
    assert fallback_flags._read_tried(ctx) == ()


@pytest.mark.parametrize(
    ("args", "more", "together"),
    [
        ((), (UPCAST,), (UPCAST,)),
        (("--fp16-vae", "--force-fp16"), (UPCAST, FP32_VAE), ("--force-fp16", UPCAST, FP32_VAE)),
        (("--dont-upcast-attention",), (UPCAST,), (UPCAST,)),
        ((UPCAST,), (UPCAST,), (UPCAST,)),
    ],
)
def test_flags_that_exclude_each_other(args: tuple[str, ...], more: tuple[str, ...], together: tuple[str, ...]) -> None:
    assert flags_with(args, more) == together


def test_a_rung_that_the_manifest_has_already_is_left_out(tmp_path: Path) -> None:
    with home_of(tmp_path, f"black:{FP32_VAE}", f'comfyui.args=["{UPCAST}"]') as home:
        assert climb(home).ok
        assert tries(home) == [again(BOTH)]
        assert all(finding.verdict is Verdict.OK for finding in check_server(home.ctx))
