"""What starts ComfyUI at login, as launchd and systemd read it, and how they are told of it."""

from __future__ import annotations

import os
import plistlib
import shlex
from pathlib import Path
from types import ModuleType

import pytest

from provision.errors import CommandFailed
from provision.system import launchd, systemd
from provision.system.local_machine import LocalMachine
from provision.system.login_item import LoginItem

HOMES = ["/Users/a/provision", '/Volumes/Big disk/50% "off" $HOME/it\'s \\n', "/home/우리 집 🏠/p"]
KEEPERS = [launchd, systemd]


def item(home: str) -> LoginItem:
    words = ("launch", "--wait", "--plain", "--home", home)
    return LoginItem((f"{home}/bin/provision",), words, home, "an-id", f"{home}/logs/login.log", "/opt/x y:/bin")


@pytest.mark.parametrize("home", HOMES)
@pytest.mark.parametrize("keeper", KEEPERS)
def test_what_is_written_is_read(keeper: ModuleType, home: str) -> None:
    assert keeper.read(keeper.written(item(home))) == item(home)


@pytest.mark.parametrize("keeper", KEEPERS)
@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x00" * 100,
        b"<plist><dict><key>ProgramArguments</key></dict></plist>",
        plistlib.dumps({"ProgramArguments": ["/bin/sh", "-c", "launch"]}),
        plistlib.dumps(["launch", "--home", "/x"]),
        b"[X-Provision]\nItem={}\n",
        b"[X-Provision]\nItem={" + b"[" * 10_000 + b"}\n",
    ],
)
def test_a_strangers_file_is_none_of_ours(keeper: ModuleType, data: bytes) -> None:
    assert keeper.read(data) is None


def test_two_homes_have_two_items() -> None:
    assert len({item(home).name for home in HOMES}) == len(HOMES)


def test_launchd_starts_it_again_only_after_a_crash() -> None:
    agent = plistlib.loads(launchd.written(item(HOMES[0])))
    assert agent["ProgramArguments"] == [f"{HOMES[0]}/bin/provision", *item(HOMES[0]).words]
    assert (agent["RunAtLoad"], agent["KeepAlive"]) == (True, {"Crashed": True})
    assert agent["ThrottleInterval"] >= 60
    assert agent["StandardErrorPath"] == f"{HOMES[0]}/logs/login.log"


@pytest.mark.parametrize("home", HOMES)
def test_systemd_reads_each_word_as_it_is(home: str) -> None:
    [line] = [each for each in systemd.written(item(home)).decode().splitlines() if each.startswith("ExecStart=")]
    command = line.removeprefix("ExecStart=").replace("%%", "%").replace("$$", "$")  # what its specifiers come to
    assert tuple(shlex.split(command)) == (*systemd.ANY_NAME, *item(home).argv)


# -- macOS --------------------------------------------------------------------------------------------------------


class Mac(LocalMachine):
    """This machine with macOS's name, and a launchctl that writes down what it is told."""

    def __init__(self, folder: Path, bootstrap: str) -> None:
        super().__init__({"PATH": f"{folder}:{os.environ['PATH']}", "HOME": str(folder)})
        self.system, self.told = "Darwin", folder / "told"
        program = folder / "launchctl"
        program.write_text(f'#!/bin/sh\necho "$*" >> {self.told}\n[ "$1" = bootout ] && exit 3\n{bootstrap}\n')
        program.chmod(0o755)
        self.waited = 0.0

    def sleep(self, seconds: float) -> None:
        self.waited += seconds


def test_launchd_is_told_again_while_it_removes_the_old_one(tmp_path: Path) -> None:
    at = Mac(tmp_path, f"[ $(grep -c bootstrap {tmp_path}/told) -lt 3 ] && exit 5; exit 0")
    launchd.begin(at, item("/h"), tmp_path / "x.plist")
    name, domain = item("/h").name, f"gui/{os.getuid()}"
    assert at.told.read_text().splitlines() == [
        f"bootout {domain}/{name}",
        *[f"bootstrap {domain} {tmp_path}/x.plist"] * 3,
    ]
    assert at.waited == 2 * launchd.AGAIN_S


def test_what_launchd_refuses_is_an_error_with_its_words(tmp_path: Path) -> None:
    at = Mac(tmp_path, 'echo "Bootstrap failed: 125: Domain does not support specified action" >&2; exit 125')
    with pytest.raises(CommandFailed, match="125: Domain does not support"):
        launchd.begin(at, item("/h"), tmp_path / "x.plist")


def test_an_agent_is_unloaded_and_removed(tmp_path: Path) -> None:
    at, file = Mac(tmp_path, "exit 0"), tmp_path / "x.plist"
    file.touch()
    launchd.end(at, item("/h"), file)
    assert at.told.read_text() == f"bootout gui/{os.getuid()}/{item('/h').name}\n"
    assert not file.exists()


def test_without_systemd_that_is_said(tmp_path: Path) -> None:
    at = LocalMachine({"PATH": str(tmp_path), "HOME": str(tmp_path)})
    with pytest.raises(CommandFailed, match=r"no systemd runs for this user \(systemctl is missing\)"):
        systemd.begin(at, item("/h"), tmp_path / "x.service")
