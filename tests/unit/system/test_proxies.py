"""A proxy that only System Settings know stands in the environment, with its exceptions."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from provision.system import proxies
from provision.system.child_process import child_env
from provision.system.local_machine import LocalMachine
from provision.system.machine import Ran
from provision.system.proxies import SCUTIL, parse_scutil_proxy, parse_scutil_script, proxy_for, with_system_proxies
from tests.support.fake_machine import FakeMachine

ON = """\
<dictionary> {
  ExceptionsList : <array> {
    0 : *.local
    1 : 169.254/16
    2 : intranet.example
  }
  ExcludeSimpleHostnames : 0
  FTPPassive : 1
  HTTPEnable : 1
  HTTPPort : 3128
  HTTPProxy : proxy.example
  HTTPSEnable : 1
  HTTPSPort : 3129
  HTTPSProxy : proxy.example
  SOCKSEnable : 0
  SOCKSPort : 1080
  SOCKSProxy : socks.example
}
"""
OFF = """\
<dictionary> {
  ExceptionsList : <array> {
    0 : *.local
    1 : 169.254/16
  }
  FTPPassive : 1
}
"""
SOCKS = ON.replace("Enable : 1", "Enable : 2").replace("SOCKSEnable : 0", "SOCKSEnable : 1")


def mac(out: str | Ran, **environ: str) -> FakeMachine:
    return FakeMachine({" ".join(SCUTIL): out}, environ=environ)


def test_what_system_settings_hold_is_what_programs_are_told() -> None:
    seen = with_system_proxies(mac(ON, NO_PROXY="mine.example"))
    assert seen["HTTPS_PROXY"] == seen["https_proxy"] == "http://proxy.example:3129"
    assert seen["http_proxy"] == "http://proxy.example:3128"
    assert "all_proxy" not in seen
    exceptions = "mine.example,localhost,127.0.0.1,::1,.local,169.254.0.0/16,intranet.example"
    assert seen["NO_PROXY"] == seen["no_proxy"] == exceptions
    assert proxy_for("https://huggingface.co/x", seen) == "http://proxy.example:3129"
    assert proxy_for("https://mirror.local/x", seen) == ""
    assert proxy_for("https://intranet.example/x", seen) == ""


@pytest.mark.parametrize(
    ("more", "script"),
    [
        (
            "  ProxyAutoConfigEnable : 1\n  ProxyAutoConfigURLString : http://firm.example/proxy.pac\n",
            "http://firm.example/proxy.pac",
        ),
        ("  ProxyAutoConfigEnable : 0\n  ProxyAutoConfigURLString : http://firm.example/proxy.pac\n", ""),
        ("  ProxyAutoDiscoveryEnable : 1\n", "one that the network names (WPAD)"),
        ("", ""),
    ],
)
def test_a_script_that_chooses_proxies(more: str, script: str) -> None:
    assert parse_scutil_script(f"{OFF.removesuffix('}' + chr(10))}{more}}}\n") == script


def test_a_socks_proxy_is_for_all() -> None:
    assert parse_scutil_proxy(SOCKS)["ALL_PROXY"] == "socks5h://socks.example:1080"
    assert proxy_for("https://huggingface.co/x", with_system_proxies(mac(SOCKS))) == "socks5h://socks.example:1080"


@pytest.mark.parametrize("out", [OFF, "", "No such key\n", Ran(SCUTIL, 1), Ran(SCUTIL, None)])
def test_without_one_nothing_changes(out: str | Ran) -> None:
    assert with_system_proxies(mac(out, HOME="/h")) == {"HOME": "/h"}


@pytest.mark.parametrize("name", ["HTTPS_PROXY", "http_proxy", "ALL_PROXY"])
def test_what_the_environment_names_comes_first_and_nobody_is_asked(name: str) -> None:
    machine = mac(ON, **{name: "http://mine.example:1", "no_proxy": "corp.example"})
    exceptions = "corp.example,localhost,127.0.0.1,::1"
    assert with_system_proxies(machine) == {
        name: "http://mine.example:1",
        "no_proxy": exceptions,
        "NO_PROXY": exceptions,
    }
    machine.environ = {name: "http://mine.example:1", "no_proxy": "*"}
    assert with_system_proxies(machine)["NO_PROXY"] == "*"
    assert machine.ran == []
    assert with_system_proxies(FakeMachine(system="Linux")) == {}


def test_system_settings_are_asked_once_and_only_when_a_proxy_is_looked_for() -> None:
    machine = mac(ON, HOME="/h", NO_COLOR="1")
    machine.environ = with_system_proxies(machine)
    assert machine.environ.get("NO_COLOR") == "1"
    assert "HF_TOKEN" not in machine.environ
    assert machine.ran == []
    assert child_env(machine.environ, {})["https_proxy"] == "http://proxy.example:3129"
    assert proxy_for("https://huggingface.co/x", machine.environ) == "http://proxy.example:3129"
    assert machine.ran == [" ".join(SCUTIL)]


def test_scutil_itself_is_started_without_asking_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A child that looks at its environment, on a machine whose environment is looked at when a child starts."""
    (scutil := tmp_path / "scutil").write_text(f"#!/bin/sh\ncat <<'END'\n{ON}END\n")
    scutil.chmod(0o755)
    monkeypatch.setattr(proxies, "SCUTIL", (str(scutil), "--proxy"))
    machine = LocalMachine({"PATH": os.defpath})
    machine.system = "Darwin"
    machine.environ = with_system_proxies(machine)
    assert "https_proxy=http://proxy.example:3129" in machine.run(["env"]).out.splitlines()


def test_a_proxy_as_gnome_names_it() -> None:
    assert proxy_for("https://hub.example/x", {"all_proxy": "socks://127.0.0.1:1080/"}) == "socks5://127.0.0.1:1080/"
