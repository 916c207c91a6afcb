"""The rehearsal as a person runs it: a child process in an empty home, its NDJSON read as it comes."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any

import pytest

from tests.breakers.patient import Patient, patient
from tests.support import json_lines
from tests.support.forks import Fork, Forks
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
    loaded: Forks | None = None
    """What commands are forks of; None: each is loaded anew, as a person's is."""

    def env(self) -> dict[str, str]:
        return {**os.environ, "PYTHONPATH": str(CHECKOUT), **self.environ}

    def argv(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "provision", *words, "--home", str(self.home)]

    def start(self, words: Sequence[str], streams: tuple[int, int, int]) -> Fork | subprocess.Popen[bytes]:
        """Start a command with these as its standard input, output and error; in a session of its own."""
        return self.start_argv(self.argv(*words), streams)

    def start_argv(self, argv: list[str], streams: tuple[int, int, int]) -> Fork | subprocess.Popen[bytes]:
        """The same, which names its home or does not."""
        environ, folder = self.env(), self.folder or self.home.parent
        if self.loaded is not None and environ["PYTHONPATH"] == str(CHECKOUT):
            return self.loaded.start(argv[3:], environ, folder, streams)
        stdin, out, err = streams
        return subprocess.Popen(
            argv, env=environ, cwd=folder, stdin=stdin, stdout=out, stderr=err, start_new_session=True
        )

    def run(self, *words: str) -> Ended:
        """Run to the end."""
        ended = self.until(lambda _: False, *words, "--json")
        json_lines.check_all(ended.lines, ended.code)
        return ended

    def text(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run to the end, as a person without `--json`."""
        with Path(os.devnull).open("rb") as nothing, TemporaryFile() as out, TemporaryFile() as err:
            process = self.start(words, (nothing.fileno(), out.fileno(), err.fileno()))
            try:
                code = process.wait(TIMEOUT_S)
            finally:
                process.kill()
            return subprocess.CompletedProcess(words, code, _all_of(out), _all_of(err))

    def until(self, stop: Callable[[Json], bool], *words: str, sign: signal.Signals = signal.SIGKILL) -> Ended:
        """Run until an event for which `stop` is true, then send `sign` to the tool alone."""
        ours, theirs = os.pipe()
        lines: list[Json] = []
        with Path(os.devnull).open("rb") as nothing, TemporaryFile() as err, os.fdopen(ours, encoding="utf-8") as out:
            process = self.start(words, (nothing.fileno(), theirs, err.fileno()))
            os.close(theirs)
            try:
                for line in out:
                    lines.append(json.loads(line))
                    if stop(lines[-1]):
                        process.send_signal(sign)
                        break
                lines += [json.loads(line) for line in out]
                code = process.wait(TIMEOUT_S)
            finally:
                process.kill()
            return Ended(code, lines, _all_of(err))


def _all_of(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode("utf-8")


@pytest.fixture(scope="session")
def uv_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Packages from the index are fetched once for all tests of a worker."""
    return tmp_path_factory.mktemp("uv-cache")


@pytest.fixture
def tool(tmp_path: Path, uv_cache: Path, loaded: Forks) -> Iterator[Tool]:
    """The tool in an empty home; its server is stopped afterwards."""
    found = Tool(tmp_path / "a home", {"UV_CACHE_DIR": str(uv_cache)}, loaded=loaded)
    yield found
    if os.path.lexists(found.home / "state" / "server.json"):
        found.text("stop")


@pytest.fixture
def alone(tool: Tool) -> Tool:
    """The same, with each command loaded anew."""
    return replace(tool, loaded=None)


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory, uv_cache: Path, loaded: Forks) -> Tool:
    """A home that is whole, its server down; it is kept aside, as a home knows its place."""
    tool = Tool(tmp_path_factory.mktemp("rehearsed") / "a home", {"UV_CACHE_DIR": str(uv_cache)}, loaded=loaded)
    ended = tool.run("all", "--rehearse", "--stop")
    assert ended.code == 0, (ended.report, ended.err)
    shutil.move(tool.home, tool.home.parent.with_name("whole"))
    return tool


@pytest.fixture
def rehearsed(whole: Tool) -> Iterator[Tool]:
    """A copy of that home at its place, and of nothing else beside it."""
    subprocess.run(["cp", "-a", whole.home.parent.with_name("whole"), whole.home], check=True)
    yield replace(whole)
    if os.path.lexists(whole.home / "state" / "server.json"):
        whole.text("stop")
    for left in whole.home.parent.iterdir():
        shutil.rmtree(left) if left.is_dir() and not left.is_symlink() else left.unlink()


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
