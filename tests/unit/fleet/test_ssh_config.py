"""Host keys as OpenSSH shows them, and the lines for tunnels."""

from __future__ import annotations

from provision.fleet.messages import Outcome
from provision.fleet.record import MacResult
from provision.fleet.ssh_config import comfyui_port, fingerprint, parse_keys, tunnels
from provision.output.layout import plain_text

KEY = "AAAAC3NzaC1lZDI1NTE5AAAAIBOVlD8CAnbZyUFsPQ1tdOAkvQhnwYpZ8Rzw6WbBjGDK"


def test_only_keys_are_taken_of_what_a_host_shows() -> None:
    text = f"# mac1 SSH-2.0\n[mac1]:22 ssh-ed25519 {KEY}\nmac1 ssh-ed25519 \x1b[31m\nmac1 ssh-odd {KEY}\n" * 20
    found = parse_keys(text)
    assert set(found) == {("ssh-ed25519", KEY)}
    assert len(found) <= 8
    assert fingerprint(KEY).startswith("SHA256:")
    assert fingerprint("not base64") == ""


def test_a_tunnel_for_each_mac_to_the_port_that_its_report_named() -> None:
    macs = [
        MacResult("a", Outcome.OK, "", 1, url="http://127.0.0.1:8190"),
        MacResult("b", Outcome.OK, "", 1, url="http://evil:1"),
    ]
    assert [comfyui_port(each) for each in macs] == [8190, 8188]
    assert plain_text(list(tunnels(macs))).splitlines() == [
        "Host a",
        "    LocalForward 127.0.0.1:18188 127.0.0.1:8190",
        "Host b",
        "    LocalForward 127.0.0.1:18189 127.0.0.1:8188",
    ]
