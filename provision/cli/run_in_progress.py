"""The run in progress, seen from outside: a small file in the home, kept by the command that holds the lock."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from provision.core.events import RunInProgress
from provision.core.home import Home
from provision.core.receipts import read_state
from provision.output.as_json import timestamp
from provision.system.processes import SAME_BIRTH_S

if TYPE_CHECKING:
    from provision.output.console import Console
    from provision.system.machine import Machine

EVERY_S = 1.0


@dataclass(frozen=True, slots=True)
class _Note:
    """The file: a run, and when its process was born."""

    born: float
    seen: RunInProgress


@contextmanager
def kept(home: Home, machine: Machine, console: Console) -> Iterator[None]:
    """Keep the file during this block, written once a second where something happened, without waiting for the disk."""
    process, path, over = machine.process(os.getpid()), _file(home), threading.Event()
    if process is None:
        yield
        return

    def keep() -> None:
        last = None
        while True:
            seen = _seen(process.pid, console)
            if seen != last:
                with suppress(OSError):
                    _write(path, _Note(process.created, seen))
            last = seen
            if over.wait(EVERY_S):
                return

    thread = threading.Thread(target=keep, name="run-in-progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(EVERY_S)
        with suppress(OSError):
            path.unlink()


def _seen(pid: int, console: Console) -> RunInProgress:
    beat = console.heartbeat()
    doing = next((step.doing for step in console.state.steps.values() if step.active and step.doing), "")
    since, last_sign = timestamp(console.run.began), timestamp(console.heard)
    command = console.run.command or ""
    return RunInProgress(
        pid,
        console.run.id,
        command,
        since,
        last_sign,
        beat.active,
        doing,
        beat.done_bytes,
        beat.left_bytes,
        beat.bytes_per_s,
        beat.seconds_left,
    )


def run_in_progress(home: Home, machine: Machine) -> RunInProgress | None:
    """The command that works in the home; None where none does, as after one that was killed."""
    note = read_state(_file(home), _Note)
    alive = None if note is None else machine.process(note.seen.pid)
    if note is None or alive is None or abs(alive.created - note.born) > SAME_BIRTH_S:
        return None
    return note.seen


def end_run(home: Home, machine: Machine) -> RunInProgress | None:
    """Stop the command that works in the home, which keeps its work; also one that is frozen. None where none does."""
    seen = run_in_progress(home, machine)
    process = None if seen is None else machine.process(seen.pid)
    if seen is None or process is None:
        return None
    machine.end_process(process)
    return seen


def _file(home: Home) -> Path:
    return home.state / "in-progress.json"


def _write(path: Path, note: _Note) -> None:
    aside = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")  # as the sweep knows it
    aside.write_text(json.dumps(asdict(note)), encoding="utf-8")
    aside.replace(path)
