"""What the torch probe said, as a value, and what follows from it. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from provision.system.parsers import Chip

NAMED = 8
"""Faults that a sentence names; all are in the finding's facts."""
FEWEST_CORES: Mapping[str, int] = {"": 7, "Pro": 14, "Max": 24, "Ultra": 48}
"""GPU cores of the smallest chip of each tier, M1 to M5 (Apple's technical specifications)."""
CORE_GFLOP_S = 325.0
"""What a core of an M1's GPU can do in a second: 2.6 TFLOPS by 8 cores (Apple's newsroom, 10 November 2020)."""
SLOW_SHARE = 0.05
"""Below this share of what the chip can do an install is slow: a good one reaches several times that."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """One operation in one dtype on the device against float32 on the CPU.

    `error` is a share of the right result, None where it is not finite or there is none; `repeat` the difference of two
    runs. `fault` is empty, `not finite`, `wrong`, `varies`, or what was raised.
    """

    name: str
    error: float | None
    bound: float
    fault: str = ""
    repeat: float | None = 0.0
    custom_nodes: bool = False
    """Whether only custom nodes use it: a fault of it condemns no torch."""

    @property
    def says(self) -> str:
        """The fault, with the number measured and the one that is right."""
        if self.fault == "not finite":
            return f"{self.name} is not finite (NaN or infinity), at most {self.bound:.2g} off is right"
        if self.fault == "varies":
            return f"{self.name} differs in a second run, by {self.repeat or 0:.2g}"
        if self.fault == "wrong":
            return f"{self.name} is off by {self.error or 0:.2g}, at most {self.bound:.2g} is right"
        return f"{self.name} fails ({self.fault})"


@dataclass(frozen=True, slots=True)
class TorchProbe:
    """What torch is and does on this machine. `block_gflop_s` is its speed in fp16, None where it computes wrong."""

    torch: str
    torchvision: str | None
    torchaudio: str | None
    device: str
    mps_built: bool
    mps_available: bool
    checks: tuple[Comparison, ...]
    skipped: tuple[str, ...]
    size: str
    block_gflop_s: float | None
    seconds: float
    audio_fault: str = ""
    """Why torchaudio cannot be imported; empty when it can, or is not here."""

    @property
    def failed(self) -> tuple[Comparison, ...]:
        """What computes wrong."""
        return tuple(check for check in self.checks if check.fault and not check.custom_nodes)

    @property
    def doubtful(self) -> tuple[Comparison, ...]:
        """What computes wrong, and only custom nodes use."""
        return tuple(check for check in self.checks if check.fault and check.custom_nodes)

    @property
    def worst(self) -> float:
        """The largest error as a share of its bound; 1 and below is right."""
        return max((check.error / check.bound for check in self.checks if check.error is not None), default=0.0)


def parse_torch_probe(text: str) -> TorchProbe:
    """The last line of the probe's output. Raises ValueError when it is not what the probe prints."""
    lines = [line for line in text.splitlines() if line.startswith("{")]
    if not lines:
        raise ValueError("The torch test printed no result.")
    try:
        said = json.loads(lines[-1])
        checks = tuple(
            Comparison(c["name"], c["error"], c["bound"], c["fault"], c["repeat"], c["custom_nodes"])
            for c in said["checks"]
        )
        skipped = tuple(f"{left_out['name']}: {left_out['why']}" for left_out in said["skipped"])
        block = said["block"]
        return TorchProbe(
            said["torch"],
            said["torchvision"],
            said["torchaudio"],
            said["device"],
            said["mps_built"],
            said["mps_available"],
            checks,
            skipped,
            said["size"],
            block["gflop"] / block["seconds"] if block else None,
            said["seconds"],
            said.get("torchaudio_fault", ""),
        )
    except (KeyError, TypeError, ZeroDivisionError) as error:
        raise ValueError(f"The torch test printed something unexpected: {error}") from error


def describe_failure(probe: TorchProbe) -> str:
    """What computes wrong, with the numbers; the worst first."""
    faults = sorted(probe.failed, key=lambda check: -(check.error or float("inf")) / check.bound)
    more = f"; and {len(faults) - NAMED} more of {len(probe.checks)}" if len(faults) > NAMED else ""
    return "; ".join(check.says for check in faults[:NAMED]) + more


def broke_off(code: int | None, said: str) -> str:
    """What became of a probe that printed no result; the last line it `said` tells at which comparison it ended."""
    return f"the test {'took too long' if code is None else f'exited with {code}'}:\n{said}"


def slow_says(gflop_s: float | None, chip: Chip | None) -> str:
    """Why a speed on a Mac's GPU is not what its chip can do, as a sentence; empty when it is, or nobody knows."""
    if gflop_s is None or chip is None or not chip.family.startswith("M"):
        return ""
    able = FEWEST_CORES[chip.tier] * CORE_GFLOP_S
    if gflop_s >= SLOW_SHARE * able:
        return ""
    return (
        f"torch computes a block of the UNet at {gflop_s:.3g} GFLOP/s; the GPU of the {chip.name} can do at least "
        f"{able:.0f}, and {SLOW_SHARE * able:.0f} are to be expected: images are slow."
    )
