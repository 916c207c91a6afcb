"""This computer."""

from __future__ import annotations

import os
import platform
import shutil
import signal
import socket
import subprocess
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from provision.system import processes
from provision.system.child_notes import noted
from provision.system.child_process import cannot_run, child_env, end_group, hear_out, signal_group, spawn
from provision.system.listening import Limits
from provision.system.machine import LOOPBACK, Argv, Machine, Memory, Ran
from provision.system.processes import MARK, Process, Running
from provision.system.strict import Unreadable, read_file

INTERRUPT_GRACE_S = 0.6
ELSEWHERE = ("192.0.2.1", 9)
"""An address that nobody has (RFC 5737)."""
VIRTUAL = ("docker", "br-", "veth", "virbr", "bridge", "vmnet", "utun", "tun", "tap", "awdl", "llw")
"""How interfaces are called that lead to no network of other people's machines."""
EXTRA_PATH = ("/opt/homebrew/bin", "/usr/local/bin")


class LocalMachine(Machine):
    """This computer."""

    def __init__(self, environ: Mapping[str, str] | None = None) -> None:
        self.environ: Mapping[str, str] = dict(os.environ if environ is None else environ)
        self.system = platform.system()
        self.arch = platform.machine()
        self.stopping = threading.Event()
        self._children: set[subprocess.Popen[bytes]] = set()
        self._guard = threading.Lock()

    def which(self, name: str) -> Path | None:
        path = os.pathsep.join((self.environ.get("PATH", os.defpath), *EXTRA_PATH))
        found = shutil.which(name, path=path)
        return Path(found) if found else None

    def run(
        self,
        argv: Argv,
        *,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        timeout_s: float = 60,
        on_line: Callable[[str], None] | None = None,
    ) -> Ran:
        self.check_interrupted()
        words = tuple(str(word) for word in argv)
        with noted(self, words) as note:
            child = self._start(words, cwd=cwd, env={**(env or {}), MARK: note.mark}, merged=on_line is not None)
            note.runs(child.pid)
            try:
                ran = hear_out(child, words, Limits(timeout_s), on_line)
            finally:
                with self._guard:
                    self._children.discard(child)
        self.check_interrupted()
        return ran

    def _start(
        self, words: tuple[str, ...], *, cwd: Path | None, env: Mapping[str, str], merged: bool
    ) -> subprocess.Popen[bytes]:
        try:
            child = subprocess.Popen(  # noqa: S603  (argv only, never a shell)
                words,
                cwd=cwd or _still_there(),
                env=child_env(self.environ, env),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT if merged else subprocess.PIPE,
                start_new_session=True,
            )
        except OSError as error:
            raise cannot_run(words[0], error) from error
        with self._guard:
            self._children.add(child)
        if self.stopping.is_set():  # it may have been started just after `interrupt` looked
            end_group(child.pid, child)
        return child

    def spawn(self, argv: Argv, *, cwd: Path, log: Path, env: Mapping[str, str], log_limit: int = 0) -> int:
        self.check_interrupted()
        words = [str(word) for word in argv]
        return spawn(words, cwd=cwd, log=log, env=child_env(self.environ, env), log_limit=log_limit)

    def interrupt(self) -> None:
        self.stopping.set()
        if self._signal_children(signal.SIGTERM):
            reaper = threading.Timer(INTERRUPT_GRACE_S, self._signal_children, (signal.SIGKILL,))
            reaper.daemon = True
            reaper.start()

    def _signal_children(self, sign: signal.Signals) -> bool:
        """Signal every child and its group; False when there is none."""
        with self._guard:
            children = list(self._children)
        for child in children:
            signal_group(child.pid, sign)
        return bool(children)

    def process(self, pid: int) -> Process | None:
        return processes.look(pid)

    def end_process(self, process: Process, *, grace_s: float = 8, group: bool = False) -> None:
        processes.end(process, grace_s=grace_s, group=group)

    def running(self, script: str) -> list[Running]:
        return processes.running(script)

    def listener(self, port: int) -> Process | None:
        import psutil

        if self.system == "Darwin":  # a system-wide look needs root there; lsof sees our own user's
            lsof = self.run(["/usr/sbin/lsof", "-nP", f"-iTCP:{port}", "-sTCP:LISTEN", "-t"], timeout_s=5)
            pids = [int(word) for word in lsof.out.split() if word.isdigit()]
            return self.process(pids[0]) if pids else None
        with suppress(psutil.Error):
            for connection in psutil.net_connections("tcp"):
                here = connection.laddr.port if connection.laddr else None
                if connection.status == psutil.CONN_LISTEN and here == port and connection.pid:
                    return self.process(connection.pid)
        return None

    def port_is_free(self, port: int) -> bool:
        with socket.socket() as caller:  # macOS lets one bind to loopback beside a listener on all addresses
            caller.settimeout(0.5)
            if caller.connect_ex((LOOPBACK, port)) == 0:
                return False
        with suppress(OSError), socket.socket() as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            trial.bind((LOOPBACK, port))
            return True
        return False

    def lan_address(self) -> str | None:
        found = lan_addresses()
        with suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as trial:
            trial.connect(ELSEWHERE)  # nothing is sent: the system only says by which interface it would be
            if (used := trial.getsockname()[0]) in found:
                return str(used)
        return next(iter(found), None)

    def disk_free_bytes(self, path: Path) -> int:
        while not path.exists() and path != path.parent:
            path = path.parent
        return shutil.disk_usage(path).free

    def memory(self) -> Memory | None:
        import psutil

        with suppress(OSError, RuntimeError, psutil.Error):  # it fails on macOS 27 (psutil issue 2978)
            seen = psutil.virtual_memory()
            return Memory(seen.total, seen.available)
        return None

    def resident_bytes(self, pid: int) -> int | None:
        import psutil

        with suppress(psutil.Error, OSError):
            return int(psutil.Process(pid).memory_info().rss)
        return None

    def read_text(self, path: str | Path) -> str | None:
        with suppress(OSError, Unreadable):
            return read_file(Path(path)).decode("utf-8", "replace")
        return None

    def refusal(self, path: Path) -> int:
        try:
            os.close(os.open(path, os.O_RDONLY))
        except FileNotFoundError:
            return 0
        except OSError as error:
            return error.errno or 0
        return 0

    def file_flags(self, path: Path) -> int:
        return int(getattr(path.stat(), "st_flags", 0))


def lan_addresses() -> list[str]:
    """The IPv4 addresses of the interfaces that lead into a network."""
    import psutil

    up = {name for name, about in psutil.net_if_stats().items() if about.isup and not name.startswith(VIRTUAL)}
    found = ((name, each) for name, each_of in psutil.net_if_addrs().items() for each in each_of if name in up)
    return [
        each.address
        for _, each in found
        if each.family == socket.AF_INET and not each.ptp and not each.address.startswith(("127.", "169.254."))
    ]


def _still_there() -> Path | None:
    """Where a child runs that may run anywhere: where we do, and where that folder was removed, at the top."""
    try:
        Path.cwd()
    except FileNotFoundError:
        return Path("/")
    return None


def free_port() -> int:
    """A port of this machine that is free."""
    with socket.socket() as trial:
        trial.bind((LOOPBACK, 0))
        return int(trial.getsockname()[1])
