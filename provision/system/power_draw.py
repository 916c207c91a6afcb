"""What the machine draws, where it tells without a password.

`powermetrics` asks for one. A MacBook's battery controller tells the load of the whole system to everybody
(`PowerTelemetryData` of AppleSmartBattery in the I/O registry, in mW); NVIDIA's driver tells that of its card.
"""

from __future__ import annotations

import re

from provision.errors import CommandFailed, CommandMissing
from provision.system.machine import Machine

BATTERY = ("/usr/sbin/ioreg", "-r", "-w0", "-c", "AppleSmartBattery")
CARD = ("--query-gpu=power.draw", "--format=csv,noheader,nounits")
TIMEOUT_S = 3.0
WATTS_MAX = 1_000.0
"""More than this no machine of ours draws: the number means something else."""


def read_watts(machine: Machine) -> float | None:
    """Watts of the system (a MacBook) or of the card (NVIDIA), None where nothing tells."""
    if machine.system == "Darwin":
        return parse_battery(_said(machine, *BATTERY))
    smi = machine.which("nvidia-smi")
    return parse_card(_said(machine, str(smi), *CARD)) if smi is not None else None


def _said(machine: Machine, *argv: str) -> str:
    try:
        ran = machine.run(argv, timeout_s=TIMEOUT_S)
    except (CommandMissing, CommandFailed):
        return ""
    return ran.out if ran.ok else ""


def parse_battery(text: str) -> float | None:
    """The load of the system in what `ioreg` says of the battery."""
    found = re.search(r'"SystemLoad"\s*=\s*(\d+)', text)
    return _plausible(int(found[1]) / 1000) if found else None


def parse_card(text: str) -> float | None:
    """The sum over all cards of `nvidia-smi --query-gpu=power.draw`; a card that does not tell says `[N/A]`."""
    told = [float(line) for line in text.split() if re.fullmatch(r"\d+(\.\d+)?", line)]
    return _plausible(sum(told)) if told else None


def _plausible(watts: float) -> float | None:
    return watts if 0 < watts < WATTS_MAX else None
