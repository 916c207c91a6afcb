"""The rehearsal as a person runs it: a child process in an empty home, its NDJSON read as it comes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.breakers.patient import Patient, patient
from tests.support import json_lines
from tests.support.paths import CHECKOUT

TIMEOUT_S = 240
Json = dict[str, Any]


@dataclass(frozen=True)
class Ended:
    """A command that ended: exit code (None: killed by us), its NDJSON, its standard error."""

    code: int | None
    lines: list[Json]
    err: str

    @property
    def report(self) -> Json:
        assert self.lines, self.err
        return self.lines[-1]

    def step(self, name: str) -> Json:
        found: Json = next(step for step in self.report["steps"] if step["name"] == name)
        return found


@dataclass
class Tool:
    """`python -m provision` in one home."""

    home: Path
    environ: dict[str, str] = field(default_factory=dict)
    folder: Path | None = None
    """The current folder; where the home lies, unless it is named."""

    def env(self) -> dict[str, str]:
        return {**os.environ, "PYTHONPATH": str(CHECKOUT), **self.environ}

    def argv(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "provision", *words, "--home", str(self.home)]

    def run(self, *words: str) -> Ended:
        """Run to the end."""
        ended = self.until(lambda _: False, *words, "--json")
        json_lines.check_all(ended.lines, ended.code)
        return ended

    def text(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run to the end, as a person without `--json`."""
        return subprocess.run(
            self.argv(*words),
            env=self.env(),
            cwd=self.folder or self.home.parent,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
        )

    def until(self, stop: Callable[[Json], bool], *words: str, sign: signal.Signals = signal.SIGKILL) -> Ended:
        """Run until an event for which `stop` is true, then send `sign` to the tool alone."""
        process = subprocess.Popen(
            self.argv(*words), env=self.env(), cwd=self.folder or self.home.parent, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True, start_new_session=True,
        )  # fmt: skip
        lines: list[Json] = []
        assert process.stdout is not None
        assert process.stderr is not None
        try:
            for line in process.stdout:
                lines.append(json.loads(line))
                if stop(lines[-1]):
                    process.send_signal(sign)
                    break
            out, err = process.communicate(timeout=TIMEOUT_S)
            lines += [json.loads(line) for line in out.splitlines()]
        finally:
            process.kill()
        return Ended(process.returncode, lines, err)


@pytest.fixture(scope="session")
def uv_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Packages from the index are fetched once for all tests of a worker."""
    return tmp_path_factory.mktemp("uv-cache")


@pytest.fixture
def tool(tmp_path: Path, uv_cache: Path) -> Iterator[Tool]:
    """The tool in an empty home; its server is stopped afterwards."""
    found = Tool(tmp_path / "a home", {"UV_CACHE_DIR": str(uv_cache)})
    yield found
    if found.home.is_dir():
        subprocess.run(found.argv("stop"), env=found.env(), capture_output=True, timeout=60, check=False)


@pytest.fixture(scope="session")
def hospital(tmp_path_factory: pytest.TempPathFactory, uv_cache: Path) -> Iterator[Patient]:
    """One real home for all that break one; its path has spaces, Korean and a picture in it."""
    folder = tmp_path_factory.mktemp("breakers")
    with patient(folder, {**os.environ, "UV_CACHE_DIR": str(uv_cache)}, "우리 집 🏠") as made:
        yield made


@pytest.fixture
def sick(hospital: Patient) -> Iterator[Patient]:
    """That home, healthy; what is done to it is undone."""
    yield hospital
    hospital.restore()
