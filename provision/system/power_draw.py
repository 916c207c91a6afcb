"""The power that the machine draws, where no password is needed for it, as `powermetrics` does.

A MacBook's battery controller has the load of the whole system (`PowerTelemetryData` of AppleSmartBattery in the I/O
registry, in mW); NVIDIA's driver has that of its card.
"""

from __future__ import annotations

import re

from provision.system.machine import Machine

BATTERY = ("/usr/sbin/ioreg", "-r", "-w0", "-c", "AppleSmartBattery")
CARD = ("--query-gpu=power.draw", "--format=csv,noheader,nounits")
TIMEOUT_S = 3.0
WATTS_MAX = 1_000.0
"""No Mac and no desktop card draws more: a larger number means something else."""


def read_watts(machine: Machine) -> float | None:
    """Watts of the system (a MacBook) or of the card (NVIDIA); None where unknown."""
    if machine.system == "Darwin":
        return parse_battery(machine.said(BATTERY, timeout_s=TIMEOUT_S))
    smi = machine.which("nvidia-smi")
    return parse_card(machine.said((smi, *CARD), timeout_s=TIMEOUT_S)) if smi is not None else None


def parse_battery(text: str) -> float | None:
    """The load of the system in `ioreg`'s output on the battery."""
    found = re.search(r'"SystemLoad"\s*=\s*(\d+)', text)
    return _plausible(int(found[1]) / 1000) if found else None


def parse_card(text: str) -> float | None:
    """The sum over all cards of `nvidia-smi --query-gpu=power.draw`, which says `[N/A]` where it does not know."""
    told = [float(line) for line in text.split() if re.fullmatch(r"\d+(\.\d+)?", line)]
    return _plausible(sum(told)) if told else None


def _plausible(watts: float) -> float | None:
    return watts if 0 < watts < WATTS_MAX else None
