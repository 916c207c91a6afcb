"""Whether a model fits: a table of machines, the numbers behind it, and what `check`, `plan` and doctor say."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from provision.comfyui.memory import (
    NO_HELP,
    SMALLER_UNET,
    TORCH_LIMIT,
    VALUE_BYTES,
    MemoryUse,
    Picture,
    activations_bytes,
    flags_for,
    memory_use,
    read_weights,
    recommended_bytes,
)
from provision.comfyui.safetensors import Part, parse_safetensors_header
from provision.comfyui.server_process import engine_flags
from provision.core.finding import Finding, Verdict
from provision.core.home import Home
from provision.core.manifest import load_manifest, manifest_names
from provision.core.step import Context, Options
from provision.rehearsal.checkpoints import header, tensor_shapes
from provision.steps.hardware.memory import check_memory_fit
from provision.system.mac import SYSCTL
from provision.system.machine import Memory
from provision.system.parsers import GIB
from tests.support.fake_machine import FakeMachine

Make = Callable[..., Context]
SDXL: dict[Part, int] = {"unet": 2_567_463_684, "text": 817_720_321, "vae": 83_653_863}
SD2: dict[Part, int] = {"unet": 865_910_724, "text": 354_032_640, "vae": 83_653_863}
TURBO, LARGER = Picture("sdxl", 512, 512), Picture("sdxl", 768, 768)
BASE, SD_TURBO = Picture("sdxl", 1024, 1024, True), Picture("sd2", 512, 512)
MACS = (8, 16, 18, 24, 32, 36, 64, 128)


def on_mac(gib: int, values: dict[Part, int] = SDXL, picture: Picture = TURBO, *flags: str) -> MemoryUse:
    return memory_use(gib * GIB, values, picture, "mps", flags)


def test_the_header_counts_the_numbers_of_each_part() -> None:
    found = parse_safetensors_header(header(tensor_shapes(), "F16"))
    assert found.values == SDXL
    assert sum(found.values.values()) * 2 == found.data_bytes


@pytest.mark.parametrize(("gib", "says_gib"), [(8, 9.07), (16, 18.13), (32, 36.27)])
def test_metals_recommendation_agrees_with_torchs_limit_in_reports(gib: int, says_gib: float) -> None:
    assert TORCH_LIMIT * recommended_bytes(gib * GIB) / GIB == pytest.approx(says_gib, abs=0.005)


@pytest.mark.parametrize(("gib", "says_mib"), [(8, 5461.33), (16, 10922.67), (24, 16384), (36, 27648), (64, 49152)])
def test_metals_recommendation_agrees_with_what_metal_says(gib: int, says_mib: float) -> None:
    assert recommended_bytes(gib * GIB) / 2**20 == pytest.approx(says_mib, abs=0.01)


@pytest.mark.parametrize(
    ("values", "picture", "verdicts"),
    [
        (SDXL, TURBO, ["will swap", *["fits"] * 7]),
        (SDXL, LARGER, ["will swap", *["fits"] * 7]),
        (SDXL, BASE, ["will swap", "tight", *["fits"] * 6]),
        (SD2, SD_TURBO, ["tight", *["fits"] * 7]),
    ],
)
def test_macs(values: dict[Part, int], picture: Picture, verdicts: list[str]) -> None:
    assert [str(on_mac(gib, values, picture).fit) for gib in MACS] == verdicts


def test_the_sum_is_that_of_its_parts() -> None:
    found = on_mac(16)
    assert found.weights_bytes == 2 * sum(SDXL.values())
    assert found.activations_bytes == 2178 * 512 * 512 * 2
    assert found.metal_bytes == found.weights_bytes - 2 * SDXL["text"] + found.activations_bytes
    assert found.total_bytes / GIB == pytest.approx(11.2, abs=0.05)
    assert not found.refused


def test_the_cpu_takes_what_was_measured() -> None:
    found = memory_use(24 * GIB, SDXL, TURBO, "cpu", ())
    assert (found.total_bytes - found.system_bytes) / 10**9 == pytest.approx(17, rel=0.1)
    assert found.metal_bytes == 0


@pytest.mark.parametrize(
    ("flag", "more"),
    [("--force-fp32", 2), ("--fp32-unet", 1.9), ("--fp32-vae", 1.1), ("--fp16-vae", 0), ("--lowvram", 0)],
)
def test_flags_decide_the_dtypes(flag: str, more: float) -> None:
    plain, other = on_mac(16), on_mac(16, SDXL, TURBO, flag)
    grown = other.weights_bytes + other.activations_bytes - plain.weights_bytes - plain.activations_bytes
    assert (grown > 0) == (more > 0)
    assert on_mac(16, SDXL, TURBO, "--gpu-only").metal_bytes == plain.metal_bytes + 2 * SDXL["text"]


def test_what_torch_will_not_have_is_said() -> None:
    assert on_mac(8, SDXL, BASE).refused
    assert not on_mac(8).refused


def test_attention_grows_with_the_fourth_power_of_the_side_until_it_is_cut() -> None:
    small, large = (activations_bytes(Picture("sd2", side, side), 2, 0) for side in (256, 320))
    assert large / small > 2
    wide = activations_bytes(Picture("sd2", 2048, 2048), 2, 0)
    assert wide == GIB + 24 * 2048**2 * 2


def test_no_flag_is_added_on_a_mac_and_one_on_a_cpu_where_it_helps() -> None:
    for gib in MACS:
        assert flags_for(on_mac(gib), "mps", "fp16", ()) == ()
    tight = memory_use(16 * GIB, SDXL, TURBO, "cpu", ())
    assert flags_for(tight, "cpu", "fp16", ()) == (SMALLER_UNET,)
    assert memory_use(16 * GIB, SDXL, TURBO, "cpu", (SMALLER_UNET,)).total_bytes < tight.total_bytes - 4 * GIB
    assert flags_for(tight, "cpu", "fp32", ()) == ()  # it would lose digits
    assert flags_for(tight, "cpu", "fp16", ("--bf16-unet",)) == ()
    assert flags_for(memory_use(32 * GIB, SDXL, TURBO, "cpu", ()), "cpu", "fp16", ()) == ()


# -- what is said of this machine -------------------------------------------------------------------------------


def mac(gib: int) -> FakeMachine:
    return FakeMachine(memory=Memory(gib * GIB, gib * GIB // 2))


def put_header(home: Home, name: str = "sd_xl_turbo_1.0_fp16.safetensors") -> Path:
    """The header alone: the weights are not read."""
    place = home.comfyui / "models" / "checkpoints" / name
    place.parent.mkdir(parents=True)
    place.write_bytes(header(tensor_shapes(), "F16"))
    return place


def look(ctx: Context) -> Finding:
    (finding,) = check_memory_fit(ctx)
    return finding


@pytest.mark.parametrize(
    ("gib", "id", "words"),
    [
        (8, "mem-swaps", "it will swap about 3.2 GiB. At 768x768: 12.5 GiB, it will swap"),
        (12, "mem-tight", "0.8 GiB are left"),
        (16, "mem-fits", "that is 11.2 of 16 GiB; 6.0 are in Metal, which recommends 10.7 at most: it fits."),
        (64, "mem-fits", "of 64 GiB"),
    ],
)
def test_a_mac_is_told_with_its_numbers(context: Make, home: Home, gib: int, id: str, words: str) -> None:
    put_header(home)
    finding = look(context(machine=mac(gib)))
    assert finding.id == id
    assert finding.says.startswith("SDXL-Turbo 1.0 at 512x512 takes 8.5 GiB: weights 6.5, activations 1.1, ")
    assert words in finding.says
    assert (finding.verdict is Verdict.OK) == (id == "mem-fits")
    assert finding.facts["by_header"] is True


def test_a_rehearsal_speaks_of_its_own_model(context: Make) -> None:
    finding = look(context(machine=mac(4), options=Options(rehearsal=True)))
    assert (finding.id, finding.verdict) == ("mem-fits", Verdict.OK)
    assert finding.says == "The rehearsal's stand-in for SDXL-Turbo 1.0 is small: it fits."


@pytest.mark.parametrize("name", manifest_names())
def test_before_the_header_is_here_the_files_size_is_enough(context: Make, name: str) -> None:
    manifest = load_manifest(name)
    ctx = context(machine=mac(16))
    object.__setattr__(ctx, "manifest", manifest)
    object.__setattr__(ctx.options, "precision", manifest.usual_precision)
    finding = look(ctx)
    assert "That is by the size of the file" in finding.says
    assert finding.facts["by_header"] is False
    _, file = manifest.checkpoint(manifest.usual_precision)
    assert file.size is not None
    numbers = file.size // VALUE_BYTES[file.precision]
    assert finding.facts["weights_bytes"] == 2 * numbers
    assert finding.id == ("mem-tight" if name in ("sdxl-base", "sdxl-lightning") else "mem-fits")
    assert "Metal" not in finding.says


def test_a_size_that_nobody_knows_is_not_guessed(context: Make) -> None:
    ctx = context(machine=mac(16))
    object.__setattr__(ctx.options, "precision", "fp32")
    assert read_weights(ctx) is None
    assert list(check_memory_fit(ctx)) == []


def test_sysctl_is_asked_where_psutil_fails(context: Make) -> None:
    said = "hw.memsize: 17179869184\nmachdep.cpu.brand_string: Apple M1\n"
    machine = FakeMachine({" ".join(SYSCTL): said})
    assert "of 16 GiB" in look(context(machine=machine)).says


def test_flags_that_do_not_help_on_a_mac_are_named_with_the_reason(context: Make) -> None:
    finding = look(context('comfyui.args=["--lowvram", "--force-fp16"]', machine=mac(8)))
    assert f"--lowvram does not help: {NO_HELP['--lowvram']}." in finding.says


def test_on_the_cpu_the_flag_follows_once_the_header_is_here(context: Make, home: Home) -> None:
    machine = FakeMachine(system="Linux", arch="x86_64", memory=Memory(16 * GIB, 8 * GIB))
    ctx = context(machine=machine)
    ctx.receipts.write("torch", device="cpu")
    assert engine_flags(ctx) == ("--force-fp16", "--cpu")
    put_header(home)
    assert engine_flags(ctx) == ("--force-fp16", SMALLER_UNET, "--cpu")
    assert f"started with {SMALLER_UNET}" in look(ctx).says


def test_an_nvidia_gpu_has_memory_of_its_own(context: Make) -> None:
    machine = FakeMachine(system="Linux", memory=Memory(16 * GIB, GIB), programs={"nvidia-smi": "/usr/bin/nvidia-smi"})
    assert list(check_memory_fit(context(machine=machine))) == []
