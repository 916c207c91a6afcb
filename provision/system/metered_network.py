"""Whether the network is metered: a phone's hotspot, Low Data Mode. Unknown is no.

macOS: `ifconfig -v` shows the flags EXPENSIVE and CONSTRAINED of an interface (Apple's network_cmds, ifconfig.c); an
iPhone gives out addresses of 172.20.10.0/28, and Android says ANDROID_METERED in its DHCP answer. Linux: NetworkManager
(`nmcli`, its NMMetered: "yes (guessed)" counts as yes).
"""

from __future__ import annotations

import re

from provision.system.machine import Machine


def metered_because(machine: Machine) -> str:
    """Why the network counts as metered, in a few words; empty where it does not."""
    return _on_macos(machine) if machine.system == "Darwin" else _on_linux(machine)


def _on_macos(machine: Machine) -> str:
    found = re.search(r"(?m)^\s*interface: (\w+)\s*$", _said(machine, "route", "-n", "get", "default"))
    if found is None:
        return ""
    described = _said(machine, "ifconfig", "-v", found[1])
    if re.search(r"\bCONSTRAINED\b", described):
        return "Low Data Mode is on"
    if re.search(r"\binet 172\.20\.10\.\d+ ", described):
        return "it is an iPhone's hotspot"
    if "ANDROID_METERED" in _said(machine, "ipconfig", "getpacket", found[1]):
        return "it is an Android phone's hotspot"
    return "macOS marks it as expensive" if re.search(r"\bEXPENSIVE\b", described) else ""


def _on_linux(machine: Machine) -> str:
    routes = machine.read_text("/proc/net/route") or ""
    found = re.search(r"(?m)^(\S+)\s+00000000\s", routes)
    if found is None:
        return ""
    said = _said(machine, "nmcli", "-g", "GENERAL.METERED", "device", "show", found[1])
    return "NetworkManager marks it as metered" if said.startswith("yes") else ""


def _said(machine: Machine, name: str, *words: str) -> str:
    program = machine.which(name)
    return machine.said([program, *words]) if program else ""
