"""A state of a machine: what stands in the person's folder, variables and shell, and what must come of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PATIENCE_S = 240
ALL = ("all", "--rehearse", "--yes")
DOCTOR = ("doctor",)
NO_MAC = frozenset({"hw-not-mac", "hw-memory-low"})
"""What is said of any machine that runs these tests."""
BUGS = ("Traceback (most recent call last)", "This is a bug in provision")


@dataclass
class Place:
    """Where a state is set up: the person's folder (`HOME`), the home in it, and how the tool is called there."""

    folder: Path
    environ: dict[str, str]
    name: str = "a home"
    words: list[str] = field(default_factory=lambda: list(ALL))
    """The command that is tried before `doctor`."""
    around: list[str] = field(default_factory=list)
    """A program and its words that runs the tool, as `sh -c 'ulimit -n 64; exec "$@"' sh`."""
    later: ExitStack = field(default_factory=ExitStack)
    secret: str = ""
    """What may stand in no output."""
    untouched: Callable[[], object] = lambda: None
    """What may not change: the same value before and after."""

    @property
    def person(self) -> Path:
        """The person's own folder."""
        return self.folder / "person"

    @property
    def home(self) -> Path:
        """The home of provision."""
        return self.folder / self.name

    def give(self, environ: Mapping[str, str | None], files: Mapping[str, str]) -> None:
        """Set variables (None takes one away) and write files of the person; `{folder}` in both is this folder."""
        for name, value in environ.items():
            self.environ.pop(name, None)
            if value is not None:
                self.environ[name] = value.replace("{folder}", str(self.folder))
        for name, text in files.items():
            path = self.person / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text.replace("{folder}", str(self.folder)), encoding="utf-8")

    def program(self, name: str, script: str) -> None:
        """A program of the person's, found before all others; `script` is the shell's."""
        path = self.person / "bin" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
        path.chmod(0o755)
        if not self.environ["PATH"].startswith(str(path.parent)):
            self.environ["PATH"] = f"{path.parent}:{self.environ['PATH']}"

    def shell(self, script: str) -> None:
        """Call the tool from a shell with this before it."""
        self.around += ["sh", "-c", f'{script}\nexec "$@"', "sh"]

    def run(self, *words: str, plain: bool = False) -> Ended:
        """The tool to its end, in this state (with `plain` from a shell that knows nothing of it)."""
        argv = [*([] if plain else self.around), sys.executable, "-I", "-m", "provision", *words]
        argv += ["--home", str(self.home), "--json"]
        environ = {name: value for name, value in os.environ.items() if name != "HOME"} if plain else self.environ
        ran = subprocess.run(
            argv, env=environ, cwd=self.folder, capture_output=True, timeout=PATIENCE_S, stdin=subprocess.DEVNULL
        )
        return Ended(ran.returncode, ran.stdout.decode("utf-8", "replace"), ran.stderr.decode("utf-8", "replace"))

    def made_world(self) -> None:
        """Have the rehearsal make its world beforehand, without the state."""
        self.run("plan", "--rehearse", plain=True)


@dataclass(frozen=True, slots=True)
class Told:
    """A sentence about what is wrong: its id (a finding's, or an error's code), and what is to be done."""

    id: str
    says: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Ended:
    """A command that ended."""

    code: int
    out: str
    err: str

    @property
    def report(self) -> dict[str, Any]:
        """The last line of the JSON; empty where standard output went elsewhere."""
        lines = [line for line in self.out.splitlines() if line.startswith("{")]
        return dict(json.loads(lines[-1])) if lines else {}

    def causes(self) -> list[Told]:
        """What is wrong and follows from nothing else: what failed, else what blocks, else what is to be mended."""
        steps = self.report.get("steps") or ()
        failed = [step["error"] for step in steps if step["error"]] or [self.report.get("error")]
        errors = [Told(error["code"], error["message"], str(error["hint"])) for error in failed if error]
        return errors or _found(steps, "blocked") or _found(steps, "fixable")

    def warnings(self) -> set[str]:
        """Ids of what is no fault and should be looked at."""
        steps = self.report.get("steps") or ()
        return {each.id for each in _found(steps, "warn")} - NO_MAC

    def named(self) -> set[str]:
        """Ids of all that is wrong, and of what follows from it."""
        steps = self.report.get("steps") or ()
        return {each["id"] for step in steps for each in step["findings"] if each["verdict"] not in ("ok", "warn")}


def _found(steps: Iterable[Mapping[str, Any]], verdict: str) -> list[Told]:
    found = [each for step in steps for each in step["findings"] if each["verdict"] == verdict]
    return [Told(each["id"], each["message"], str(each["fix"])) for each in found if not each["caused_by"]]


@dataclass(frozen=True, slots=True)
class Stops:
    """What is wrong is said: by an id, in words of which these are some; `doctor` names it by `seen`, if by any."""

    id: str
    words: tuple[str, ...] = ()
    seen: str = ""
    code: int = 1


@dataclass(frozen=True, slots=True)
class State:
    """A row. Without `stops` the picture comes, and `doctor` finds no fault and warns of nothing but `warns`."""

    name: str
    environ: Mapping[str, str | None] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    set_up: Callable[[Place], None] | None = None
    home: str = "a home"
    words: tuple[str, ...] = ALL
    stops: Stops | None = None
    warns: frozenset[str] = frozenset()
    needs: str = ""
    """A program without which the state cannot be made; `root` is a right, not a program."""

    @property
    def simple(self) -> bool:
        """Whether it may be set up together with others: variables and files alone."""
        return self.set_up is None and self.stops is None and self.words == ALL and self.home == "a home"
