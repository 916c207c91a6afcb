"""The probe of torch: its bounds, and that each of its comparisons can fail; torch stands in, with faults of MPS."""

from __future__ import annotations

import json
import math
import time
import types
from collections.abc import Callable
from typing import Any

import pytest

from provision.environment import torch_probe
from provision.environment.torch_probe_result import (
    NAMED,
    Comparison,
    TorchProbe,
    broke_off,
    describe_failure,
    parse_torch_probe,
    slow_says,
)
from provision.rehearsal.torch_wheels import StandIn, module_source
from provision.system.parsers import Chip

RIGHT = {"largest": 4.0, "off": 0.0, "square": 100.0, "square_off": 0.0, "repeat": 0.0}
Faults = dict[str, str]


def stand_in(defect: str = "") -> Any:
    module = types.ModuleType("torch")
    exec(module_source(StandIn("torch", "2.15.0", defect=defect)), module.__dict__)
    module.manual_seed(7)  # type: ignore[attr-defined]
    return module


def compared(torch: Any, deadline_s: float = 60) -> tuple[Faults, list[dict[str, str]]]:
    checks, skipped = torch_probe.compare_all(torch, "cpu", torch_probe.TINY, time.perf_counter() + deadline_s)
    return {check["name"]: check["fault"] for check in checks}, skipped


def wrong(faults: Faults) -> set[str]:
    """The operations that failed, without their dtypes."""
    return {name.rpartition(",")[0] for name, fault in faults.items() if fault}


# -- the bound --------------------------------------------------------------------------------------------------


def test_the_bound_is_the_results_rounding_and_that_of_a_sum_in_fp16() -> None:
    assert torch_probe.bound("fp16", 0) == 2**-9
    assert torch_probe.bound("fp16", 1024) == 2**-9 + 2**-5
    assert torch_probe.bound("bf16", 1024) - torch_probe.bound("fp16", 1024) == 2**-6 - 2**-9
    widest = max(torch_probe.bound("bf16", 9 * channels) for channels, _ in torch_probe.FULL.vae)
    assert widest < 0.1, "an error of a tenth is never rounding"


@pytest.mark.parametrize(
    ("seen", "fault"),
    [
        ({}, ""),
        ({"off": 4 * 0.019}, ""),
        ({"off": 4 * 0.021}, "wrong"),  # one element
        ({"square_off": 100 * 0.021**2}, "wrong"),  # all of them, by a factor
        ({"repeat": 4 * 2.1 * 2**-10}, "varies"),
        ({"off": math.nan, "square_off": math.nan}, "not finite"),
        ({"off": math.inf, "square_off": math.inf}, "not finite"),
        ({"repeat": math.nan}, "varies"),
    ],
)
def test_the_verdict_follows_from_the_numbers(seen: dict[str, float], fault: str) -> None:
    terms = ((0.02 - 2**-9) * 2**10) ** 2  # the bound is 0.02
    verdict = torch_probe.judge("fp16", terms, {**RIGHT, **seen})
    assert verdict["fault"] == fault
    assert verdict["bound"] == pytest.approx(0.02)
    json.dumps(verdict, allow_nan=False)


# -- the operations ---------------------------------------------------------------------------------------------


def test_right_numbers_pass_and_every_operation_is_done_in_both_dtypes() -> None:
    faults, skipped = compared(stand_in())
    assert (wrong(faults), skipped) == (set(), [])
    assert len(faults) == 34
    assert {name.rpartition(", ")[2] for name in faults} == {"fp16", "bf16"}


@pytest.mark.parametrize(("defect", "fault"), [("nan", "not finite"), ("noise", "wrong")])
def test_nan_and_noise_fail_every_comparison(defect: str, fault: str) -> None:
    faults, _ = compared(stand_in(defect))
    assert set(faults.values()) == {fault}


def test_what_varies_from_run_to_run_is_seen() -> None:
    faults, _ = compared(stand_in("varies"))
    assert "varies" in faults.values()
    assert set(faults.values()) <= {"", "varies", "wrong"}


def test_attention_that_misreads_permuted_tensors_is_told_from_one_that_does_not() -> None:
    assert wrong(compared(stand_in("permuted"))[0]) == {"attention, permuted", "attention, permuted and short"}


def halves(*given: Any) -> bool:
    return any(getattr(each, "dtype", "") in ("float16", "bfloat16") for each in given)


def last_zero(right: Callable[..., Any]) -> Callable[..., Any]:
    """An operation whose last number is not written, in half precision."""

    def spoiled(*given: Any, **how: Any) -> Any:
        found = right(*given, **how)
        if halves(*given):
            found.data[-1] = 0.0 if abs(found.data[-1]) > 0.1 else 2.0
        return found

    return spoiled


@pytest.mark.parametrize(
    ("operation", "named"),
    [
        (
            "conv2d",
            {
                "convolution",
                "convolution after chunk",
                "convolution of the VAE, 8x3x3",
                "convolution of the VAE, 2x12x12",
            },
        ),
        ("group_norm", {"group norm", "group norm of the VAE, 2x12x12"}),
        ("linear", {"linear and gelu", "linear, transposed weight"}),
        ("gelu", {"linear and gelu"}),
        ("interpolate", {"upsampling, nearest", "upsampling, bilinear"}),
        ("embedding", {"embedding"}),
        ("scaled_dot_product_attention", {"attention", "attention, permuted", "attention, permuted and short"}),
    ],
)
def test_one_wrong_number_is_found_and_its_operation_named(operation: str, named: set[str]) -> None:
    torch = stand_in()
    functional = torch.nn.functional
    setattr(functional, operation, staticmethod(last_zero(getattr(functional, operation))))
    assert wrong(compared(torch)[0]) == named


@pytest.mark.parametrize(
    ("method", "named"),
    [
        ("__matmul__", {"matmul", "linear and gelu", "linear, transposed weight", "attention in steps"}),
        ("softmax", {"softmax of long rows", "attention in steps"}),
    ],
)
def test_a_wrong_method_of_tensors_is_found(method: str, named: set[str]) -> None:
    torch = stand_in()
    right = getattr(torch.Tensor, method)

    def spoiled(self: Any, *given: Any) -> Any:
        found = right(self, *given)
        if halves(self):
            found.data[0] += 1.0
        return found

    setattr(torch.Tensor, method, spoiled)
    assert wrong(compared(torch)[0]) == named


def test_a_second_half_that_is_the_first_is_found() -> None:
    torch = stand_in()
    right = torch.Tensor.chunk
    torch.Tensor.chunk = lambda self, count, dim: (
        right(self, count, dim)[::-1] if halves(self) else right(self, count, dim)
    )
    assert wrong(compared(torch)[0]) == {"convolution after chunk"}


# -- what cannot be done ----------------------------------------------------------------------------------------


def test_a_dtype_that_the_device_does_not_know_is_left_out_and_said() -> None:
    torch = stand_in()
    right = torch.Tensor.__matmul__

    def older(self: Any, other: Any) -> Any:
        if self.dtype == "bfloat16":
            raise TypeError("BFloat16 is not supported on MPS\nmore")
        return right(self, other)

    torch.Tensor.__matmul__ = older
    faults, skipped = compared(torch)
    assert (len(faults), wrong(faults)) == (17, set())
    assert skipped == [{"name": "bf16", "why": "BFloat16 is not supported on MPS"}]


@pytest.mark.parametrize(
    ("operation", "says", "fails"),
    [
        ("conv2d", "The operator 'aten::conv2d' is not implemented for MPS", True),
        ("conv2d", "MPS backend out of memory (max allowed: 9.07 GB)", False),
        ("interpolate", "upsample_bilinear2d is not implemented for 'BFloat16'", False),
    ],
)
def test_what_is_missing_fails_only_where_sdxl_needs_it(operation: str, says: str, fails: bool) -> None:
    torch = stand_in()
    right = getattr(torch.nn.functional, operation)

    def missing(x: Any, *more: Any, **how: Any) -> Any:
        if halves(x):
            raise RuntimeError(says)
        return right(x, *more, **how)

    setattr(torch.nn.functional, operation, staticmethod(missing))
    faults, skipped = compared(torch)
    assert (says in faults.values()) == fails
    assert ({each["why"] for each in skipped} == {says}) != fails


def test_without_time_everything_is_left_out_and_said() -> None:
    faults, skipped = compared(stand_in(), deadline_s=-1)
    assert faults == {}
    assert len(skipped) == 17
    assert {each["why"] for each in skipped} == {"out of time"}


def test_a_slow_torch_shows_in_its_seconds() -> None:
    torch = stand_in("slow")
    assert torch_probe.time_block(torch, "cpu", torch_probe.TINY)["seconds"] >= torch.SLOW_S


def test_a_gpu_gets_full_shapes_and_plain_python_tiny_ones() -> None:
    assert torch_probe.size_for(stand_in(), "mps") == torch_probe.FULL
    assert torch_probe.size_for(stand_in(), "cpu") == torch_probe.TINY


# -- what is made of it -----------------------------------------------------------------------------------------


def said(**more: object) -> str:
    plain: dict[str, object] = {
        "torch": "2.15.0",
        "torchvision": "0.30.0",
        "torchaudio": None,
        "device": "mps",
        "mps_built": True,
        "mps_available": True,
        "size": "full",
        "seconds": 5.0,
        "block": {"gflop": 9.7, "seconds": 0.0194},
        "skipped": [{"name": "bf16", "why": "not here"}],
        "checks": [
            {"name": "matmul, fp16", "error": 0.001, "repeat": 0.0, "bound": 0.03, "fault": "", "custom_nodes": False}
        ],
    }
    return json.dumps({**plain, **more})


def test_the_result_is_read() -> None:
    probe = parse_torch_probe(f"a warning\n{said()}\n")
    assert probe.block_gflop_s == pytest.approx(500)
    assert probe.skipped == ("bf16: not here",)
    assert probe.worst == pytest.approx(1 / 30)
    assert parse_torch_probe(said(block=None)).block_gflop_s is None


def failing(*checks: Comparison) -> TorchProbe:
    return TorchProbe("2.8.0", None, None, "mps", True, True, checks, (), "full", None, 1.0)


def test_each_fault_is_said_with_its_numbers() -> None:
    says = describe_failure(
        failing(
            Comparison("attention, permuted, fp16", 1.09, 0.0099, "wrong"),
            Comparison("group norm, bf16", None, 0.03, "not finite", None),
            Comparison("matmul, fp16", 0.001, 0.03, "varies", 0.02),
            Comparison("convolution, fp16", None, 0.03, "The operator is not implemented", None),
        )
    )
    assert "attention, permuted, fp16 is off by 1.1, at most 0.0099 is right" in says
    assert "group norm, bf16 is not finite (NaN or infinity)" in says
    assert "matmul, fp16 differs in a second run, by 0.02" in says
    assert "convolution, fp16 fails (The operator is not implemented)" in says


def test_what_only_custom_nodes_use_condemns_no_torch() -> None:
    torch = stand_in()
    checks, _ = torch_probe.compare_all(torch, "cpu", torch_probe.TINY, time.perf_counter() + 60)
    assert {check["name"] for check in checks if check["custom_nodes"]} == {
        "attention, permuted and short, fp16",
        "attention, permuted and short, bf16",
    }
    probe = failing(Comparison("attention, permuted and short, fp16", 1.1, 0.01, "wrong", 0.0, True))
    assert (probe.failed, len(probe.doubtful)) == ((), 1)


def test_many_faults_are_counted() -> None:
    says = describe_failure(failing(*[Comparison(f"op {n}", 1.0, 0.01 * (n + 1), "wrong") for n in range(NAMED + 3)]))
    assert says.startswith("op 0 ")
    assert says.endswith(f"and 3 more of {NAMED + 3}")


def test_a_probe_that_broke_off_says_where() -> None:
    assert broke_off(-6, "comparing: attention") == "the test exited with -6:\ncomparing: attention"
    assert broke_off(None, "").startswith("the test took too long")


@pytest.mark.parametrize(
    ("family", "tier", "gflop_s", "slow"),
    [
        ("M1", "", 1000, False),
        ("M1", "", 113, True),
        ("M1", "", 115, False),
        ("M4", "Max", 300, True),
        ("M9", "Ultra", 700, True),
        ("A18", "", 1, False),
        ("", "", 1, False),
        ("M2", "Pro", None, False),
    ],
)
def test_the_speed_is_held_against_the_chip(family: str, tier: str, gflop_s: float | None, slow: bool) -> None:
    chip = Chip(f"Apple {family}", family, tier, True, False, None, False)
    says = slow_says(gflop_s, chip)
    assert bool(says) == slow
    assert not slow or f"{gflop_s:.3g} GFLOP/s" in says
    assert slow_says(gflop_s, None) == ""
