"""Networks that cost by the byte: told by what the system prints (built from Apple's and NetworkManager's sources)."""

from __future__ import annotations

import pytest

from provision.system.machine import Ran
from provision.system.metered_network import metered_because
from tests.support.fake_machine import FakeMachine

PROGRAMS = {name: f"/sbin/{name}" for name in ("route", "ifconfig", "ipconfig", "nmcli")}
ROUTE = "   route to: default\ndestination: default\n    gateway: 192.168.1.1\n  interface: en0\n      flags: <UP>\n"
HOME = "en0: flags=8863<UP,BROADCAST> mtu 1500\n\teflags=4080000<NOAUTOIPV6LL>\n\tinet 192.168.1.7 netmask 0xffffff00\n"
PACKET = "op = BOOTREPLY\nvendor_specific (opaque): \n0000  41 4e 44 52  ANDR\n"


def mac(described: str, packet: str = PACKET) -> FakeMachine:
    said: dict[str, Ran | str] = {
        "/sbin/route -n get default": ROUTE,
        "/sbin/ifconfig -v en0": described,
        "/sbin/ipconfig getpacket en0": packet,
    }
    return FakeMachine(said, programs=PROGRAMS)


@pytest.mark.parametrize(
    ("described", "packet", "because"),
    [
        (HOME, PACKET, ""),
        (HOME.replace("NOAUTOIPV6LL", "NOAUTOIPV6LL,EXPENSIVE"), PACKET, "macOS marks it as expensive"),
        (HOME.replace("NOAUTOIPV6LL", "EXPENSIVE,CONSTRAINED"), PACKET, "Low Data Mode is on"),
        (HOME.replace("192.168.1.7", "172.20.10.4"), PACKET, "it is an iPhone's hotspot"),
        (HOME, "vendor_specific (string): ANDROID_METERED\n", "it is an Android phone's hotspot"),
        (HOME.replace("en0", "INEXPENSIVE"), PACKET, ""),
    ],
)
def test_a_mac(described: str, packet: str, because: str) -> None:
    assert metered_because(mac(described, packet)) == because


def test_a_mac_that_tells_nothing() -> None:
    assert metered_because(FakeMachine()) == ""
    offline = FakeMachine({"/sbin/route -n get default": Ran(("route",), 1, "", "not in table")}, programs=PROGRAMS)
    assert metered_because(offline) == ""


@pytest.mark.parametrize(("said", "metered"), [("yes (guessed)\n", True), ("yes\n", True), ("no (guessed)\n", False)])
def test_linux(said: str, metered: bool) -> None:
    routes = "Iface\tDestination\tGateway\nwlan0\t00000000\t0102A8C0\t0003\n"
    machine = FakeMachine(
        {"/sbin/nmcli -g GENERAL.METERED device show wlan0": said},
        system="Linux",
        programs=PROGRAMS,
        files={"/proc/net/route": routes},
    )
    assert bool(metered_because(machine)) is metered
    assert metered_because(FakeMachine(system="Linux", programs=PROGRAMS)) == ""
