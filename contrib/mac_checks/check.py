"""A check, and what checks work with."""

from __future__ import annotations

import platform
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
IS_MAC = platform.system() == "Darwin"
MIB = 2**20


class Skipped(Exception):
    """A check that does not apply here, and why."""


@dataclass(frozen=True, slots=True)
class Bench:
    """What the checks work with: an empty folder, a Python with torch or None, whether what lasts may be changed."""

    folder: Path
    torch: str | None = None
    may_change: bool = False

    def python_with_torch(self) -> str:
        """Raises Skipped."""
        if self.torch is None:
            raise Skipped("no --torch PYTHON was given")
        return self.torch


@dataclass(frozen=True, slots=True)
class Check:
    """`run` returns the sentence of a success, and raises for a failure."""

    name: str
    run: Callable[[Bench], str]
    of_macs_alone: bool = True


def answer(*argv: str | Path, timeout_s: float = 60, env: Mapping[str, str] | None = None) -> tuple[int, str]:
    """A program's exit code, and what it says on both streams."""
    ran = subprocess.run(
        argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout_s, env=env, check=False
    )
    return ran.returncode, (ran.stdout + ran.stderr).strip()


def said(*argv: str | Path, timeout_s: float = 60) -> str:
    """What a program says on both streams. Raises AssertionError with it where the program fails."""
    code, text = answer(*argv, timeout_s=timeout_s)
    assert code == 0, f"`{' '.join(map(str, argv))}` ended with {code}: {in_one_line(text)[-600:]}"
    return text


def in_one_line(text: str) -> str:
    """A text for a line of the table."""
    return " / ".join(line.strip() for line in text.splitlines() if line.strip())
