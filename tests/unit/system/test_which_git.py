"""Which git may be run: any but Apple's stub, and that one only with the tools behind it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from provision.errors import CommandMissing
from provision.system import git_program, which_git
from provision.system.git_program import environment, run_git
from provision.system.local_machine import LocalMachine
from provision.system.machine import Ran
from provision.system.which_git import FoundGit, find_git, without_stubs
from tests.support.fake_machine import FakeMachine
from tests.support.paths import FACTS

STUB, BREW, CONDA = "/usr/bin/git", "/opt/homebrew/bin/git", "/opt/conda/bin/git"
OWN = "/Library/Developer/CommandLineTools/usr/bin/git"
XCRUN = "/Library/Developer/CommandLineTools/usr/bin/xcrun"
SELECT = "/usr/bin/xcode-select -p"
TEXTS = {"clt-missing": "git/missing", "clt-stale": "git/stale", "xcode-license": "git/license"}


def recorded(name: str) -> Ran:
    file, _, record = name.partition("/")
    told = json.loads((FACTS / f"{file}.json").read_text(encoding="utf-8"))
    found = next(each for each in told if each["name"] == record)
    return Ran(tuple(found["command"]), found["code"], found["out"], found["err"])


def mac(tools: str, *programs: str, path: str = "") -> FakeMachine:
    """A Mac whose `xcode-select -p` answers so, with these programs; `git` is the first of them."""
    said: dict[str, Ran | str] = {
        SELECT: recorded(f"xcode_select/{tools}"),
        f"{STUB} --version": recorded("git/missing"),
    }
    said |= {f"{git} --version": recorded("git/homebrew") for git in (BREW, CONDA, OWN)}
    names = {name: name for name in programs} | {"git": programs[0]}
    return FakeMachine(said, programs=names, environ={"PATH": path})


def runs_of_the_stub(machine: FakeMachine) -> list[str]:
    return [line for line in machine.ran if line.startswith(STUB)]


@pytest.mark.parametrize(
    ("tools", "trouble"), [("missing", "clt-missing"), ("gone", "clt-stale"), ("xcode", "clt-stale")]
)
def test_the_stub_alone_is_no_git(tools: str, trouble: str) -> None:
    machine = mac(tools, STUB)
    found = find_git(machine)
    assert (found.path, found.trouble, found.usable) == (None, trouble, False)
    assert runs_of_the_stub(machine) == []


@pytest.mark.parametrize("tools", ["missing", "gone", "xcode"])
@pytest.mark.parametrize("other", [BREW, CONDA, OWN])
def test_another_git_counts_wherever_it_is(tools: str, other: str) -> None:
    machine = mac(tools, STUB, other, path="/usr/bin:/opt/conda/bin")
    assert find_git(machine) == FoundGit(Path(other), (2, 53, 0), said="git version 2.53.0")
    assert runs_of_the_stub(machine) == []


def test_the_first_on_the_path_is_taken_without_a_look_at_apples_tools() -> None:
    machine = mac("missing", CONDA, STUB, path="/opt/conda/bin:/usr/bin")
    assert find_git(machine).path == Path(CONDA)
    assert machine.ran == [f"{CONDA} --version"]


def test_a_link_to_the_stub_is_the_stub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (apples := tmp_path / "apples").mkdir()
    (apples / "git").touch()
    (link := tmp_path / "git").symlink_to(apples / "git")
    monkeypatch.setattr(which_git, "STUB_FOLDER", apples)
    machine = mac("missing", str(link))
    assert find_git(machine).trouble == "clt-missing"
    assert machine.ran == [SELECT]


def test_with_the_tools_apples_git_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = mac("command-line-tools", STUB, XCRUN)
    machine.commands[f"{STUB} --version"] = recorded("git/apple-155")
    assert find_git(machine).usable
    machine.commands[f"{STUB} --version"] = recorded("git/license")
    assert find_git(machine).trouble == "xcode-license"


XCODE, XCODES = "/Applications/Xcode.app/Contents/Resources/LicenseInfo", "/Library/Preferences/com.apple.dt.Xcode"
XCODES_XCRUN = "/Applications/Xcode.app/Contents/Developer/usr/bin/xcrun"
NO_SUCH = Ran((), 1, "", "The domain/default pair of (com.apple.dt.Xcode, IDELastGMLicenseAgreedTo) does not exist")


def xcode(license: str, agreed: str, agreed_beta: str = "") -> FakeMachine:
    """A Mac with Xcode, whose license and those that were agreed to are called so; empty where nothing tells."""
    machine = mac("xcode", STUB, XCODES_XCRUN)
    asked = {f"{XCODE} licenseID": license, f"{XCODES} IDELastGMLicenseAgreedTo": agreed}
    asked |= {f"{XCODES} IDELastBetaLicenseAgreedTo": agreed_beta}
    machine.commands |= {
        f"/usr/bin/defaults read {key}": f"{value}\n" if value else NO_SUCH for key, value in asked.items()
    }
    machine.commands[f"{STUB} --version"] = recorded("git/apple-155")
    return machine


@pytest.mark.parametrize(("agreed", "beta"), [("", ""), ("EA1647", ""), ("EA1647", "EA1700")])
def test_a_license_that_nobody_agreed_to_is_known_without_a_run_of_git(agreed: str, beta: str) -> None:
    machine = xcode("EA1881", agreed, beta)
    assert find_git(machine).trouble == "xcode-license"
    assert runs_of_the_stub(machine) == []


@pytest.mark.parametrize(
    ("license", "agreed", "beta"),
    [("EA1881", "EA1881", ""), ("EA1881", "", "EA1881"), ("EA999", "EA1881", ""), ("", "", "")],
)
def test_xcodes_git_is_run_where_the_license_is_agreed_to_or_not_told(license: str, agreed: str, beta: str) -> None:
    machine = xcode(license, agreed, beta)
    assert find_git(machine).usable
    assert len(runs_of_the_stub(machine)) == 1


def test_beside_a_mac_it_is_the_git_on_path_and_none_is_none() -> None:
    linux = FakeMachine({f"{STUB} --version": recorded("git/debian-12")}, system="Linux", programs={"git": STUB})
    assert find_git(linux).usable
    assert find_git(FakeMachine(system="Linux")) == FoundGit()


def test_uv_sees_no_stub_where_they_are_stubs() -> None:
    path = "/opt/conda/bin:/usr/bin:/bin:/usr/bin/"
    assert without_stubs(mac("missing", STUB, path=path)) == {"PATH": "/opt/conda/bin:/bin"}
    assert without_stubs(mac("gone", STUB, path=path)) == {"PATH": "/opt/conda/bin:/bin"}
    assert without_stubs(mac("command-line-tools", STUB, XCRUN, path=path)) == {}
    assert without_stubs(mac("missing", STUB, path="/opt/conda/bin")) == {}
    assert without_stubs(FakeMachine(system="Linux", environ={"PATH": path})) == {}


# -- the door to git, on a Mac that lost its tools ------------------------------------------------------------------


class AsAMac(LocalMachine):
    """This computer, which says that it is a Mac."""

    def __init__(self, environ: Mapping[str, str] | None = None) -> None:
        super().__init__(environ)
        self.system = "Darwin"


@pytest.mark.parametrize("trouble", TEXTS)
def test_gits_door_does_not_run_the_stub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trouble: str) -> None:
    said, log, apples = recorded(TEXTS[trouble]), tmp_path / "log", tmp_path / "bin"
    apples.mkdir()
    (tmp_path / "said").write_text(said.err, encoding="utf-8")
    program(apples / "git", f'echo "$*" >>{log}\n/bin/cat {tmp_path / "said"} >&2\nexit {said.code}')
    select = recorded("xcode_select/missing") if trouble == "clt-missing" else Ran((), 0, f"{tmp_path}/clt\n")
    program(apples / "xcode-select", f'printf "%s" "{select.out}"; exit {select.code}')
    if trouble == "xcode-license":
        program(tmp_path / "clt/usr/bin/xcrun", "exit 69")
    monkeypatch.setattr(which_git, "STUB_FOLDER", apples)
    monkeypatch.setattr(which_git, "XCODE_SELECT", (str(apples / "xcode-select"), "-p"))
    monkeypatch.setattr(which_git, "ELSEWHERE", ())
    monkeypatch.setattr("provision.system.local_machine.LocalMachine", AsAMac)
    monkeypatch.setattr("provision.system.local_machine.EXTRA_PATH", ())
    monkeypatch.setenv("PATH", str(apples))
    git_program._found.cache_clear()
    for _ in range(3):
        with pytest.raises(CommandMissing, match="license" if trouble == "xcode-license" else "Command Line Tools"):
            run_git(("version",), environment())
    runs = log.read_text(encoding="utf-8").splitlines() if log.exists() else []
    assert set(runs) <= ({"--version"} if trouble == "xcode-license" else set())  # which opens no window


def program(path: Path, body: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{body}\n", encoding="utf-8")
    path.chmod(0o755)


def test_gitpython_runs_no_git_when_it_is_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import subprocess
    import sys

    program(tmp_path / "git", f'echo "$*" >>{tmp_path / "log"}\nexit 1')
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin")
    words = "from provision.system.git_program import _git_class; print(_git_class().__name__)"
    told = subprocess.run([sys.executable, "-c", words], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "Git"
    assert not (tmp_path / "log").exists()
