"""The computer behind one interface: programs, processes, ports, disk, memory, the clock.

`local_machine` is this computer, `target` a Mac that is not here; tests use a scripted one, on which a command that was
not scripted fails.
"""

from __future__ import annotations

import os
import threading
import time
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from provision.command import Fix, ours
from provision.errors import CommandFailed, CommandMissing, Interrupted
from provision.system.processes import Process, Running

LOOPBACK = "127.0.0.1"
Argv = Sequence[str | Path]


@dataclass(frozen=True, slots=True)
class Ran:
    """A program that has ended: `code` is its exit code, negative for a signal, None where it passed a limit."""

    argv: tuple[str, ...]
    code: int | None
    out: str = ""
    err: str = ""
    stopped: str = ""
    """The limit that it passed: `timed out after 60 seconds`."""

    @property
    def how(self) -> str:
        """How it ended, after its name."""
        return self.stopped or ("took too long" if self.code is None else f"exited with {self.code}")

    @property
    def ok(self) -> bool:
        """Whether the exit code is 0."""
        return self.code == 0

    def tail(self, lines: int = 12) -> str:
        """The last lines of standard error, or of standard output where that is empty."""
        text = self.err.strip() or self.out.strip()
        return "\n".join(text.splitlines()[-lines:])

    def check(self) -> Ran:
        """Return itself; raises CommandFailed with the last lines unless the exit code is 0."""
        if self.ok:
            return self
        raise CommandFailed(f"{' '.join(self.argv)} {self.how}:\n{self.tail()}", hint=ours("doctor"))


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes of memory; `available_bytes` is None where it is not known."""

    total_bytes: int
    available_bytes: int | None


class Machine(Protocol):
    """A computer, and a person's wish to stop what runs on it."""

    environ: Mapping[str, str]
    system: str
    """`Darwin` or `Linux`, as in uname(1)."""
    arch: str
    """`arm64` or `x86_64`, as in uname(1)."""
    stopping: threading.Event
    """Set when the person asks to stop."""
    children_folder: Path | None = None
    """Where running children are recorded (see `child_notes`)."""

    @abstractmethod
    def which(self, name: str) -> Path | None:
        """The path of a program on PATH, or where Homebrew puts it."""

    @abstractmethod
    def run(
        self,
        argv: Argv,
        *,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        timeout_s: float = 60,
        on_line: Callable[[str], None] | None = None,
    ) -> Ran:
        """Run a program to its end; `env` is added to the clean environment. One that passes a limit is ended (see
        `listening`): `timeout_s`, and minutes in which it neither says nor does anything.

        `on_line` receives each line of both streams as it comes (they are then one text, in `out`).
        Raises CommandMissing when there is no such program, Interrupted after Ctrl-C.
        """

    @abstractmethod
    def spawn(self, argv: Argv, *, cwd: Path, log: Path, env: Mapping[str, str], log_limit: int = 0) -> int:
        """Start a program that outlives us, its output appended to `log`; returns its pid. Raises CommandMissing.

        With `log_limit` (bytes) the log is kept within that while it runs.
        """

    def said(self, argv: Argv, *, timeout_s: float = 5) -> str:
        """The standard output of a program that ends with 0; empty for one that does not, or is not installed."""
        try:
            ran = self.run(argv, timeout_s=timeout_s)
        except CommandMissing:
            return ""
        return ran.out if ran.ok else ""

    def interrupt(self) -> None:
        """End every child and make all waiting work stop."""
        self.stopping.set()

    def check_interrupted(self) -> None:
        """Raise Interrupted when the person asked to stop; long loops call this."""
        if self.stopping.is_set():
            raise Interrupted(
                "Stopped. Finished work is kept; the next run resumes here.",
                hint=Fix("Run the same command again to resume."),
            )

    def sleep(self, seconds: float) -> None:
        """Wait; raises Interrupted at once when the person asks to stop."""
        self.stopping.wait(seconds)
        self.check_interrupted()

    def attended(self) -> bool:
        """Whether somebody is at a terminal of this program."""
        return any(os.isatty(stream) for stream in (0, 1, 2))

    @abstractmethod
    def process(self, pid: int) -> Process | None:
        """A running process, or None."""

    @abstractmethod
    def end_process(self, process: Process, *, grace_s: float = 8, group: bool = False) -> None:
        """End a process, or with `group` all of the group that it leads (see `processes`)."""

    @abstractmethod
    def running(self, script: str) -> list[Running]:
        """The programs of this user that run a script of that name."""

    @abstractmethod
    def listener(self, port: int) -> Process | None:
        """The process that listens on a TCP port; None when there is none, or it cannot be seen."""

    @abstractmethod
    def port_is_free(self, port: int) -> bool:
        """Whether a server could bind the port on loopback, and nothing answers there."""

    @abstractmethod
    def lan_address(self) -> str | None:
        """This computer's IPv4 address in the network that it is in; None where it is in none."""

    @abstractmethod
    def disk_free_bytes(self, path: Path) -> int:
        """Free bytes of the volume that holds `path` or its nearest parent. Raises OSError."""

    @abstractmethod
    def memory(self) -> Memory | None:
        """The machine's memory; None where it is not known."""

    @abstractmethod
    def resident_bytes(self, pid: int) -> int | None:
        """Memory of a process, on a Mac without Metal's; None when it is gone."""

    @abstractmethod
    def read_text(self, path: str | Path) -> str | None:
        """A small text file of the system (`/proc/meminfo`); None when there is none."""

    @abstractmethod
    def refusal(self, path: Path) -> int:
        """The errno with which the system refuses to open a path; 0 when it opens, or does not exist."""

    @abstractmethod
    def file_flags(self, path: Path) -> int:
        """macOS's flags of a file (`st_flags` of stat(2)), 0 elsewhere. Raises OSError."""

    def now(self) -> float:
        """Seconds since the epoch."""
        return time.time()

    def timestamp(self) -> str:
        """Now in ISO 8601 with the local zone, as receipts keep it."""
        return datetime.fromtimestamp(self.now(), UTC).astimezone().isoformat(timespec="seconds")

    def clock(self) -> float:
        """Monotonic seconds, for durations."""
        return time.monotonic()
