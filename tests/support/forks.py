"""Commands of the tool in forks of one process that has loaded it: a new process takes half a second to load it.

`python forks.py SOCKET` reads orders from that socket: words, variables and a folder as JSON, with four files: the
three streams, and the pipe that is told the fork's id and how it ended. A fork is as `python -m provision` is: it leads
a session of its own, has these variables alone, and ends as Python ends.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn, TypedDict

LIMIT_S = 120.0
"""On a machine that does other things too; what hangs, hangs for ever."""
ORDER_MAX_BYTES = 1 << 17
NUMBER = struct.Struct("<i")
CHECKOUT = Path(__file__).parents[2]
LOADED = (
    *("git", "msgspec", "packaging.requirements", "psutil", "rich.live", "rich.table", "typer"),
    *("provision.cli.app", "provision.steps.registry", "provision.rehearsal.world"),
    *(
        f"provision.cli.commands.{name}"
        for name in ("all", "bench", "doctor", "generate", "report", "rollback", "status")
    ),
)
"""What commands load when they need it; nothing that reads the environment as it is loaded."""


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


class Order(TypedDict):
    """What a fork is told to be."""

    words: list[str]
    environ: dict[str, str]
    folder: str


class Fork:
    """A command at work, as `subprocess.Popen` has it."""

    def __init__(self, told: int) -> None:
        self._told = told
        self.returncode: int | None = None
        (self.pid,) = NUMBER.unpack(os.read(told, NUMBER.size))

    def wait(self, timeout: float | None = None) -> int:
        """The exit code, below 0 for a signal. Raises TimeoutExpired."""
        if self.returncode is None:
            if not select.select([self._told], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired("provision", timeout or 0)
            (self.returncode,) = NUMBER.unpack(os.read(self._told, NUMBER.size))
            os.close(self._told)
        return self.returncode

    def send_signal(self, sign: int) -> None:
        """Send it a signal, unless it is known to have ended."""
        if self.returncode is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, sign)

    def kill(self) -> None:
        """End it, and what it started and did not leave its session."""
        if self.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)


class Forks:
    """The process that has the tool loaded."""

    def __init__(self, link: socket.socket) -> None:
        self._link = link

    def start(
        self, words: Sequence[str], environ: Mapping[str, str], folder: Path, streams: tuple[int, int, int]
    ) -> Fork:
        """One command; `streams` are its standard input, output and error."""
        order: Order = {"words": list(words), "environ": dict(environ), "folder": str(folder)}
        told, tells = os.pipe()
        try:
            socket.send_fds(self._link, [json.dumps(order).encode()], [*streams, tells])
        finally:
            os.close(tells)
        return Fork(told)

    def run(
        self, words: Sequence[str | Path], environ: Mapping[str, str], folder: Path, limit_s: float = LIMIT_S
    ) -> Ended:
        """One command, to its end."""
        argv, started = tuple(map(str, words)), time.monotonic()
        with tempfile.TemporaryFile() as said, Path(os.devnull).open("rb") as nothing:
            fork = self.start(argv, environ, folder, (nothing.fileno(), said.fileno(), said.fileno()))
            try:
                code: int | None = fork.wait(limit_s)
            except subprocess.TimeoutExpired:
                fork.kill()
                fork.wait()
                code = None
            said.seek(0)
            return Ended(argv, code, said.read().decode("utf-8", "replace"), time.monotonic() - started)


@contextmanager
def forks() -> Iterator[Forks]:
    """Have it."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    environ = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
    argv = [sys.executable, __file__, str(theirs.fileno())]
    with ours, subprocess.Popen(argv, env=environ, cwd="/", pass_fds=[theirs.fileno()]) as server:
        theirs.close()
        try:
            yield Forks(ours)
        finally:
            ours.close()  # which ends it
            server.wait(LIMIT_S)


# -- the process ------------------------------------------------------------------------------------------------


def _load() -> None:
    import importlib

    for name in LOADED:
        importlib.import_module(name)


def _serve(link: socket.socket) -> Order:
    """Fork for each order, until there are no more; it returns in a fork."""
    while True:
        order, files, _, _ = socket.recv_fds(link, ORDER_MAX_BYTES, 4)
        if not order:
            sys.exit()
        if os.fork() == 0:
            link.close()
            *streams, told = files
            if pid := os.fork():
                _nurse(pid, streams, told)
            os.close(told)
            _be_started(streams)
            found: Order = json.loads(order)
            return found
        for file in files:
            os.close(file)
        with suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:  # a nurse that is done
                pass


def _nurse(pid: int, streams: Sequence[int], told: int) -> NoReturn:
    """Tell of a fork, and wait for it."""
    for stream in streams:
        os.close(stream)
    with suppress(BrokenPipeError):
        os.write(told, NUMBER.pack(pid))
        os.write(told, NUMBER.pack(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])))
    os._exit(0)


def _be_started(streams: Sequence[int]) -> None:
    """A session and streams as a new process has them."""
    os.setsid()
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
    for stream in set(streams) - {0, 1, 2}:
        os.close(stream)
    sys.stdin = open(0, encoding="utf-8", errors=sys.stdin.errors, closefd=False)  # noqa: SIM115
    sys.stdout = open(1, "w", encoding="utf-8", errors=sys.stdout.errors, closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", 1, "utf-8", "backslashreplace", closefd=False)  # noqa: SIM115


def main() -> None:
    """Serve; in each fork, be the tool."""
    import random
    import runpy

    sys.path.pop(0)  # the folder of this file
    _load()
    order = _serve(socket.socket(fileno=int(sys.argv[1])))
    os.chdir(order["folder"])
    os.environ.clear()
    os.environ.update(order["environ"])
    time.tzset()
    random.seed()
    sys.path.insert(0, order["folder"])
    sys.argv[1:] = order["words"]
    sys.orig_argv[:] = [sys.executable, "-m", "provision", *sys.argv[1:]]
    runpy.run_module("provision", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
