"""Which Mac this is, from sysctl and sw_vers; None where they do not say."""

from __future__ import annotations

from collections.abc import Mapping

from provision.errors import CommandMissing
from provision.system import parsers
from provision.system.machine import Machine

SYSCTL = (
    *("/usr/sbin/sysctl", "-i", "hw.memsize", "hw.optional.arm64", "sysctl.proc_translated"),
    *("machdep.cpu.brand_string", "hw.model", "kern.hv_vmm_present"),
    *("kern.memorystatus_vm_pressure_level", "vm.swapusage"),
)
SW_VERS = ("/usr/bin/sw_vers",)


def read_sysctl(machine: Machine) -> Mapping[str, str]:
    """The values of `SYSCTL`; empty where there is no such program."""
    try:
        return parsers.parse_sysctl(machine.run(SYSCTL, timeout_s=10).out)
    except (CommandMissing, ValueError):
        return {}


def read_chip(values: Mapping[str, str]) -> parsers.Chip | None:
    """The chip, from the values of `read_sysctl`."""
    try:
        return parsers.parse_chip(values)
    except ValueError:
        return None


def must_read_macos(machine: Machine) -> parsers.MacOs:
    """The system's version. Raises CommandMissing, ValueError."""
    return parsers.parse_sw_vers(machine.run(SW_VERS, timeout_s=10).out)


def read_macos(machine: Machine) -> parsers.MacOs | None:
    """The system's version, None where it is not known."""
    try:
        return must_read_macos(machine)
    except (CommandMissing, ValueError):
        return None
