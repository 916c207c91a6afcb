"""Which Mac this is: what sysctl and sw_vers tell, None where they do not."""

from __future__ import annotations

from collections.abc import Mapping

from provision.errors import CommandMissing
from provision.system import parsers
from provision.system.machine import Machine

SYSCTL = (
    "/usr/sbin/sysctl", "-i",
    "hw.memsize", "hw.optional.arm64", "sysctl.proc_translated", "machdep.cpu.brand_string", "hw.model",
    "kern.hv_vmm_present", "kern.memorystatus_vm_pressure_level", "vm.swapusage",
)  # fmt: skip
SW_VERS = ("/usr/bin/sw_vers",)


def read_sysctl(machine: Machine) -> Mapping[str, str]:
    """The values that `SYSCTL` asks for; empty where there is no such program."""
    try:
        return parsers.parse_sysctl(machine.run(SYSCTL, timeout_s=10).out)
    except (CommandMissing, ValueError):
        return {}


def read_chip(values: Mapping[str, str]) -> parsers.Chip | None:
    """The chip, of what `read_sysctl` gave."""
    try:
        return parsers.parse_chip(values)
    except ValueError:
        return None


def must_read_macos(machine: Machine) -> parsers.MacOs:
    """The system's version, where all goes by it. Raises CommandMissing or ValueError."""
    return parsers.parse_sw_vers(machine.run(SW_VERS, timeout_s=10).out)


def read_macos(machine: Machine) -> parsers.MacOs | None:
    """The system's version."""
    try:
        return must_read_macos(machine)
    except (CommandMissing, ValueError):
        return None
