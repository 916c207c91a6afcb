"""The program that works on the Macs: `python -c BOOT FOLDER`, a Job on standard input, messages on standard output.

It is a process of its own, as gevent changes how a process waits. A greenlet for each Mac connects, looks, installs the
tool and runs the command, all by pyinfra. Ours are the bounds: what a Mac says is cut to lines of a size, at a rate,
and a Mac that says nothing for too long is given up. Nothing can ask here: there is neither a terminal nor an input.
When the standard input is closed, every connection is, and with it the command at its other end is told to stop.
"""

from __future__ import annotations

import io
import logging
import os
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import gevent
import msgspec
from gevent.event import Event
from gevent.socket import wait_read
from pyinfra.api import Config, Inventory, State
from pyinfra.api.exceptions import ConnectError, NestedOperationError
from pyinfra.api.host import Host
from pyinfra.context import ctx_host, ctx_state
from pyinfra.operations import files, server

from provision.fleet.deploy import ALIVE, FOLDER, ProvisionLook, command_line, is_current, tool_installed
from provision.fleet.image import fetch_image
from provision.fleet.messages import (
    KEY_CHANGED,
    KEY_UNKNOWN,
    LINE_MAX_BYTES,
    Job,
    Look,
    Message,
    Outcome,
    Phase,
    Target,
)
from provision.fleet.refusal import refusal

CONNECT_S = 15
WATCH_S = 0.5
GIVE_S = 20
"""How long a Mac may take to begin to give."""
SAID_MAX = 300
BURST_BYTES, BYTES_PER_S = 8_000_000, 500_000
"""What a Mac may say at once, and a second; a run says 3 kB a second."""
HUB = "https://huggingface.co"
QUIET = ("look ", ALIVE)
"""Lines that are not for people."""
LINE_COST_BYTES = 400
"""As which a short line counts: it takes as long to read."""
FOR_PYINFRA_LINES = 200
"""Of a command's lines, those that pyinfra keeps; facts have fewer."""
UNREACHED = {
    "No host key for": KEY_UNKNOWN,
    "SSH host key error": KEY_CHANGED,
    "Authentication error": "It refuses this user or key.",
    "not resolve": "No such host.",
}
"""What pyinfra and paramiko say, and what it means."""


class TooMuch(Exception):
    """A Mac says more than any run does."""


class Worker:
    """One Mac at work."""

    def __init__(self, target: Target, host: Host, job: Job, out: int) -> None:
        self.target, self.host, self.job, self._out = target, host, job, out
        self.heard = self._began = time.monotonic()
        self.begun = False
        """Whether it is its turn."""
        self.said = ""
        """The last line that it said in words."""
        self.ended: Outcome | None = None
        self.done = Event()
        """Set once it has an outcome."""
        self.gives_at = ""
        """Where it gives its model to others."""
        self.takes_from = ""
        """Where another gives it."""
        self._ok = False
        self.code: int | None = None
        self._bytes = 0

    def tell(self, **values: Any) -> None:
        """Hand a message on."""
        line = msgspec.json.encode(Message(self.target.name, **values)) + b"\n"
        with suppress(BrokenPipeError):
            while line:
                line = line[os.write(self._out, line) :]

    @property
    def good(self) -> bool:
        """Whether the command there went well."""
        return self._ok

    # -- its life ----------------------------------------------------------------------------------------------------

    def run(self) -> None:
        """All of it, to an outcome; whatever happens here ends here."""
        outcome, says = Outcome.LOST, ""
        try:
            with ctx_host.use(self.host):
                outcome, says = self._work()
        except ConnectError as error:
            outcome, says = Outcome.DOWN, unreached(str(error.args[0]))
        except TooMuch as error:
            outcome, says = Outcome.WRONG, str(error)
        except NestedOperationError:
            alive = self.host.connector.client.get_transport().is_active()
            outcome = Outcome.FAILED if alive else Outcome.LOST
            says = self.said if alive else "The connection was lost."
        except Exception as error:  # noqa: BLE001  (of paramiko, pyinfra, sockets: one Mac's alone)
            says = f"{type(error).__name__}: {error}"
        self.end(outcome, says)
        if self.job.waves and self._ok:
            self._give()
        self.close()

    def end(self, outcome: Outcome, says: str) -> None:
        """Say how it went, once."""
        if self.ended is None:
            self.ended = outcome
            self.tell(outcome=outcome, says=says[:SAID_MAX], code=self.code)
            self.done.set()

    def _work(self) -> tuple[Outcome, str]:
        self.phase(Phase.CONNECTING)
        self.host.connect(show_errors=False, raise_exceptions=True)
        self._listen()
        self.phase(Phase.LOOKING)
        look: Look = self.host.get_fact(ProvisionLook, home=self.target.home)
        self.tell(look=look)
        if not look.home.startswith("/"):
            return Outcome.WRONG, "It does not say what it is."
        if why := refusal(look, self.job.wants):
            return why
        if self.job.kit:
            self._install(look)
        elif not look.tool:
            return Outcome.FAILED, "provision is not installed there."
        self.phase(Phase.RUNNING)
        self._run((*self.job.words, *self.target.args, *self._lock(look), *self._giver()))
        if self.job.images and self.ended is None:
            fetch_image(self.host, look, self.target, Path(self.job.images))
        return Outcome.LOST, self.said

    def _lock(self, look: Look) -> tuple[str, ...]:
        """The lock is sent, and named."""
        if not (lock := self.job.wants.lock):
            return ()
        there = f"{look.home}/{FOLDER}/provision.lock"
        files.put(src=lock, dest=there)
        return ("--locked", there)

    def _run(self, words: Sequence[str]) -> None:
        line = command_line(words, home=self.target.home, tied=True)
        with suppress(NestedOperationError):
            server.shell(commands=[line], _env=dict(self.target.env))

    def _giver(self) -> tuple[str, ...]:
        """Words that name who gives the model, and who has it too."""
        if not self.takes_from:
            return ()
        fallback = () if self.job.source.url else ("--endpoint", HUB)
        return ("--endpoint", self.takes_from, *fallback)

    def _give(self) -> None:
        """Offer the model to the next Macs, until this connection is closed."""
        client: Any = self.host.connector.client
        address = client.get_transport().getpeername()[0]
        with ctx_host.use(self.host), suppress(Exception):
            self._run(("serve", "--json", "--listen", f"[{address}]:0" if ":" in address else f"{address}:0"))

    def _install(self, look: Look) -> None:
        kit = Path(self.job.kit).read_bytes()
        if not is_current(look, kit):
            self.phase(Phase.SENDING)
            tool_installed(Watched(kit, self), look, self.target.env, self.job.source)

    def phase(self, phase: Phase) -> None:
        self.heard = time.monotonic()
        self.tell(phase=phase)

    def close(self) -> None:
        """End the connection, and with it what waits for it."""
        client = getattr(self.host.connector, "client", None)
        if client is not None:
            with suppress(Exception):
                client.close()

    # -- what it says --------------------------------------------------------------------------------------------

    def _listen(self) -> None:
        """Have every command of pyinfra's on this connection read by our bounds."""
        client: Any = self.host.connector.client

        def exec_command(command: str, get_pty: bool = False) -> tuple[Any, Any, Any]:
            channel = client.get_transport().open_session(timeout=CONNECT_S)
            channel.exec_command(command)
            return Held(), Lines(channel, self, stderr=False), Lines(channel, self, stderr=True)

        client.exec_command = exec_command

    def hear(self, line: str, size: int) -> None:
        """Take in a line. Raises TooMuch."""
        self.heard = time.monotonic()
        self._bytes += max(size, LINE_COST_BYTES)
        if self._bytes > BURST_BYTES + BYTES_PER_S * (self.heard - self._began):
            self.end(Outcome.WRONG, "It says more than any run does; the connection was closed.")
            self.close()
            raise TooMuch
        if line.startswith("{") and self.ended is not None:
            self.gives_at = self.gives_at or serving_at(line)
        elif line.startswith("{"):
            self._ok = self._ok or is_good(line)
            self.tell(line=line)
        elif line.strip() and not line.startswith(QUIET):
            self.said = line.strip()[:SAID_MAX]


class Line(msgspec.Struct):
    """What the driver itself reads of a line."""

    type: str = ""
    ok: bool = False
    address: str = ""


def read_line(line: str) -> Line:
    """A line of `--json`; an empty one for anything else."""
    with suppress(msgspec.MsgspecError, UnicodeEncodeError, RecursionError):
        return msgspec.json.decode(line, type=Line)
    return Line()


def is_good(line: str) -> bool:
    """Whether it is the report of a command that went well."""
    return '"report"' in line and (read := read_line(line)).type == "report" and read.ok


def serving_at(line: str) -> str:
    """The address that `serve` names; empty for another line."""
    read = read_line(line)
    fits = read.type == "serving_started" and re.fullmatch(r"http://[0-9a-fA-F.:\[\]]{3,60}", read.address)
    return read.address if fits else ""


def unreached(says: str) -> str:
    """Why a Mac cannot be reached, in a sentence."""
    return next((plain for part, plain in UNREACHED.items() if part in says), says)


class Held:
    """A command's standard input, open as long as the connection: when it closes, the command is told to stop."""

    def close(self) -> None:
        """Keep it open, whatever pyinfra does."""


class Lines:
    """What a command says, as lines of text of a size; a longer one is dropped."""

    def __init__(self, channel: Any, worker: Worker, *, stderr: bool) -> None:
        self.channel, self._worker = channel, worker
        self._file = channel.makefile_stderr("rb") if stderr else channel.makefile("rb")

    def __iter__(self) -> Iterator[str]:
        kept, whole = 0, True
        while data := self._file.readline(LINE_MAX_BYTES):
            starts, whole = whole, data.endswith(b"\n")
            line = data.decode("utf-8", "replace").rstrip("\r\n") if starts and whole else ""
            self._worker.hear(line, len(data))
            if line and kept < FOR_PYINFRA_LINES and not line.startswith("{"):
                kept += 1
                yield line


class Watched(io.BytesIO):
    """A file that is sent: that it is read is a sign of life."""

    def __init__(self, data: bytes, worker: Worker) -> None:
        super().__init__(data)
        self._size, self._worker, self._told = len(data), worker, 0.0

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size)
        worker, now = self._worker, time.monotonic()
        worker.heard = now
        if now - self._told > WATCH_S or self.tell() == self._size:
            self._told = now
            worker.tell(done_bytes=self.tell(), total_bytes=self._size)
        if self.tell() == self._size:
            worker.phase(Phase.INSTALLING)
        return data


def drive(job: Job, out: int, stop: int) -> None:
    """Work on all Macs until each has an outcome, or `stop` is closed."""
    wait_s = min(CONNECT_S, job.silence_s)
    at_once = 0 if job.waves else job.parallel  # who gives still counts
    config = Config(CONNECT_TIMEOUT=wait_s, PARALLEL=at_once or len(job.targets))
    state = State(Inventory(([(each.name, _data(each, wait_s)) for each in job.targets], {})), config, False)
    state.is_executing = True
    ctx_state.set(state)
    workers = [Worker(each, state.inventory.get_host(each.name), job, out) for each in job.targets]
    watch, end = gevent.spawn(_watch, workers, job.silence_s), gevent.spawn(_until_closed, stop, workers)
    for wave in waves(workers) if job.waves else [workers]:
        givers = [each.gives_at for each in workers if each.gives_at]
        for place, worker in enumerate(wave):
            worker.takes_from = givers[place % len(givers)] if givers else ""
            state.pool.spawn(_begin, worker)
        for worker in wave:
            worker.done.wait()
        if job.waves:
            _wait_for_givers(wave)
    gevent.killall([watch, end])
    for worker in workers:
        worker.close()


def waves(workers: Sequence[Worker]) -> Iterator[Sequence[Worker]]:
    """Groups of 1, 2, 4, 8 and so on."""
    begin, size = 0, 1
    while begin < len(workers):
        yield workers[begin : begin + size]
        begin, size = begin + size, 2 * size


def _wait_for_givers(wave: Sequence[Worker]) -> None:
    """Give those of a wave that are done a moment to say where they give."""
    with gevent.Timeout(GIVE_S, False):
        while any(each.good and not each.gives_at for each in wave):
            gevent.sleep(WATCH_S)


def _begin(worker: Worker) -> None:
    worker.heard, worker.begun = time.monotonic(), True
    if worker.ended is None:
        worker.run()


def _data(target: Target, wait_s: float) -> dict[str, Any]:
    said = {"ssh_user": target.user, "ssh_hostname": target.address, "ssh_port": target.port}
    patience = {"banner_timeout": wait_s, "auth_timeout": wait_s}
    given = {key: value for key, value in said.items() if value}
    return {**given, "ssh_strict_host_key_checking": "yes", "ssh_paramiko_connect_kwargs": patience}


def _watch(workers: list[Worker], silence_s: float) -> None:
    """Give up a Mac that has been silent for too long."""
    while True:
        gevent.sleep(WATCH_S)
        for worker in workers:
            silent, connected = time.monotonic() - worker.heard, worker.host.connected
            patience_s = silence_s if connected else silence_s + CONNECT_S  # which says itself why it cannot
            if worker.begun and worker.ended is None and silent > patience_s:
                outcome = Outcome.HUNG if connected else Outcome.DOWN
                worker.end(outcome, f"No sign of life for {silent:.0f} s.")
                worker.close()


def _until_closed(stop: int, workers: list[Worker]) -> None:
    wait_read(stop)
    for worker in workers:
        worker.end(Outcome.STOPPED, "")
        worker.close()


def main() -> None:
    """Read the job, and do it."""
    stop = os.dup(0)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    given = b""
    while not given.endswith(b"\n"):
        if not (piece := os.read(stop, 1 << 20)):
            return
        given += piece
    logging.getLogger("pyinfra").addHandler(logging.NullHandler())
    logging.getLogger("paramiko").addHandler(logging.NullHandler())
    drive(msgspec.json.decode(given, type=Job), os.dup(1), stop)
