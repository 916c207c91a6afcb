"""What the torch probe said, as a value. Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Comparison:
    """One operation on the device against the CPU: relative error and its bound; `error` None: not finite."""

    name: str
    error: float | None
    bound: float
    ok: bool


@dataclass(frozen=True, slots=True)
class TorchProbe:
    """What torch is and does on this machine."""

    torch: str
    torchvision: str | None
    torchaudio: str | None
    device: str
    mps_built: bool
    mps_available: bool
    checks: tuple[Comparison, ...]
    seconds: float

    @property
    def failed(self) -> tuple[Comparison, ...]:
        """What computes wrong."""
        return tuple(check for check in self.checks if not check.ok)

    @property
    def worst(self) -> float:
        """The largest error as a share of its bound; 1 and below is right."""
        return max((check.error / check.bound for check in self.checks if check.error is not None), default=0.0)


def parse_torch_probe(text: str) -> TorchProbe:
    """The last line of the probe's output. Raises ValueError when it is not what the probe prints."""
    lines = [line for line in text.splitlines() if line.startswith("{")]
    if not lines:
        raise ValueError("The torch probe printed no result.")
    try:
        said = json.loads(lines[-1])
        checks = tuple(Comparison(c["name"], c["error"], c["bound"], c["ok"]) for c in said["checks"])
        return TorchProbe(
            said["torch"], said["torchvision"], said["torchaudio"], said["device"], said["mps_built"],
            said["mps_available"], checks, said["seconds"],
        )  # fmt: skip
    except (KeyError, TypeError) as error:
        raise ValueError(f"The torch probe printed something else: {error}") from error


def describe_failure(probe: TorchProbe) -> str:
    """What computes wrong, with the numbers."""
    parts = []
    for check in probe.failed:
        seen = "not finite (NaN or infinity)" if check.error is None else f"off by {check.error:.2g}"
        parts.append(f"{check.name} is {seen}, at most {check.bound:.2g} is right")
    return "; ".join(parts)
