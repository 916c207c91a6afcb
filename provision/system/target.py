"""Another Mac: its name (`macos-14-arm64-py312-16gb`), and what its system programs would print."""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from provision.command import ours
from provision.errors import CommandMissing, UsageError
from provision.system.machine import Argv, Machine, Memory, Ran
from provision.system.parsers import GIB
from provision.system.processes import Process, Running

EXAMPLE = ours("plan", "--for", "macos-14-arm64-py312-16gb")
SYSTEMS = {"ventura": 13, "sonoma": 14, "sequoia": 15, "tahoe": 26, "goldengate": 27}
"""macOS by its marketing name. Apple went from 15 to 26 (WWDC, June 2025); 27 is Golden Gate (pytorch issue 187280)."""
MACOS = (13, 14, 15, 26, 27)
PYTHONS = (10, 14)
CHIP = re.compile(r"(m[1-9])[ -]?(pro|max|ultra)?")
ARM, INTEL = ("arm64", "aarch64", "silicon", "applesilicon"), ("x86_64", "x86", "x64", "amd64", "intel")


@dataclass(frozen=True, slots=True)
class Target:
    """A Mac and the Python of its ComfyUI: `macos` is (14, 0), `arch` arm64 or x86_64, `python` 3.13.

    `chip` is Apple's name for it, without one the first of its kind.
    """

    macos: tuple[int, int]
    arch: str = "arm64"
    chip: str = ""
    python: str = "3.13"
    memory_gib: int = 16

    @property
    def name(self) -> str:
        """As `--for` takes it."""
        chip = self.chip.removeprefix("Apple ").replace(" ", "").lower() if self.chip else self.arch
        return f"macos-{self._system}-{chip}-py{self.python.replace('.', '')}-{self.memory_gib}gb"

    @property
    def says(self) -> str:
        """For people: `macOS 14, arm64, Python 3.12, 16 GB`."""
        return f"macOS {self._system}, {self.chip or self.arch}, Python {self.python}, {self.memory_gib} GB"

    @property
    def _system(self) -> str:
        major, minor = self.macos
        return f"{major}.{minor}" if minor else str(major)

    @property
    def platform(self) -> str:
        """As uv's `--python-platform` names it."""
        return f"{'aarch64' if self.arch == 'arm64' else 'x86_64'}-apple-darwin"


def parse_target(text: str, *, macos_min: str = "14.0", python: str = "3.13") -> Target:
    """A target from words in any order; by default the oldest macOS that will do, arm64, 16 GB. Raises UsageError."""
    system, _, minor = macos_min.partition(".")
    found: dict[str, object] = {}
    for part in _words(text):
        for key, value in _meaning(part, text).items():
            if found.setdefault(key, value) != value and not (key == "arch" and "chip" in found):
                raise _refused(f"{text!r} has two values of one kind ({part!r}).")
            if key == "arch" and found["arch"] != value:
                raise _refused(f"{text!r} has a chip and a different architecture.")
    base = Target((int(system), int(minor.split(".")[0] or 0)), python=python)
    return replace(base, **found)  # type: ignore[arg-type]


def _words(text: str) -> list[str]:
    """The parts of a target; those of two words (`macos-14`, `m3-max`) are joined."""
    joined = re.sub(r"\b(macos|mac|os|python|py|cp)[-_ ]+(?=\d)", r"\1", text.strip().lower())
    joined = re.sub(r"\b(m\d)[-_ ]+(?=(?:pro|max|ultra)\b)", r"\1", joined)
    joined = re.sub(r"\bapple[-_ ]+(?=silicon\b|m\d)", "", joined)
    joined = re.sub(r"\b(macos|mac)[-_ ]+(?=[a-z])", "", joined)
    joined = re.sub(r"\bgolden[-_ ]+gate\b", "goldengate", joined)
    return [word for word in re.split(r"[-, /]+", joined) if word]


def _meaning(word: str, text: str) -> dict[str, object]:
    """The field and value that a word names. Raises UsageError."""
    if found := re.fullmatch(r"(?:macos|mac|os)(\d+)(?:\.(\d+))?(?:\.\d+)?", word):
        return {"macos": _system(int(found[1]), int(found[2] or 0), text)}
    if word in SYSTEMS:
        return {"macos": (SYSTEMS[word], 0)}
    if word in (*ARM, *INTEL):
        return {"arch": "arm64" if word in ARM else "x86_64"}
    if found := CHIP.fullmatch(word):
        tier = f" {found[2].capitalize()}" if found[2] else ""
        return {"arch": "arm64", "chip": f"Apple {found[1].upper()}{tier}"}
    if found := re.fullmatch(r"(?:python|py|cp)3\.?(\d{1,2})", word):
        return {"python": _python(int(found[1]), text)}
    if found := re.fullmatch(r"(\d{1,4})(?:gb|gib|g)", word):
        if not int(found[1]):
            raise _refused(f"{text!r} has no memory.")
        return {"memory_gib": int(found[1])}
    raise _refused(f"Unknown target {text!r}: {word!r} is not a macOS version, chip, Python or memory size.")


def _system(major: int, minor: int, text: str) -> tuple[int, int]:
    if major not in MACOS:
        skipped = " (Apple went from 15 to 26)" if MACOS[2] < major < MACOS[3] else ""
        raise _refused(f"{text!r} names macOS {major}; {', '.join(map(str, MACOS))} are known{skipped}.")
    return major, minor


def _python(minor: int, text: str) -> str:
    if not PYTHONS[0] <= minor <= PYTHONS[1]:
        raise _refused(f"{text!r} names Python 3.{minor}; 3.{PYTHONS[0]} to 3.{PYTHONS[1]} are known.")
    return f"3.{minor}"


def _refused(says: str) -> UsageError:
    return UsageError(says, hint=EXAMPLE)


class TargetMachine(Machine):
    """The target as checks see it: its sysctl and sw_vers (as recorded in tests/facts) and its memory, nothing else."""

    def __init__(self, target: Target) -> None:
        self.environ: Mapping[str, str] = {}
        self.system, self.arch = "Darwin", target.arch
        self.stopping = threading.Event()
        self.target = target

    def which(self, name: str) -> Path | None:
        return None

    def run(self, argv: Argv, **how: object) -> Ran:
        words = tuple(str(word) for word in argv)
        answers = {"sysctl": self._sysctl, "sw_vers": self._sw_vers}
        answer = answers.get(Path(words[0]).name)
        return Ran(words, 127) if answer is None else Ran(words, 0, answer())

    def _sysctl(self) -> str:
        target = self.target
        lines = [f"hw.memsize: {target.memory_gib * GIB}"]
        if target.arch == "arm64":
            lines += ["hw.optional.arm64: 1", "sysctl.proc_translated: 0"]
        name = target.chip or ("Apple silicon" if target.arch == "arm64" else "Intel(R) Core(TM)")
        return "\n".join([*lines, f"machdep.cpu.brand_string: {name}", "kern.hv_vmm_present: 0", ""])

    def _sw_vers(self) -> str:
        major, minor = self.target.macos
        return f"ProductName:\t\tmacOS\nProductVersion:\t\t{major}.{minor}\nBuildVersion:\t\tany build\n"

    def spawn(self, argv: Argv, **how: object) -> int:
        raise CommandMissing(f"{argv[0]} is not available: {self.target.says} is another machine.", hint=EXAMPLE)

    def process(self, pid: int) -> Process | None:
        return None

    def end_process(self, process: Process, **how: object) -> None:
        """Nothing runs there."""

    def running(self, script: str) -> list[Running]:
        return []

    def listener(self, port: int) -> Process | None:
        return None

    def port_is_free(self, port: int) -> bool:
        return True

    def lan_address(self) -> str | None:
        return None

    def disk_free_bytes(self, path: Path) -> int:
        raise OSError("The target's disk is not available.")

    def memory(self) -> Memory | None:
        return Memory(self.target.memory_gib * GIB, None)

    def resident_bytes(self, pid: int) -> int | None:
        return None

    def read_text(self, path: str | Path) -> str | None:
        return None

    def refusal(self, path: Path) -> int:
        return 0

    def file_flags(self, path: Path) -> int:
        return 0
