"""ComfyUI at login and open to the network: asked, remembered, shown, undone; all commands know that server."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from provision.core.choices import read_choices
from provision.system.local_machine import LocalMachine
from tests.e2e.conftest import Ended, Tool
from tests.support.paths import CHECKOUT
from tests.support.processes import eventually, gone

PERSON = ["unshare", "--user", "--map-user=1000", "--map-group=1000"] if os.geteuid() == 0 else []
"""Root is refused: who runs the tests as root is somebody else in a namespace."""
SYSTEMCTL = """\
#!{python}
# As systemd: `enable --now` starts what the unit says, once, and `disable --now` ends that process alone.
import json, os, pathlib, signal, subprocess, sys
here = pathlib.Path(__file__).parent
with (here / "told").open("a") as told:
    told.write(" ".join(sys.argv[2:]) + "\\n")
pid = here / "pid"
if sys.argv[2:4] == ["enable", "--now"] and not pid.exists():
    unit = pathlib.Path.home() / ".config/systemd/user" / sys.argv[4]
    item = json.loads(unit.read_text().split("Item=")[1])
    environ = {{**os.environ, "PATH": item["path"]}}
    log = open(item["log"], "ab")
    argv = item["program"] + item["words"]
    pid.write_text(str(subprocess.Popen(argv, env=environ, stdout=log, stderr=log, start_new_session=True).pid))
if sys.argv[2:4] == ["disable", "--now"] and pid.exists():
    try:
        os.kill(int(pid.read_text()), signal.SIGTERM)
    except ProcessLookupError:
        pass
    pid.unlink()
"""


class Place:
    """A home of a person whose systemd is a stand-in."""

    def __init__(self, tool: Tool, folder: Path) -> None:
        self.tool, self.folder = tool, folder
        folder.mkdir()
        program = folder / "systemctl"
        program.write_text(SYSTEMCTL.format(python=sys.executable))
        program.chmod(0o755)
        provision = folder / "provision"
        provision.write_text(f'#!/bin/sh\nPYTHONPATH={CHECKOUT} exec {sys.executable} -m provision "$@"\n')
        provision.chmod(0o755)
        person = folder / "person"
        person.mkdir()
        self.environ = {
            "PATH": f"{folder}:{os.environ['PATH']}",
            "HOME": str(person),
            "PROVISION_CALLED_AS": str(provision),
        }
        self.tool = replace(tool, environ={**tool.environ, **self.environ})

    def run(self, *words: str) -> Ended:
        return self.tool.run(*words)

    def person(self, *words: str) -> subprocess.CompletedProcess[str]:
        """As somebody who is not root; without `--json`."""
        argv = [*PERSON, *self.tool.argv(*words)]
        return subprocess.run(argv, env=self.tool.env(), text=True, capture_output=True, check=False, timeout=120)

    @property
    def units(self) -> list[Path]:
        return sorted((self.folder / "person" / ".config" / "systemd" / "user").glob("*.service"))

    @property
    def server(self) -> dict[str, Any]:
        status = self.run("status").report["server"]
        assert isinstance(status, dict)
        return status

    @property
    def watch(self) -> int:
        """The process that systemd started, once it watches the server."""
        log = self.tool.home / "logs" / "login.log"
        assert eventually(lambda: log.is_file() and "ComfyUI: http" in log.read_text())
        return int((self.folder / "pid").read_text())


@pytest.fixture
def at(rehearsed: Tool, tmp_path: Path) -> Iterator[Place]:
    place = Place(rehearsed, tmp_path / "systemd")
    yield place
    if place.units:
        assert place.run("launch", "--no-login").code == 0
    place.run("stop")


def finding(at: Place, id: str) -> dict[str, Any] | None:
    found = at.run("doctor", "--only", id).step("server")["findings"]
    return next((each for each in found if each["id"] == id), None)


def test_it_starts_at_login_and_is_known_to_all_commands(at: Place) -> None:
    started = at.person("launch", "--at-login")
    assert started.returncode == 0, started.stderr
    assert "launch --home" in started.stdout
    assert (at.folder / "told").read_text().split("\n")[:2] == ["daemon-reload", f"enable --now {at.units[0].name}"]
    first = at.server
    assert (first["state"], first["at_login"], first["lan_url"]) == ("up", True, None)
    assert finding(at, "login-on") is not None
    os.kill(first["pid"], signal.SIGKILL)
    assert eventually(lambda: at.server["state"] == "up" and at.server["pid"] != first["pid"])
    watch = at.watch
    stopped = at.run("stop")
    assert (stopped.code, stopped.report["changed"]) == (0, True)
    assert eventually(lambda: gone(watch))
    assert at.server["state"] == "down"
    assert "It starts again when you log in" in at.tool.text("stop").stdout
    undone = at.run("launch", "--no-login")
    assert (undone.code, undone.report["changed"], at.units) == (0, True, [])
    assert at.run("launch", "--no-login").report["changed"] is False
    assert at.server["state"] == "down"


def test_what_was_closed_stays_closed_after_a_crash(at: Place) -> None:
    assert at.person("launch", "--at-login", "--lan", "--yes").returncode == 0
    assert at.watch
    assert at.run("launch", "--no-lan").code == 0
    closed = at.server
    os.kill(closed["pid"], signal.SIGKILL)
    assert eventually(lambda: at.server["state"] == "up" and at.server["pid"] != closed["pid"])
    assert "0.0.0.0" not in json.loads((at.tool.home / "state" / "server.json").read_text())["argv"]


def test_what_is_undone_leaves_the_server_alone(at: Place) -> None:
    assert at.person("launch", "--at-login").returncode == 0
    pid = at.server["pid"]
    assert at.run("launch", "--no-login").code == 0
    assert (at.server["pid"], at.server["at_login"]) == (pid, False)


def test_without_systemd_nothing_is_left(at: Place) -> None:
    (at.folder / "systemctl").write_text("#!/bin/sh\necho Failed to connect to bus: No medium found >&2; exit 1\n")
    refused = at.person("launch", "--at-login")
    assert refused.returncode == 1
    assert "no systemd runs for this user (Failed to connect to bus: No medium found)" in refused.stderr
    assert at.units == []


def test_root_is_refused(at: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    argv = [*(["unshare", "--user", "--map-root-user"] if os.geteuid() else []), *at.tool.argv("launch")]
    for flag in ("--at-login", "--lan"):
        refused = subprocess.run([*argv, flag, "--yes"], env=at.tool.env(), text=True, capture_output=True, check=False)
        assert (refused.returncode, at.units) == (2, [])
        assert f"{flag} does not work as root" in refused.stderr


def test_an_item_that_is_not_right_is_found_and_written_again(at: Place) -> None:
    assert at.person("launch", "--at-login").returncode == 0
    [unit] = at.units
    right = unit.read_text()
    for wrong in (right.replace("RestartSec=60", "RestartSec=1"), right.replace('/provision"', '/gone"')):
        unit.write_text(wrong)
        found = finding(at, "login-stale")
        assert found is not None
        assert found["verdict"] == "fixable"
        assert at.run("doctor", "--fix", "--yes", "--only", "login-stale").code == 0
        assert finding(at, "login-stale") is None
        assert unit.read_text() == right


def test_a_home_that_was_moved_takes_its_item_along(at: Place) -> None:
    assert at.person("launch", "--at-login").returncode == 0
    watch = at.watch
    at.run("stop")
    assert eventually(lambda: gone(watch))
    [before] = at.units
    moved = at.tool.home.with_name("moved")
    at.tool.home.rename(moved)
    there = replace(at.tool, home=moved)
    try:
        [found] = [each for each in there.run("doctor").step("server")["findings"] if each["id"] == "login-stale"]
        assert str(at.tool.home) in found["message"]
        there.run("doctor", "--fix", "--yes", "--only", "login-stale")
        [after] = at.units
        assert after.name != before.name
        assert str(moved) in after.read_text()
    finally:
        there.run("stop")
        moved.rename(at.tool.home)
    [left] = [each for each in at.run("doctor").step("server")["findings"] if each["id"].startswith("login-")]
    assert left["id"] == "login-stale"
    assert there.run("launch", "--no-login").report["changed"] is True


def test_uninstall_removes_it(at: Place) -> None:
    assert at.person("launch", "--at-login").returncode == 0
    shown = at.tool.text("uninstall")
    assert "starts when you log in; that is undone too" in shown.stderr
    assert at.units
    assert at.run("uninstall", "--yes").code == 0
    assert at.units == []


def test_it_is_opened_after_a_yes_remembered_and_closed(at: Place) -> None:
    refused = at.person("launch", "--lan", "--json")
    assert json.loads(refused.stdout.splitlines()[-1])["error"]["code"] == "consent_needed"
    assert not read_choices(at.tool.home / "provision.toml").get("lan")
    opened = at.person("launch", "--lan", "--yes")
    assert opened.returncode == 0, opened.stderr
    assert "lan is now yes (was no)." in opened.stderr
    address = LocalMachine().lan_address()
    if address is not None:  # a machine in no network says so
        server = at.server
        assert server["lan_url"] == f"http://{address}:{server['port']}"
        assert f"On your network: {server['lan_url']}" in opened.stdout
        socket.create_connection((address, server["port"]), timeout=10).close()
        assert "launch --no-lan" in opened.stdout.replace(f" --home '{at.tool.home}'", "")
    assert "0.0.0.0" in json.loads((at.tool.home / "state" / "server.json").read_text())["argv"]
    assert at.run("launch").report["changed"] is False
    assert "open to your network" in at.tool.text("stop").stdout
    closed = at.run("launch", "--no-lan")
    assert (closed.code, closed.report["lan_url"]) == (0, None)
    assert "127.0.0.1" in json.loads((at.tool.home / "state" / "server.json").read_text())["argv"]
    assert read_choices(at.tool.home / "provision.toml")["lan"] is False
