"""The computer, behind one door: subprocesses, processes, ports, disk, memory, the clock.

What a machine answers is read or run; nothing decides. `local_machine` is this one, `target` a Mac that is not here;
tests put a scripted one in its place, on which a command that was not scripted fails.
"""

from __future__ import annotations

import threading
import time
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from provision.command import Fix, ours
from provision.errors import CommandFailed, Interrupted
from provision.system.processes import Process, Running

LOOPBACK = "127.0.0.1"
Argv = Sequence[str | Path]


@dataclass(frozen=True, slots=True)
class Ran:
    """A program that was run: `code` is its exit code, negative for a signal, None when time ran out."""

    argv: tuple[str, ...]
    code: int | None
    out: str = ""
    err: str = ""

    @property
    def ok(self) -> bool:
        """Whether it ended with 0."""
        return self.code == 0

    def tail(self, lines: int = 12) -> str:
        """The last lines that it said, standard error first in weight."""
        text = self.err.strip() or self.out.strip()
        return "\n".join(text.splitlines()[-lines:])

    def check(self) -> Ran:
        """Itself; raises CommandFailed, with what the program said last, unless it ended with 0."""
        if self.ok:
            return self
        words, said = " ".join(self.argv), self.tail()
        how = "took too long" if self.code is None else f"ended with {self.code}"
        raise CommandFailed(f"{words} {how}:\n{said}", hint=ours("doctor"))


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes of memory; `available_bytes` is None where nothing could tell."""

    total_bytes: int
    available_bytes: int | None


class Machine(Protocol):
    """A computer, and how a person asks to stop what runs for them on it."""

    environ: Mapping[str, str]
    system: str
    """`Darwin` or `Linux`, as uname(1) says it."""
    arch: str
    """`arm64` or `x86_64`, as uname(1) says it."""
    stopping: threading.Event
    """Set when the person asks to stop."""
    children_folder: Path | None = None
    """Where children are noted while they live (see `child_notes`); None: nowhere."""

    # -- programs ---------------------------------------------------------------------------------------

    @abstractmethod
    def which(self, name: str) -> Path | None:
        """Where a program lies: on PATH, or where Homebrew puts it."""

    @abstractmethod
    def run(
        self,
        argv: Argv,
        *,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        timeout_s: float | None = 60,
        on_line: Callable[[str], None] | None = None,
    ) -> Ran:
        """Run a program to its end; `env` is added to the clean environment.

        `on_line` receives each line of both streams as it comes (they are then one text, in `out`).
        Raises CommandMissing when there is no such program, Interrupted after Ctrl-C.
        """

    @abstractmethod
    def spawn(self, argv: Argv, *, cwd: Path, log: Path, env: Mapping[str, str], log_limit: int = 0) -> int:
        """Start a program that outlives us, its output appended to `log`; returns its pid. Raises CommandMissing.

        With `log_limit` (bytes) the log is kept within that while it runs.
        """

    # -- interruption -----------------------------------------------------------------------------------

    def interrupt(self) -> None:
        """End every child and make all waiting work stop."""
        self.stopping.set()

    def check_interrupted(self) -> None:
        """Raise Interrupted when the person asked to stop; long loops look here."""
        if self.stopping.is_set():
            raise Interrupted(
                "Stopped. What is done is kept; the next run goes on from here.",
                hint=Fix("Run the same command again to go on."),
            )

    def sleep(self, seconds: float) -> None:
        """Wait; raises Interrupted at once when the person asks to stop."""
        self.stopping.wait(seconds)
        self.check_interrupted()

    # -- processes and ports ----------------------------------------------------------------------------

    @abstractmethod
    def process(self, pid: int) -> Process | None:
        """A running process, or None."""

    @abstractmethod
    def end_process(self, process: Process, *, grace_s: float = 8, group: bool = False) -> None:
        """End the process that was seen or noted, or with `group` all of the group that it leads (see `processes`)."""

    @abstractmethod
    def running(self, script: str) -> list[Running]:
        """The programs of this user that run a script of that name."""

    @abstractmethod
    def listener(self, port: int) -> Process | None:
        """Who listens on a TCP port of this machine; None when nobody does or it cannot be seen."""

    @abstractmethod
    def port_is_free(self, port: int) -> bool:
        """Whether a server could bind the port on loopback, and nobody answers there already."""

    # -- quantities -------------------------------------------------------------------------------------

    @abstractmethod
    def disk_free_bytes(self, path: Path) -> int:
        """Bytes that can be written on the volume that holds `path` or its nearest parent. Raises OSError."""

    @abstractmethod
    def memory(self) -> Memory | None:
        """The machine's memory; None where nothing tells."""

    @abstractmethod
    def resident_bytes(self, pid: int) -> int | None:
        """What a process holds in memory; on a Mac without what Metal holds for it. None when it is gone."""

    # -- files of the system ----------------------------------------------------------------------------

    @abstractmethod
    def read_text(self, path: str | Path) -> str | None:
        """A small text file, as of the system (`/proc/meminfo`); None when it is not there, or is no such file."""

    @abstractmethod
    def refusal(self, path: Path) -> int:
        """The errno with which the system refuses to open a file or a folder; 0 when it does not, or none is there."""

    @abstractmethod
    def file_flags(self, path: Path) -> int:
        """macOS's flags of a file (`st_flags` of stat(2)), 0 where there are none. Raises OSError."""

    # -- time -------------------------------------------------------------------------------------------

    def now(self) -> float:
        """Seconds since the epoch."""
        return time.time()

    def timestamp(self) -> str:
        """Now, as receipts keep it: ISO 8601 with the local zone."""
        return datetime.fromtimestamp(self.now(), UTC).astimezone().isoformat(timespec="seconds")

    def clock(self) -> float:
        """Seconds that only go forward, for durations."""
        return time.monotonic()
