"""What Linux cannot be: a healthy Mac, scripted with what programs of real ones said, broken in one way."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from provision.facts import GIB
from provision.finding import Finding, Fix, fixable
from provision.home import Home
from provision.machine import Memory, Ran
from provision.manifest import load_manifest
from provision.runner import run
from provision.step import Context, Options, Report, Step
from provision.steps import hardware
from provision.steps.python_env import ASK, PYTHON_ENV
from provision.steps.tools import XCODE_SELECT, apply_tools, check_tools
from tests.fake_machine import FakeMachine

FACTS = Path(__file__).parent.parent / "facts"
SYSCTL, SW_VERS, VM_STAT, PMSET = (
    " ".join(argv) for argv in (hardware.SYSCTL, hardware.SW_VERS, hardware.VM_STAT, hardware.PMSET)
)
ARM64 = "/usr/sbin/sysctl -i hw.optional.arm64"
GIT, BREW = "/usr/bin/git", "/opt/homebrew/bin/brew"
XCRUN = "/Library/Developer/CommandLineTools/usr/bin/xcrun"
POURED: Mapping[str, tuple[str, str]] = {
    "git": ("--version", "git/homebrew"),
    "git-lfs": ("lfs version", "git_lfs/macos"),
    "wget": ("--version", "wget/debian-12"),
}
"""What Homebrew brings: the words by which a program tells its version, and what was recorded of it."""


def recorded(name: str) -> Ran:
    """What a program said on a real machine."""
    file, record = name.split("/")
    told = json.loads((FACTS / f"{file}.json").read_text(encoding="utf-8"))
    found = next(each for each in told if each["name"] == record)
    return Ran(tuple(found["command"]), found.get("code", 0), found["out"], found.get("err", ""))


class Mac(FakeMachine):
    """A 16 GB M1 Pro with macOS 15, Apple's tools and Homebrew; `backend` is what the person asks for."""

    def __init__(self) -> None:
        commands: dict[str, Ran | str] = {
            SYSCTL: recorded("sysctl/m1-pro-asked"), SW_VERS: recorded("sw_vers/m4-pro-15.7"),
            PMSET: recorded("pmset/laptop-off"), " ".join(XCODE_SELECT): recorded("xcode_select/command-line-tools"),
            f"{GIT} --version": recorded("git/apple-154"), ARM64: "hw.optional.arm64: 1\n",
        }  # fmt: skip
        programs = {"git": GIT, XCRUN: XCRUN, "brew": BREW}
        super().__init__(commands, memory=Memory(16 * GIB, 8 * GIB), programs=programs)
        self.backend = "auto"
        self.python = '["3.12.7", "arm64", "/opt/homebrew", "/venv"]'

    def run(self, argv: Sequence[str | Path], **more: object) -> Ran:
        words = [str(word) for word in argv]
        if words[:2] == [BREW, "install"]:
            self._pour(words[2])
            return Ran(tuple(words), 0, f"==> Pouring {words[2]}\n")
        if words[1:] == ["-I", "-c", ASK]:
            return Ran(tuple(words), 0, self.python)
        return super().run(argv)

    def _pour(self, formula: str) -> None:
        program = "git" if formula == "git-lfs" else formula
        path = self.programs.get(program, f"/opt/homebrew/bin/{program}") if formula == "git-lfs" else ""
        self.programs[program] = path or f"/opt/homebrew/bin/{program}"
        words, said = POURED[formula]
        self.commands[f"{self.programs[program]} {words}"] = recorded(said)


def look_at(mac: Mac, folder: Path, *, fix: bool = False) -> Report:
    """The steps that look at the machine itself; with `fix` what `doctor --fix --yes` does of them."""
    home = Home(folder / "home")
    home.python.parent.mkdir(parents=True, exist_ok=True)
    home.python.touch()
    ctx = Context(mac, load_manifest("sdxl-turbo"), home, Options(backend=mac.backend, yes=True))
    tools = Step("tools", needs=("hardware",), check=check_tools, apply=apply_tools)
    return run((hardware.hardware_step((MODEL,)), tools, PYTHON_ENV), ctx, apply=fix)


def _not_there(ctx: Context) -> list[Finding]:
    return [fixable("ckpt-missing", "model", "It is missing.", fix=Fix("Bring it."), disk_bytes=7 * 10**9)]


MODEL = Step("models", (), _not_there)


@dataclass(frozen=True, slots=True)
class MacBreaker:
    """One way in which a Mac is not as it should be; `mends` where Homebrew can mend it."""

    id: str
    what: str
    break_it: Callable[[Mac], None]
    mends: bool

    @property
    def name(self) -> str:
        """Its row."""
        return f"{self.id}: {self.what}"


def breaks(id: str, *, mends: bool = False) -> Callable[[Callable[[Mac], None]], MacBreaker]:
    """Make a function a breaker; its docstring is what it does."""

    def make(function: Callable[[Mac], None]) -> MacBreaker:
        assert function.__doc__, function
        return MacBreaker(id, function.__doc__.strip().rstrip("."), function, mends)

    return make


# -- hardware ---------------------------------------------------------------------------------------------------


@breaks("hw-intel")
def be_an_intel(mac: Mac) -> None:
    """An Intel Mac."""
    mac.commands[SYSCTL], mac.arch = recorded("sysctl/intel"), "x86_64"
    mac.commands[ARM64] = ""
    mac.python = '["3.12.7", "x86_64", "/opt/homebrew", "/venv"]'


@breaks("os-too-old")
def keep_an_old_system(mac: Mac) -> None:
    """macOS 12.7."""
    mac.commands[SW_VERS] = recorded("sw_vers/runner-12.7")


@breaks("os27-psutil")
def break_psutil(mac: Mac) -> None:
    """A macOS whose memory psutil cannot read."""
    mac.commands |= {SW_VERS: recorded("sw_vers/m4-27"), VM_STAT: recorded("vm_stat/apple-silicon")}
    mac.scripted_memory = None


@breaks("mem-low")
def have_4_gib(mac: Mac) -> None:
    """4 GiB of memory."""
    mac.scripted_memory = Memory(4 * GIB, 2 * GIB)


@breaks("mem-8gb")
def have_8_gib(mac: Mac) -> None:
    """8 GiB of memory."""
    mac.scripted_memory = Memory(8 * GIB, 4 * GIB)


@breaks("mem-pressure")
def open_too_much(mac: Mac) -> None:
    """The memory is under pressure, and swapped out."""
    told = recorded("sysctl/m1-pro-asked").out + recorded("sysctl/pressure").out
    mac.commands[SYSCTL] = told


@breaks("low-power")
def save_power(mac: Mac) -> None:
    """Low Power Mode."""
    mac.commands[PMSET] = recorded("pmset/m1-on")


@breaks("disk-low")
def fill_the_disk(mac: Mac) -> None:
    """Less is free than the model takes."""
    mac.disk_free = 6 * 10**9


# -- tools ------------------------------------------------------------------------------------------------------


@breaks("git-missing", mends=True)
def have_no_git(mac: Mac) -> None:
    """No git, and Homebrew to bring it."""
    del mac.programs["git"]


@breaks("git-old", mends=True)
def have_an_old_git(mac: Mac) -> None:
    """A git of 2014, and Homebrew to bring another."""
    mac.programs["git"] = "/usr/local/bin/git"
    mac.commands["/usr/local/bin/git --version"] = "git version 1.8.3.1\n"


@breaks("clt-missing")
def have_no_tools(mac: Mac) -> None:
    """Apple's Command Line Tools were never installed."""
    mac.commands[" ".join(XCODE_SELECT)] = recorded("xcode_select/missing")


@breaks("clt-stale")
def lose_tools(mac: Mac) -> None:
    """An upgrade of macOS has removed Apple's tools."""
    del mac.programs[XCRUN]


@breaks("xcode-license")
def agree_to_nothing(mac: Mac) -> None:
    """Xcode's license was not agreed to."""
    mac.commands[f"{GIT} --version"] = recorded("git/license")


@breaks("lfs-missing", mends=True)
def have_no_lfs(mac: Mac) -> None:
    """The backend git-lfs is asked for, and there is none."""
    mac.backend = "git-lfs"
    mac.commands[f"{GIT} lfs version"] = recorded("git_lfs/missing")


@breaks("wget-missing", mends=True)
def have_no_wget(mac: Mac) -> None:
    """The backend wget is asked for, and there is none."""
    mac.backend = "wget"


@breaks("py-rosetta")
def run_under_rosetta(mac: Mac) -> None:
    """The environment's Python is for Intel."""
    mac.python = '["3.12.7", "x86_64", "/usr/local", "/venv"]'


BREAKERS = tuple(value for value in list(vars().values()) if isinstance(value, MacBreaker))
