"""Commands of the tool in forks of one process that has loaded it: a new process takes a second to load it each time.

`python forked.py` reads orders from standard input, a JSON object a line, and answers each with another. The fork leads
a session of its own, so that all that it started and that did not leave it can be ended with it.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

LIMIT_S = 120.0
"""On a machine that does other things too; what hangs, hangs for ever."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended: its exit code (None: it was still at work at the limit), all that it said, the seconds."""

    argv: tuple[str, ...]
    code: int | None
    said: str
    seconds: float

    @property
    def fault(self) -> str:
        """What no command may do, empty where it did none of it."""
        if self.code is None:
            return f"still at work after {LIMIT_S:.0f} s"
        if "Traceback (most recent call last)" in self.said:
            return "a traceback"
        return "" if self.code in (0, 1, 2) else f"exit code {self.code}"


class Forks:
    """The process that has the tool loaded."""

    def __init__(self, orders: IO[str], answers: IO[str]) -> None:
        self._orders, self._answers = orders, answers

    def run(self, *words: str | Path) -> Ended:
        """One command, to its end."""
        argv = tuple(map(str, words))
        self._orders.write(json.dumps(argv) + "\n")
        self._orders.flush()
        told = json.loads(self._answers.readline())
        return Ended(argv, told["code"], told["said"], told["seconds"])


@contextmanager
def forks(folder: Path, environ: Mapping[str, str]) -> Iterator[Forks]:
    """Have it; `folder` is where its forks work and write what they say."""
    argv = [sys.executable, __file__]
    with subprocess.Popen(
        argv, cwd=folder, env=dict(environ), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        yield Forks(server.stdin, server.stdout)
        server.stdin.close()


# -- the process ------------------------------------------------------------------------------------------------


def _load() -> None:
    """What commands load when they need it."""
    import importlib

    for name in (
        "git",
        "msgspec",
        "psutil",
        "requests",
        "rich.live",
        "rich.table",
        "typer",
        "yaml",
        "PIL.Image",
        "websocket",
        "huggingface_hub",
        "provision.cli.app",
        "provision.cli.commands.all",
        "provision.cli.commands.doctor",
        "provision.cli.commands.report",
        "provision.cli.commands.status",
        "provision.cli.commands.generate",
        "provision.cli.commands.bench",
        "provision.cli.commands.rollback",
        "provision.steps.registry",
        "provision.rehearsal.world",
    ):
        importlib.import_module(name)


def _in_fork(argv: Sequence[str], said: Path) -> None:
    os.setsid()
    out = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(out, 1)
    os.dup2(out, 2)
    sys.argv = ["provision", *argv]
    code: object = 1
    try:
        from provision.cli.app import main

        main()
        code = 0
    except SystemExit as ended:
        code = ended.code
    except BaseException:  # noqa: BLE001  (as Python itself ends)
        import traceback

        traceback.print_exc()
    with suppress(Exception):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code if isinstance(code, int) else 1)


def _wait(pid: int) -> int | None:
    """The exit code; None where the limit was passed and it was killed."""
    deadline = time.monotonic() + LIMIT_S
    while time.monotonic() < deadline:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    with suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return None


def _serve() -> None:
    _load()
    said = Path(f"said-{os.getpid()}.txt").absolute()
    for line in sys.stdin:
        started = time.monotonic()
        pid = os.fork()
        if pid == 0:
            _in_fork(json.loads(line), said)
        code = _wait(pid)
        answer = {"code": code, "said": said.read_text("utf-8", "replace"), "seconds": time.monotonic() - started}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    _serve()
