"""The computer, behind one door: subprocesses, processes, ports, disk, memory, the clock.

Everything here reads or runs; nothing decides. Tests put a scripted machine in its place, on which a command
that was not scripted fails.
"""

from __future__ import annotations

import os
import platform
import secrets
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from provision.command import Fix, ours
from provision.errors import CommandFailed, Interrupted
from provision.system.child_notes import Note, Noted, forget_child, leftovers, note_child
from provision.system.child_process import cannot_run, communicate, end_group, follow, signal_group, spawn
from provision.system.processes import MARK, NOBODY, Process, end, is_same, look
from provision.system.running import Running, running
from provision.system.strict import Unreadable, read_file

__all__ = ["LOOPBACK", "Machine", "Memory", "Process", "Ran", "clean_env"]

LOOPBACK = "127.0.0.1"
PRIVATE_PREFIXES = (
    "PYTHON",
    "CONDA",
    "PYTORCH_",
    "GIT_",
    "HF_",
    "HUGGING_FACE_",
    "TRANSFORMERS_",
    "DYLD_",
    "PIP_",
)
PRIVATE_NAMES = frozenset({"VIRTUAL_ENV", "LD_PRELOAD", "UV_PYTHON", "UV_PRERELEASE", "UV_EXCLUDE_NEWER", "UV_OFFLINE"})
KEPT_NAMES = frozenset({"GIT_SSL_CAINFO", "GIT_SSH", "GIT_SSH_COMMAND", "PIP_CERT", "PYTHONUTF8"})
INTERRUPT_GRACE_S = 0.6
EXTRA_PATH = ("/opt/homebrew/bin", "/usr/local/bin")


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


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes of memory; `available_bytes` is None where nothing could tell."""

    total_bytes: int
    available_bytes: int | None


def clean_env(environ: Mapping[str, str]) -> dict[str, str]:
    """The caller's environment without what would change how a child behaves.

    Left out: Python's, conda's and git's steering variables, `HF_HUB_OFFLINE` and its kind, tokens. A child
    that needs one of them is given it by name.
    """
    return {
        name: value
        for name, value in environ.items()
        if name in KEPT_NAMES or not (name in PRIVATE_NAMES or name.startswith(PRIVATE_PREFIXES))
    }


class Machine:
    """This computer."""

    def __init__(self, environ: Mapping[str, str] | None = None) -> None:
        self.environ: Mapping[str, str] = dict(os.environ if environ is None else environ)
        self.system = platform.system()
        self.arch = platform.machine()
        self._children: set[subprocess.Popen[str]] = set()
        self._guard = threading.Lock()
        self._interrupted = threading.Event()
        self.children_folder: Path | None = None
        """Where children are noted while they live (see `children`); None: nowhere."""

    # -- programs ---------------------------------------------------------------------------------------

    def which(self, name: str) -> Path | None:
        """Where a program lies: on PATH, or where Homebrew puts it."""
        path = os.pathsep.join((self.environ.get("PATH", os.defpath), *EXTRA_PATH))
        found = shutil.which(name, path=path)
        return Path(found) if found else None

    def run(
        self,
        argv: Sequence[str | Path],
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
        self.check_interrupted()
        words = tuple(str(word) for word in argv)
        with self.noted(words) as noted:
            child = self._start(words, cwd=cwd, env={**(env or {}), MARK: noted.mark}, merged=on_line is not None)
            noted.runs(child.pid)
            code, out, err = self._follow(child, on_line, timeout_s)
        self.check_interrupted()
        return Ran(words, code, out, err)

    def _follow(
        self, child: subprocess.Popen[str], on_line: Callable[[str], None] | None, timeout_s: float | None
    ) -> tuple[int | None, str, str]:
        try:
            if on_line is None:
                return communicate(child, timeout_s)
            return follow(child, on_line, timeout_s)
        finally:
            with self._guard:
                self._children.discard(child)
            if child.poll() is None:
                end_group(child.pid, child)

    def must_run(
        self,
        argv: Sequence[str | Path],
        *,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        timeout_s: float | None = 60,
        on_line: Callable[[str], None] | None = None,
    ) -> Ran:
        """As `run`; raises CommandFailed, with what the program said last, unless it ended with 0."""
        ran = self.run(argv, cwd=cwd, env=env, timeout_s=timeout_s, on_line=on_line)
        if not ran.ok:
            how = "took too long" if ran.code is None else f"ended with {ran.code}"
            raise CommandFailed(f"{' '.join(ran.argv)} {how}:\n{ran.tail()}", hint=ours("doctor"))
        return ran

    def _start(
        self, words: tuple[str, ...], *, cwd: Path | None, env: Mapping[str, str], merged: bool
    ) -> subprocess.Popen[str]:
        try:
            child = subprocess.Popen(  # noqa: S603  (argv only, never a shell)
                words,
                cwd=cwd,
                env={**clean_env(self.environ), **env},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT if merged else subprocess.PIPE,
                text=True,
                encoding="utf-8",
                errors="replace",
                start_new_session=True,
            )
        except OSError as error:
            raise cannot_run(words[0], error) from error
        with self._guard:
            self._children.add(child)
        if self._interrupted.is_set():  # it may have been started just after `interrupt` looked
            end_group(child.pid, child)
        return child

    def spawn(
        self, argv: Sequence[str | Path], *, cwd: Path, log: Path, env: Mapping[str, str], log_limit: int = 0
    ) -> int:
        """Start a program that outlives us, its output appended to `log`; returns its pid. Raises CommandMissing.

        With `log_limit` (bytes) the log is kept within that while it runs.
        """
        self.check_interrupted()
        words = [str(word) for word in argv]
        return spawn(words, cwd=cwd, log=log, env={**clean_env(self.environ), **env}, log_limit=log_limit)

    # -- interruption -----------------------------------------------------------------------------------

    @property
    def interrupted(self) -> bool:
        """Whether the person asked to stop; long loops look here."""
        return self._interrupted.is_set()

    def check_interrupted(self) -> None:
        """Raise Interrupted when the person asked to stop."""
        if self._interrupted.is_set():
            raise Interrupted(
                "Stopped. What is done is kept; the next run goes on from here.",
                hint=Fix("Run the same command again to go on."),
            )

    def interrupt(self) -> None:
        """End every child and make all waiting work stop."""
        self._interrupted.set()
        with self._guard:
            children = list(self._children)
        for child in children:
            signal_group(child.pid, signal.SIGTERM)
        if children:
            reaper = threading.Timer(INTERRUPT_GRACE_S, self._kill_children)
            reaper.daemon = True
            reaper.start()

    def _kill_children(self) -> None:
        with self._guard:
            children = list(self._children)
        for child in children:
            signal_group(child.pid, signal.SIGKILL)

    def sleep(self, seconds: float) -> None:
        """Wait; raises Interrupted at once when the person asks to stop."""
        self._interrupted.wait(seconds)
        self.check_interrupted()

    # -- processes and ports ----------------------------------------------------------------------------

    def process(self, pid: int) -> Process | None:
        """A running process, or None."""
        return look(pid)

    def end_process(self, process: Process, *, grace_s: float = 8, group: bool = False) -> None:
        """End the process that was seen or noted, or with `group` all of the group that it leads (see `processes`)."""
        end(process, grace_s=grace_s, group=group)

    @contextmanager
    def noted(self, argv: Sequence[str | Path]) -> Iterator[Noted]:
        """A child that is about to start, noted to the end of this block: the next command ends it if we are killed."""
        parent = self.process(os.getpid())
        folder = self.children_folder if parent is not None else None
        note = Note(tuple(str(word) for word in argv), secrets.token_hex(8), parent or NOBODY, self.now())
        path = note_child(folder, note) if folder is not None else None
        try:
            yield Noted(note, folder, self.process)
        finally:
            forget_child(path)

    def end_leftovers(self, folder: Path) -> list[tuple[str, ...]]:
        """End the noted children whose parent is gone; returns their command lines."""
        ended = []
        for left in leftovers(folder, lambda noted: is_same(noted, self.process(noted.pid))):
            self.end_process(left, group=True)
            ended.append(left.argv)
        return ended

    def running(self, script: str) -> list[Running]:
        """The programs of this user that run a script of that name."""
        return running(script)

    def listener(self, port: int) -> Process | None:
        """Who listens on a TCP port of this machine; None when nobody does or it cannot be seen."""
        import psutil

        if self.system == "Darwin":  # a system-wide look needs root there; lsof sees our own user's
            lsof = self.run(["/usr/sbin/lsof", "-nP", f"-iTCP:{port}", "-sTCP:LISTEN", "-t"], timeout_s=5)
            pids = [int(word) for word in lsof.out.split() if word.isdigit()]
            return self.process(pids[0]) if pids else None
        try:
            for connection in psutil.net_connections("tcp"):
                here = connection.laddr.port if connection.laddr else None
                if connection.status == psutil.CONN_LISTEN and here == port and connection.pid:
                    return self.process(connection.pid)
        except psutil.Error:
            return None
        return None

    def port_is_free(self, port: int) -> bool:
        """Whether a server could bind the port on loopback, and nobody answers there already.

        macOS lets one bind to loopback beside a listener on all addresses, so both are asked.
        """
        with socket.socket() as caller:
            caller.settimeout(0.5)
            if caller.connect_ex((LOOPBACK, port)) == 0:
                return False
        with socket.socket() as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                trial.bind((LOOPBACK, port))
            except OSError:
                return False
        return True

    # -- quantities -------------------------------------------------------------------------------------

    def disk_free_bytes(self, path: Path) -> int:
        """Bytes that can be written on the volume that holds `path` or its nearest parent that exists."""
        while not path.exists() and path != path.parent:
            path = path.parent
        return shutil.disk_usage(path).free

    def memory(self) -> Memory | None:
        """What psutil says of memory; None where it fails (it does on macOS 27: psutil issue 2978)."""
        import psutil

        try:
            seen = psutil.virtual_memory()
        except (OSError, RuntimeError, psutil.Error):
            return None
        return Memory(seen.total, seen.available)

    def resident_bytes(self, pid: int) -> int | None:
        """What a process holds in memory; on a Mac without what Metal holds for it. None when it is gone."""
        import psutil

        try:
            return int(psutil.Process(pid).memory_info().rss)
        except (psutil.Error, OSError):
            return None

    def read_text(self, path: str | Path) -> str | None:
        """A small text file, as of the system (`/proc/meminfo`); None when it is not there, or is no such file."""
        try:
            return read_file(Path(path)).decode("utf-8", "replace")
        except (OSError, Unreadable):
            return None

    def refusal(self, path: Path) -> int:
        """The errno with which the system refuses to open a file or a folder; 0 when it does not, or none is there."""
        try:
            os.close(os.open(path, os.O_RDONLY))
        except FileNotFoundError:
            return 0
        except OSError as error:
            return error.errno or 0
        return 0

    def file_flags(self, path: Path) -> int:
        """macOS's flags of a file (`st_flags` of stat(2)), 0 where there are none. Raises OSError."""
        return int(getattr(path.stat(), "st_flags", 0))

    def now(self) -> float:
        """Seconds since the epoch."""
        return time.time()

    def timestamp(self) -> str:
        """Now, as receipts keep it: ISO 8601 with the local zone."""
        return datetime.fromtimestamp(self.now(), UTC).astimezone().isoformat(timespec="seconds")

    def clock(self) -> float:
        """Seconds that only go forward, for durations."""
        return time.monotonic()
