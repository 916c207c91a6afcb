"""Processes of this machine: find them, tell them apart from later ones with the same pid, end them.

A note on the disk that names a process may be old, or written by somebody else. So a pid alone ends nothing: time of
birth, words and user must be those of the note, and are checked again at the last moment.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

SAME_BIRTH_S = 1.0
"""psutil computes a birth from the boot time, which an adjusted clock moves a little."""
POLL_S = 0.02
ACTIVE = ("VIRTUAL_ENV", "CONDA_PREFIX")
WORDS = 5
"""How many words of a command line may name the program: `python -s -B main.py`."""
MARK = "PROVISION_CHILD"
"""The environment variable of a program that works for us, as in its note; its children inherit it."""


@dataclass(frozen=True, slots=True)
class Process:
    """A running process; `created` (seconds since the epoch) tells it from a later one with the same pid."""

    pid: int
    created: float
    argv: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Running:
    """A running program: its command, its folder, the environments that its shell had active."""

    pid: int
    argv: tuple[str, ...]
    folder: Path
    active: tuple[Path, ...] = ()

    def path(self, word: str) -> Path:
        """A word of its command line as a path."""
        return self.folder / word


NOBODY = Process(0, 0.0, ())
"""No process."""


def look(pid: int) -> Process | None:
    """A running process; None when it is gone, cannot be read, or the pid is invalid."""
    import psutil

    if isinstance(pid, bool) or pid <= 0:
        return None
    with suppress(psutil.Error, OSError, OverflowError):
        found = psutil.Process(pid)
        if found.status() != psutil.STATUS_ZOMBIE:
            return Process(pid, found.create_time(), tuple(found.cmdline()))
    return None


def running(script: str) -> list[Running]:
    """This user's programs that run a script of that name (`main.py`), the oldest first."""
    import psutil

    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):  # it has ended, or is another user's
            argv = tuple(process.cmdline())
            if any(Path(word).name == script for word in argv[1:WORDS]):
                environ = process.environ()
                active = tuple(Path(environ[name]) for name in ACTIVE if environ.get(name))
                found.append((process.create_time(), Running(process.pid, argv, Path(process.cwd()), active)))
    return [seen for _, seen in sorted(found, key=lambda pair: pair[0])]


def is_same(noted: Process, alive: Process | None) -> bool:
    """Whether a process is the noted one, by pid, birth and words."""
    return alive is not None and same_birth(noted, alive) and same_words(noted.argv, alive.argv)


def same_birth(noted: Process, alive: Process | None) -> bool:
    """As `is_same`, but for words: an ending process has lost them already."""
    return alive is not None and alive.pid == noted.pid and abs(alive.created - noted.created) <= SAME_BIRTH_S


def same_words(noted: Sequence[str], alive: Sequence[str]) -> bool:
    """Whether a command line is that of the note.

    The program's own word may differ: a script is run by its interpreter, and macOS's Python names its framework.
    """
    words = tuple(noted[1:])
    if not words:
        return tuple(noted) == tuple(alive) != ()
    return len(alive) >= len(noted) and tuple(alive[-len(words) :]) == words


def mark_of(pid: int) -> str:
    """The MARK of a process; empty where it has none or does not show it."""
    import psutil

    with suppress(psutil.Error, OSError):
        return psutil.Process(pid).environ().get(MARK, "")
    return ""


def all_marked() -> dict[str, list[Process]]:
    """All marked processes, by their mark."""
    import psutil

    found: dict[str, list[Process]] = {}
    for pid in psutil.pids():
        if (mark := mark_of(pid)) and (seen := look(pid)) is not None:
            found.setdefault(mark, []).append(seen)
    return found


def end(noted: Process, *, grace_s: float = 8, group: bool = False) -> None:
    """End a process, or with `group` all of the group that it leads: SIGTERM, then SIGKILL.

    Never ends another process than the noted one, this one, or its parent.
    """
    if noted.pid in (1, os.getpid(), os.getppid()):
        return
    family = below(noted.pid) if group and is_same(noted, look(noted.pid)) else ()
    for sign in (signal.SIGTERM, signal.SIGKILL):
        if not _send(noted, sign, group=group):
            break
        deadline = time.monotonic() + grace_s
        while same_birth(noted, look(noted.pid)) and time.monotonic() < deadline:
            time.sleep(POLL_S)
    for each in family:
        _send(each, signal.SIGKILL, group=False)


def _send(noted: Process, sign: signal.Signals, *, group: bool) -> bool:
    """Signal the noted process, if it is this user's; False where it is gone, or another has its pid."""
    handle = _handle(noted.pid)
    try:
        if not (is_same(noted, look(noted.pid)) and _is_mine(noted.pid)):
            return False
        with suppress(ProcessLookupError, PermissionError):
            if group and os.getpgid(noted.pid) == noted.pid:
                os.killpg(noted.pid, sign)
            elif handle is not None:
                signal.pidfd_send_signal(handle, sign)
            else:
                os.kill(noted.pid, sign)
        return True
    finally:
        if handle is not None:
            os.close(handle)


def _is_mine(pid: int) -> bool:
    """Whether a process belongs to this user, also where that is root."""
    import psutil

    with suppress(psutil.Error, OSError):
        return psutil.Process(pid).uids().real == os.getuid()
    return False


def _handle(pid: int) -> int | None:
    """Linux's pidfd, which never means a later process with the same pid."""
    if hasattr(os, "pidfd_open"):
        with suppress(OSError):
            return os.pidfd_open(pid)
    return None


def below(pid: int) -> list[Process]:
    """The descendants of a process, also in sessions of their own."""
    import psutil

    with suppress(psutil.Error, OSError):
        found = (look(child.pid) for child in psutil.Process(pid).children(recursive=True))
        return [each for each in found if each is not None]
    return []


def kill(processes: Iterable[Process]) -> None:
    """Kill processes that were just found."""
    for each in processes:
        _send(each, signal.SIGKILL, group=False)


def workers() -> list[Process]:
    """This process's descendants in its session, or marked; a server that outlives it is neither."""
    session = os.getsid(0)
    return [each for each in below(os.getpid()) if mark_of(each.pid) or _session(each.pid) == session]


def _session(pid: int) -> int | None:
    with suppress(OSError):
        return os.getsid(pid)
    return None
