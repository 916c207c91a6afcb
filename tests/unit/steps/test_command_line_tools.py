"""Apple's Command Line Tools come by a window or by softwareupdate, within a limit, and fail in words."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from provision.core.events import Event, Note, Output
from provision.core.finding import Finding
from provision.core.home import Home
from provision.core.manifest import load_manifest
from provision.core.step import Context, Options
from provision.errors import CommandFailed, ConsentNeeded, NotSatisfied, ProvisionError
from provision.steps.tools import command_line_tools
from provision.steps.tools.command_line_tools import DOWNLOADS, IN_PROGRESS, LIMIT_S
from provision.steps.tools.step import apply_tools, check_tools
from provision.system.local_machine import LocalMachine
from provision.system.machine import Argv, Ran
from provision.system.windows import why_no_window
from tests.support.fake_machine import FakeMachine
from tests.support.hints import said

SELECT, INSTALL = "/usr/bin/xcode-select -p", "/usr/bin/xcode-select --install"
PGREP = "/usr/bin/pgrep -f Install Command Line Developer Tools"
CLT = "/Library/Developer/CommandLineTools"
GIT, XCRUN = "/usr/bin/git", f"{CLT}/usr/bin/xcrun"
NO_TOOLS = Ran((), 2, "", "xcode-select: error: unable to get active developer directory")


class WaitedFor(FakeMachine):
    """A Mac whose installer ends after `runs_s` of its clock, and leaves the tools or `leaves` none."""

    def __init__(self, runs_s: float, *, leaves: bool = True, asked: Ran | str = "") -> None:
        super().__init__({SELECT: NO_TOOLS, INSTALL: asked, PGREP: "77\n"}, programs={"git": GIT})
        self.now_s, self.runs_s, self.leaves = 0.0, runs_s, leaves

    def clock(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds
        if self.now_s >= self.runs_s and PGREP in self.commands:
            self.commands[PGREP] = Ran((), 1)
            if self.leaves:
                self.commands |= {SELECT: f"{CLT}\n", f"{GIT} --version": "git version 2.39.5 (Apple Git-154)\n"}
                self.programs[XCRUN] = XCRUN


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """One whose ComfyUI is a repository, for which git must be there."""
    (tmp_path / "home/ComfyUI/.git").mkdir(parents=True)
    return Home(tmp_path / "home")


def lacking(machine: FakeMachine | LocalMachine, home: Home, events: list[Event]) -> tuple[Context, Finding]:
    ctx = Context(machine, load_manifest("sdxl-turbo"), home, Options(yes=True), events.append)
    return ctx, next(found for found in check_tools(ctx) if found.id.startswith("clt-"))


def test_the_window_is_waited_for_until_the_tools_are_there(home: Home, events: list[Event]) -> None:
    mac = WaitedFor(700)
    ctx, lack = lacking(mac, home, events)
    apply_tools(ctx, lack)
    assert [found.id for found in check_tools(ctx)][:1] == ["git-ready"]
    assert mac.ran.count(INSTALL) == 1
    assert f"{GIT} --version" not in mac.ran[: mac.ran.index(PGREP)]
    notes = [event.says for event in events if isinstance(event, Note)]
    assert notes == [
        "Waiting for Apple's installer: click Install in its window ...",
        "Waiting for Apple's installer (5 of at most 60 minutes) ...",
        "Waiting for Apple's installer (10 of at most 60 minutes) ...",
    ]


def test_an_installer_that_ends_without_the_tools_leads_to_apples_page(home: Home, events: list[Event]) -> None:
    mac = WaitedFor(40, leaves=False)
    with pytest.raises(NotSatisfied, match="not currently available from the Software Update server") as caught:
        apply_tools(*lacking(mac, home, events))
    assert DOWNLOADS in said(caught.value.hint)
    assert mac.now_s < 60


def test_the_window_is_waited_for_an_hour_at_most(home: Home, events: list[Event]) -> None:
    mac = WaitedFor(10 * LIMIT_S)
    with pytest.raises(NotSatisfied, match="not done after 60 minutes"):
        apply_tools(*lacking(mac, home, events))
    assert mac.now_s < LIMIT_S + 10


def test_tools_that_are_damaged_are_to_be_removed_first(home: Home, events: list[Event]) -> None:
    told = 'xcode-select: note: Command line tools are already installed. Use "Software Update" in System Settings'
    with pytest.raises(CommandFailed, match="damaged") as caught:
        apply_tools(*lacking(WaitedFor(1, asked=Ran((), 1, "", told)), home, events))
    assert said(caught.value.hint).endswith(f"sudo rm -rf {CLT}")


def test_without_a_yes_nothing_is_started(home: Home, events: list[Event]) -> None:
    mac = WaitedFor(1)
    ctx, lack = lacking(mac, home, events)
    with pytest.raises(ConsentNeeded) as caught:
        apply_tools(replace(ctx, options=Options()), lack)
    assert said(caught.value.hint).endswith("xcode-select --install")
    assert INSTALL not in mac.ran


# -- where no window can be shown -----------------------------------------------------------------------------------


@pytest.mark.parametrize("manager", ["Background\n", "System\n", "LoginWindow\n", Ran((), 1, "", "no such domain")])
def test_a_session_without_a_screen_is_known_by_launchd(manager: Ran | str, home: Home, events: list[Event]) -> None:
    mac = WaitedFor(1)
    mac.commands["/bin/launchctl managername"] = manager
    assert why_no_window(mac)
    _, lack = lacking(mac, home, events)
    assert lack.fix is not None
    assert lack.consent is not None
    assert "xcode-select --install" not in said(lack.fix)
    assert "softwareupdate -i" in said(lack.fix)
    assert lack.consent.question.endswith("with softwareupdate and sudo?")


@pytest.mark.parametrize("name", ["SSH_CONNECTION", "SSH_CLIENT", "SSH_TTY"])
def test_over_ssh_nobody_sees_a_window_though_the_session_has_one(name: str) -> None:
    mac = FakeMachine(environ={name: "10.0.0.2 51000 10.0.0.3 22"})
    assert "SSH" in why_no_window(mac)


def test_without_a_terminal_no_window_is_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    mac = FakeMachine()
    assert why_no_window(mac) == ""
    monkeypatch.setattr(FakeMachine, "attended", lambda self: False)
    assert "terminal" in why_no_window(mac)


class PlayedBy(LocalMachine):
    """This computer as a Mac over SSH: what lies in `folder` answers for the system's programs."""

    def __init__(self, folder: Path) -> None:
        super().__init__({"SSH_TTY": "/dev/ttys001", "PATH": f"{folder}:/usr/bin:/bin"})
        self.system, self.folder = "Darwin", folder

    def which(self, name: str) -> Path | None:
        if name in (GIT, "git"):
            return Path(GIT)
        return Path(name) if name == XCRUN and (self.folder / "installed").exists() else None

    def run(self, argv: Argv, **how: object) -> Ran:  # type: ignore[override]
        words = [str(word).replace(IN_PROGRESS, str(self.folder / "in-progress")) for word in argv]
        words = [str(self.folder / Path(word).name) if word.startswith("/usr/bin/") else word for word in words]
        return super().run(words, **how)  # type: ignore[arg-type]


LISTED = """\
Software Update found the following new or updated software:
* Label: macOS 15.7
* Label: Command Line Tools for Xcode-16.4
* Label: Command Line Tools for Xcode-26.1
* Label: Command Line Tools for Xcode-9.2
"""


@pytest.fixture
def headless(tmp_path: Path) -> Callable[..., PlayedBy]:
    folder = tmp_path / "programs"

    def make(*, listed: str = LISTED, installs: str = "", password: bool = False) -> PlayedBy:
        def program(name: str, body: str) -> None:
            (folder / name).write_text(f"#!/bin/sh\n{body}\n", encoding="utf-8")
            (folder / name).chmod(0o755)

        folder.mkdir()
        here = shlex.quote(str(folder))
        no = "echo 'sudo: a password is required' >&2; exit 1"
        program("sudo", no if password else '[ "$1" = -n ] || exit 9; shift; exec "$@"')
        program("xcode-select", f"[ -e {here}/installed ] && echo {CLT} && exit; exit 2")
        program("git", "echo 'git version 2.39.5 (Apple Git-154)'")
        put = f"echo Downloaded {shlex.quote('Command Line Tools')}; touch {here}/installed"
        ran = f'echo "$*" >{here}/asked; [ -e {here}/in-progress ] || exit 8; {installs or put}'
        program("softwareupdate", f'if [ "$1" = -l ]; then echo {shlex.quote(listed)}; else {ran}; fi')
        return PlayedBy(folder)

    return make


def test_the_newest_tools_are_installed_and_what_is_done_is_shown(
    headless: Callable[..., PlayedBy], home: Home, events: list[Event]
) -> None:
    mac = headless()
    apply_tools(*lacking(mac, home, events))
    assert (mac.folder / "asked").read_text(encoding="utf-8") == "-i Command Line Tools for Xcode-26.1 --verbose\n"
    assert not (mac.folder / "in-progress").exists()
    assert [event.line for event in events if isinstance(event, Output)] == ["Downloaded Command Line Tools"]
    assert any(isinstance(event, Note) and "softwareupdate" in event.says for event in events)


@pytest.mark.parametrize(
    ("plays", "says", "hint"),
    [
        ({"listed": "No new software available."}, "does not have them now", DOWNLOADS),
        (
            {"installs": "echo 'Command Line Tools for Xcode: No such update'; exit 1"},
            "does not have them now",
            DOWNLOADS,
        ),
        (
            {"installs": 'echo "Can\'t connect to the Apple Software Update server (-1009)" >&2; exit 1'},
            "cannot be reached",
            "Connect to the internet",
        ),
        ({"installs": "echo 'Not enough free disk space'; exit 1"}, "disk is full", "df -h /"),
        ({"installs": "echo 'something else'; exit 3"}, "exited with 3:\nsomething else", DOWNLOADS),
        ({"installs": "echo Done."}, "ended well, and the tools are not there", DOWNLOADS),
        ({"password": True}, "administrator's password", "Run this yourself:"),
    ],
)
def test_each_failure_is_a_sentence(
    plays: dict[str, object],
    says: str,
    hint: str,
    headless: Callable[..., PlayedBy],
    home: Home,
    events: list[Event],
) -> None:
    mac = headless(**plays)
    with pytest.raises(ProvisionError) as caught:
        apply_tools(*lacking(mac, home, events))
    assert says in caught.value.message
    assert hint in said(caught.value.hint)
    assert not (mac.folder / "in-progress").exists()


def test_softwareupdate_has_a_limit(
    headless: Callable[..., PlayedBy], home: Home, events: list[Event], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command_line_tools, "LIMIT_S", 0.5)
    mac = headless(installs="exec sleep 60")
    with pytest.raises(CommandFailed, match="timed out after"):
        apply_tools(*lacking(mac, home, events))
