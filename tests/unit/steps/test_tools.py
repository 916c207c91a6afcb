"""The tools step: what is asked for each backend, Apple's stubs, and installing after a yes."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from provision.command import Fix, program
from provision.core.finding import Finding, Verdict
from provision.core.home import Home
from provision.core.manifest import load_manifest
from provision.core.step import Context, Options
from provision.errors import CommandFailed, CommandMissing, ConsentNeeded
from provision.steps.tools.homebrew import install_with_brew
from provision.steps.tools.step import TOOLS, apply_tools, check_tools
from provision.system.machine import Ran
from tests.support.fake_machine import FakeMachine
from tests.support.findings import fixable
from tests.support.hints import said
from tests.support.paths import FACTS

XCODE_SELECT = "/usr/bin/xcode-select -p"
LAUNCHD = "/bin/launchctl managername"
CLT = "/Library/Developer/CommandLineTools"
XCRUN = f"{CLT}/usr/bin/xcrun"
STUB = {"git": "/usr/bin/git"}
BREW = {"brew": "/opt/homebrew/bin/brew"}
APPLE_GIT = {**STUB, XCRUN: XCRUN}


def recorded(name: str) -> Ran:
    file, record = name.split("/")
    for found in json.loads((FACTS / f"{file}.json").read_text(encoding="utf-8")):
        if found["name"] == record:
            return Ran(tuple(found["command"]), found["code"], found["out"], found["err"])
    raise KeyError(name)


def mac(programs: Mapping[str, str], commands: Mapping[str, str] | None = None) -> FakeMachine:
    """A Mac with these programs; `commands` are lines to the recordings that answer them."""
    answers = {"/usr/bin/git --version": "git/apple-154", XCODE_SELECT: "xcode_select/command-line-tools"}
    said = {line: recorded(name) for line, name in {**answers, **(commands or {})}.items()}
    return FakeMachine(said, programs=programs)


def linux(programs: Mapping[str, str], commands: Mapping[str, str] | None = None) -> FakeMachine:
    answers = {"/usr/bin/git --version": "git/debian-12"}
    said = {line: recorded(name) for line, name in {**answers, **(commands or {})}.items()}
    return FakeMachine(said, system="Linux", arch="x86_64", programs=programs)


@pytest.fixture(scope="module", autouse=True)
def _repository(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A home whose ComfyUI is a repository, for which git must be there."""
    PLACES.append(tmp_path_factory.mktemp("home"))
    (PLACES[-1] / "ComfyUI" / ".git").mkdir(parents=True)
    yield
    PLACES.clear()


PLACES: list[Path] = []


def context(machine: FakeMachine, backend: str = "auto", *, yes: bool = False) -> Context:
    return Context(machine, load_manifest("sdxl-turbo"), Home(PLACES[-1]), Options(backend=backend, yes=yes))


def look(machine: FakeMachine, backend: str = "auto") -> dict[str, Finding]:
    found = list(check_tools(context(machine, backend)))
    assert all(finding.fix for finding in found if finding.verdict is not Verdict.OK)
    return {finding.id: finding for finding in found}


def argv(finding: Finding) -> str:
    assert finding.fix
    return said(finding.fix.command)


# -- git ------------------------------------------------------------------------------------------------


def test_apples_git_is_found_after_a_look_at_its_tools() -> None:
    machine = mac({**APPLE_GIT, **BREW})
    found = look(machine)
    assert list(found) == ["git-ready"]
    assert found["git-ready"].says == "git 2.39.5."
    assert machine.ran == [XCODE_SELECT, "/usr/bin/git --version"]


def test_without_homebrew_nothing_is_wrong() -> None:
    found = look(mac(APPLE_GIT))
    assert found["brew-missing"].verdict is Verdict.OK


def test_homebrews_git_needs_no_command_line_tools() -> None:
    machine = mac({"git": "/opt/homebrew/bin/git", **BREW}, {"/opt/homebrew/bin/git --version": "git/homebrew"})
    assert look(machine)["git-ready"].facts["version"] == "2.53.0"
    assert XCODE_SELECT not in machine.ran


def test_the_stub_is_never_run_without_the_tools() -> None:
    machine = mac(STUB, {XCODE_SELECT: "xcode_select/missing"})
    found = look(machine)
    assert list(found) == ["clt-missing"]
    assert found["clt-missing"].verdict is Verdict.FIXABLE
    assert argv(found["clt-missing"]) == "xcode-select --install"
    assert {*machine.ran} == {XCODE_SELECT, LAUNCHD}


def test_tools_that_an_upgrade_took_away_are_stale() -> None:
    machine = mac(STUB, {XCODE_SELECT: "xcode_select/gone"})
    found = look(machine)["clt-stale"]
    assert found.verdict is Verdict.FIXABLE
    assert CLT in found.says
    assert argv(found) == "xcode-select --install"
    assert {*machine.ran} == {XCODE_SELECT, LAUNCHD}


@pytest.mark.parametrize("answer", ["xcode_select/xcode", "xcode_select/xcrun-refuses"])
def test_a_deleted_xcode_is_deselected(answer: str) -> None:
    found = look(mac(STUB, {XCODE_SELECT: answer}))["clt-stale"]
    assert "/Applications/Xcode.app" in found.says
    assert argv(found) == "sudo xcode-select --reset"


@pytest.mark.parametrize(
    ("answer", "want", "command"),
    [
        ("git/license", "xcode-license", "sudo xcodebuild -license"),
        ("git/license-old", "xcode-license", "sudo xcodebuild -license"),
        ("git/stale", "clt-stale", "xcode-select --install"),
        ("git/missing", "clt-missing", "xcode-select --install"),
    ],
)
def test_what_the_stub_itself_complains_of(answer: str, want: str, command: str) -> None:
    found = look(mac(APPLE_GIT, {"/usr/bin/git --version": answer}))
    assert found[want].verdict is (Verdict.BLOCKED if want == "xcode-license" else Verdict.FIXABLE)
    assert argv(found[want]) == command


def test_a_mac_without_git_installs_it_with_homebrew() -> None:
    found = look(mac(BREW))["git-missing"]
    assert found.verdict is Verdict.FIXABLE
    assert argv(found) == "brew install git"


def test_a_mac_without_git_and_homebrew_needs_apples_tools() -> None:
    found = look(mac({}))["git-missing"]
    assert found.verdict is Verdict.BLOCKED
    assert argv(found) == "xcode-select --install"


def test_an_old_git_is_told_with_both_versions() -> None:
    machine = linux({"git": "/usr/bin/git", "apt-get": "/usr/bin/apt-get", "sudo": "/usr/bin/sudo"})
    machine.commands["/usr/bin/git --version"] = "git version 1.8.3.1\n"
    found = look(machine)["git-old"]
    assert found.says == "git is 1.8.3.1; 2.32 or later is required."
    assert argv(found) == "sudo apt-get install -y git"


def test_a_git_that_is_none_says_what_it_said() -> None:
    machine = linux({"git": "/usr/bin/git", "apk": "/sbin/apk"})
    machine.commands["/usr/bin/git --version"] = Ran((), 127, "", "git: libpcre2-8.so.0: not found")
    found = look(machine)["git-missing"]
    assert "libpcre2" in found.says
    assert argv(found) == "apk add git"


def test_linux_is_given_the_command_of_its_package_manager() -> None:
    found = look(linux({"dnf": "/usr/bin/dnf"}))["git-missing"]
    assert found.verdict is Verdict.BLOCKED
    assert argv(found) == "dnf install -y git"
    assert argv(look(linux({}))["git-missing"]) == ""


# -- backends -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", ["auto", "hf", "http"])
def test_other_backends_ask_for_git_only(backend: str) -> None:
    machine = linux({"git": "/usr/bin/git"})
    assert list(look(machine, backend)) == ["git-ready"]
    assert machine.ran == ["/usr/bin/git --version"]


def test_the_git_lfs_backend_finds_git_lfs() -> None:
    found = look(mac({**APPLE_GIT, **BREW}, {"/usr/bin/git lfs version": "git_lfs/macos"}), "git-lfs")
    assert found["lfs-ready"].says == "git-lfs 3.7.1."


def test_the_git_lfs_backend_without_git_lfs() -> None:
    missing = {"/usr/bin/git lfs version": "git_lfs/missing"}
    brewed = look(mac({**APPLE_GIT, **BREW}, missing), "git-lfs")["lfs-missing"]
    assert (brewed.verdict, argv(brewed)) == (Verdict.FIXABLE, "brew install git-lfs")
    bare = look(mac(APPLE_GIT, missing), "git-lfs")["lfs-missing"]
    assert (bare.verdict, argv(bare)) == (Verdict.BLOCKED, "provision all --backend auto")
    programs = {"git": "/usr/bin/git", "apt-get": "/usr/bin/apt-get"}
    debian = look(linux(programs, missing), "git-lfs")["lfs-missing"]
    assert (debian.verdict, argv(debian)) == (Verdict.BLOCKED, "apt-get install -y git-lfs")
    assert debian.fix
    assert "--backend auto" in debian.fix.says


def test_git_lfs_is_not_asked_for_through_a_git_that_is_missing() -> None:
    assert list(look(linux({}), "git-lfs")) == ["git-missing"]


def test_the_wget_backend_finds_wget() -> None:
    programs = {"git": "/usr/bin/git", "wget": "/usr/bin/wget"}
    found = look(linux(programs, {"/usr/bin/wget --version": "wget/debian-12"}), "wget")
    assert found["wget-ready"].facts["version"] == "1.21.3"


def test_the_wget_backend_without_wget() -> None:
    brewed = look(mac({**APPLE_GIT, **BREW}), "wget")["wget-missing"]
    assert (brewed.verdict, argv(brewed)) == (Verdict.FIXABLE, "brew install wget")
    assert look(mac(APPLE_GIT), "wget")["wget-missing"].verdict is Verdict.BLOCKED


def test_busyboxs_wget_is_not_taken() -> None:
    programs = {"git": "/usr/bin/git", "wget": "/usr/bin/wget", "apk": "/sbin/apk"}
    found = look(linux(programs, {"/usr/bin/wget --version": "wget/busybox"}), "wget")["wget-missing"]
    assert found.says == "wget at /usr/bin/wget is not GNU's; the wget backend needs it."
    assert argv(found) == "apk add wget"


# -- installing -----------------------------------------------------------------------------------------

INSTALL = "/opt/homebrew/bin/brew install wget"
MISSING = fixable(
    "wget-missing", "wget", "wget is missing.", fix=Fix("Install it.", program("brew", "install", "wget"))
)


def brewing(answer: Ran | str = "==> Pouring wget\n") -> FakeMachine:
    return FakeMachine({INSTALL: answer}, programs=BREW)


def test_yes_installs_without_a_question() -> None:
    machine = brewing()
    install_with_brew(context(machine, "wget", yes=True), MISSING)
    assert machine.ran == [INSTALL]


def test_a_question_is_asked_and_its_answer_kept() -> None:
    asked: list[str] = []

    def agree(question: str) -> bool:
        asked.append(question)
        return True

    machine = brewing()
    install_with_brew(replace(context(machine, "wget"), consent=agree), MISSING)
    assert (asked, machine.ran) == (["Install wget with Homebrew?"], [INSTALL])


def test_a_no_installs_nothing_and_says_the_command() -> None:
    machine = brewing()
    with pytest.raises(ConsentNeeded, match="wget was not installed") as caught:
        install_with_brew(context(machine, "wget"), MISSING)
    assert said(caught.value.hint) == "Install it.   brew install wget"
    assert machine.ran == []


def test_homebrew_that_fails_is_quoted() -> None:
    with pytest.raises(CommandFailed, match="No space left on device"):
        install_with_brew(context(brewing(Ran((), 1, "", "No space left on device")), yes=True), MISSING)


def test_homebrew_that_went_away() -> None:
    with pytest.raises(CommandMissing):
        install_with_brew(context(FakeMachine(), yes=True), MISSING)


def test_the_step_can_apply_and_waits_for_the_hardware() -> None:
    assert TOOLS.apply is apply_tools
    assert TOOLS.needs == ("hardware",)
