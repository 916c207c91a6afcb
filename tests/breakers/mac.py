"""A healthy Mac, scripted with what programs of real ones said; what Homebrew and uv would install is written."""

from __future__ import annotations

import json
import re
import shutil
import struct
import sys
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

from provision.command import Fix
from provision.core.finding import Cost, Finding
from provision.core.home import Home
from provision.core.manifest import load_manifest
from provision.core.mending_plan import ask_beforehand
from provision.core.runner import run
from provision.core.step import Context, Options, Report, Step, with_looks
from provision.environment.packages import installed_versions
from provision.steps.hardware import step as hardware
from provision.steps.hardware.memory import MEMORY_FIT
from provision.steps.python_env.step import ASK
from provision.steps.registry import step_named
from provision.steps.tools.step import apply_tools, check_tools
from provision.steps.torch.choice import Choice
from provision.steps.torch.native_libraries import XATTR
from provision.steps.torch.proof import PROBE, prove
from provision.system.machine import Memory, Ran
from provision.system.parsers import GIB
from provision.system.which_git import XCODE_SELECT
from tests.support.fake_machine import FakeMachine
from tests.support.findings import fixable
from tests.support.paths import FACTS

SYSCTL, SW_VERS, VM_STAT, PMSET = (
    " ".join(argv) for argv in (hardware.SYSCTL, hardware.SW_VERS, hardware.VM_STAT, hardware.PMSET)
)
ARM64 = "/usr/sbin/sysctl -i hw.optional.arm64"
GIT, BREW = "/usr/bin/git", "/opt/homebrew/bin/brew"
XCRUN = "/Library/Developer/CommandLineTools/usr/bin/xcrun"
SITE = "lib/python3.12/site-packages"
ARM_PYTHON = struct.pack("<II", 0xFEEDFACF, 0x0100000C) + bytes(24)
"""How a program for Apple silicon begins (mach-o/loader.h, mach/machine.h)."""
POURED: Mapping[str, tuple[str, str]] = {
    "git": ("--version", "git/homebrew"),
    "git-lfs": ("lfs version", "git_lfs/macos"),
    "wget": ("--version", "wget/debian-12"),
}
"""What Homebrew brings: the words by which a program tells its version, and what was recorded of it."""
GOOD = {"torch": "2.15.0", "torchvision": "0.30.0"}
INDEX: Mapping[str, tuple[str, str]] = {
    "torch": ("torch", GOOD["torch"]),
    "torchvision": ("torchvision", GOOD["torchvision"]),
    "numpy<2": ("numpy", "1.26.4"),
    **{f"{name}=={version}": (name, version) for name, version in GOOD.items()},
}
"""What the package index has: the name and the version that uv takes for a wish."""
LOCKED = """
[[packages]]
name = "{name}"
version = "{version}"
wheels = [{{ url = "https://index.example/{name}-{version}-py3-none-any.whl", size = 1, hashes = {{ sha256 = "0" }} }}]
"""
"""A package in a pylock.toml as uv writes it."""
CLONE = ("/bin/cp", "-cpR")
SAID: Mapping[str, Any] = {
    "torchvision": GOOD["torchvision"],
    "torchaudio": None,
    "device": "mps",
    "mps_built": True,
    "mps_available": True,
    "size": "full",
    "skipped": [],
    "block": {"seconds": 0.02, "gflop": 30.0},
    "import_s": 1.2,
    "seconds": 3.4,
    "checks": [
        {"name": "attention, fp16", "error": 0.001, "bound": 0.01, "fault": "", "repeat": 0.0, "custom_nodes": False}
    ],
}
"""What the probe prints where torch computes right, but for torch's version."""


def recorded(name: str) -> Ran:
    """What a program said on a real machine."""
    file, record = name.split("/")
    told = json.loads((FACTS / f"{file}.json").read_text(encoding="utf-8"))
    found = next(each for each in told if each["name"] == record)
    return Ran(tuple(found["command"]), found.get("code", 0), found["out"], found.get("err", ""))


def answer(*, arch: str = "arm64", macos: str = "15.7") -> str:
    """What a Python tells of itself."""
    return json.dumps(["3.12.7", arch, "/opt/homebrew", "/venv", macos])


class Mac(FakeMachine):
    """A 16 GB M1 Pro with macOS 15, Apple's tools and Homebrew, and in its home an environment with a proven torch.

    `backend` and `sets` are what the person asks for; `packages` and `inside` lie in the environment; `python` and
    `probe` are what its Python and the probe of torch say.
    """

    def __init__(self) -> None:
        commands: dict[str, Ran | str] = {
            SYSCTL: recorded("sysctl/m1-pro-asked"),
            SW_VERS: recorded("sw_vers/m4-pro-15.7"),
            PMSET: recorded("pmset/laptop-off"),
            " ".join(XCODE_SELECT): recorded("xcode_select/command-line-tools"),
            f"{GIT} --version": recorded("git/apple-154"),
            ARM64: "hw.optional.arm64: 1\n",
        }
        programs = {"git": GIT, XCRUN: XCRUN, "brew": BREW}
        super().__init__(commands, memory=Memory(16 * GIB, 8 * GIB), programs=programs)
        self.backend, self.sets = "auto", ["torch.channel=stable", "torch.stable_index="]
        self.packages: dict[str, str] = dict(GOOD)
        self.inside: dict[str, bytes] = {}
        self.python, self.probe, self.quarantined = answer(), deepcopy(dict(SAID)), False

    def run(self, argv: Sequence[str | Path], *, on_line: Callable[[str], None] | None = None, **more: Any) -> Ran:
        words = tuple(str(word) for word in argv)
        if words[:2] == (BREW, "install"):
            self._pour(words[2])
            return Ran(words, 0, f"==> Pouring {words[2]}\n")
        if words == ("/usr/bin/xcode-select", "--install"):
            self.commands[" ".join(XCODE_SELECT)] = recorded("xcode_select/command-line-tools")
            self.programs[XCRUN] = XCRUN
            return Ran(words, 0)
        if Path(words[0]).name == "uv":
            return Ran(words, 0, self._uv(words[1:], on_line or print))
        if words[1:] == ("-I", "-B", "-c", ASK):
            return Ran(words, 0, self.python)
        if words[1:] == ("-I", str(PROBE)):
            torch = installed_versions(Path(words[0]).parents[1])["torch"]
            return Ran(words, 0, json.dumps({**self.probe, "torch": torch}))
        if words[:2] == CLONE:
            shutil.copytree(words[2], words[3], symlinks=True)
            return Ran(words, 0)
        if words[0] == XATTR:
            self.quarantined = self.quarantined and words[1] != "-dr"
            return Ran(words, int(words[1] == "-p" and not self.quarantined))
        return super().run(argv)

    def _pour(self, formula: str) -> None:
        program = "git" if formula == "git-lfs" else formula
        path = self.programs.get(program, f"/opt/homebrew/bin/{program}") if formula == "git-lfs" else ""
        self.programs[program] = path or f"/opt/homebrew/bin/{program}"
        words, said = POURED[formula]
        self.commands[f"{self.programs[program]} {words}"] = recorded(said)

    def _uv(self, words: Sequence[str], on_line: Callable[[str], None]) -> str:
        """What uv does and prints: `python find`, `venv ... FOLDER`, `pip compile ... FILE`, `pip install ...`."""
        if words[:2] == ("python", "find"):
            on_line(sys.executable)
        elif words[0] == "venv":
            make_environment(Path(words[-1]))
            self.python = answer()
        elif words[:2] == ("pip", "compile"):
            wishes = Path(words[-1]).read_text(encoding="utf-8").split()
            chosen = [INDEX.get(wish) or INDEX[re.split("[<>=]", wish)[0]] for wish in wishes]
            return "".join(LOCKED.format(name=name, version=version) for name, version in chosen)
        else:
            assert words[:3] == ("pip", "install", "--python"), words
            for wish in dict.fromkeys(word for word in words if word in INDEX):
                install(Path(words[3]).parents[1], *INDEX[wish])
        return ""

    def settle_in(self, ctx: Context) -> None:
        """Write the home as this Mac has it, with what the probe says as its proof."""
        ctx.home.prepare()
        make_environment(ctx.home.venv)
        (ctx.home.comfyui / ".git").mkdir(parents=True)  # which git alone can read
        for name, version in self.packages.items():
            install(ctx.home.venv, name, version)
        for name, content in self.inside.items():
            (ctx.home.venv / name).parent.mkdir(parents=True, exist_ok=True)
            (ctx.home.venv / name).write_bytes(content)
        prove(ctx, Choice("stable", (), ""), "stable")


def make_environment(prefix: Path) -> None:
    """An environment for Apple silicon, with nothing in it."""
    (prefix / SITE).mkdir(parents=True)
    (prefix / "bin").mkdir()
    (prefix / "bin" / "python").write_bytes(ARM_PYTHON)


def install(prefix: Path, name: str, version: str) -> None:
    """A package in place of another version of it, its own files written anew."""
    site = prefix / SITE
    for before in [*site.glob(f"{name}-*.dist-info"), *site.glob(name)]:
        shutil.rmtree(before)
    info = site / f"{name}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Name: {name}\nVersion: {version}\n", encoding="utf-8")


# -- looking ----------------------------------------------------------------------------------------------------


def _not_there(ctx: Context) -> list[Finding]:
    return [fixable("ckpt-missing", "model", "It is missing.", fix=Fix("Bring it."), cost=Cost(disk_bytes=7 * 10**9))]


MODEL = Step("models", (), _not_there)
STEPS = (
    with_looks(hardware.hardware_step((MODEL,)), MEMORY_FIT),
    Step("tools", needs=("hardware",), check=check_tools, apply=apply_tools),
    step_named("python_env"),
    step_named("torch"),
)
"""The steps that look at the machine itself, and at what is made for it alone."""


def look_at(mac: Mac, folder: Path, *, fix: bool = False) -> Report:
    """What `doctor` sees of them; with `fix` what `doctor --fix --yes` does of them."""
    home = Home(folder / "home")
    ctx = Context(mac, load_manifest("sdxl-turbo", mac.sets), home, Options(backend=mac.backend))
    if not home.venv.exists():
        mac.settle_in(ctx)
    seen = run(STEPS, ctx, apply=False)
    if not fix:
        return seen
    agreed = ask_beforehand(seen, lambda question: True)
    return run(STEPS, replace(ctx, options=replace(ctx.options, yes=True, agreed=agreed)), apply=True)
