"""Children that outlived a killed run are ended before the next one writes to the same files.

A `kill -9` of the tool cannot be passed on, and a wget or uv that goes on would write beside its successor. So each
child is noted in the home while it lives, with who started it.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from provision.machine import Machine


@dataclass(frozen=True, slots=True)
class Noted:
    """A child and its parent, each as pid and moment of birth (pids are used again)."""

    child: tuple[int, float]
    parent: tuple[int, float]


def note_child(machine: Machine, folder: Path, pid: int) -> Path | None:
    """Write the child down; None when it is gone already or the folder cannot be written."""
    child, parent = machine.process(pid), machine.process(os.getpid())
    if child is None or parent is None:
        return None
    note = folder / str(pid)
    with suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        note.write_text(f"{child.pid} {child.created} {parent.pid} {parent.created}", encoding="utf-8")
        return note
    return None


def read_note(note: Path) -> Noted | None:
    """What was written down, None when it was cut short."""
    try:
        pid, born, parent, parent_born = note.read_text(encoding="utf-8").split()
        return Noted((int(pid), float(born)), (int(parent), float(parent_born)))
    except (OSError, ValueError):
        return None


def end_leftovers(machine: Machine, folder: Path) -> list[tuple[str, ...]]:
    """End the children whose parent is gone; returns their command lines."""
    ended = []
    for note in folder.glob("*") if folder.is_dir() else ():
        noted = read_note(note)
        if noted is not None and _lives(machine, *noted.parent):
            continue
        if noted is not None and _lives(machine, *noted.child):
            left = machine.process(noted.child[0])
            if left is not None:
                machine.end_process(left, group=True)
                ended.append(left.argv)
        note.unlink(missing_ok=True)
    return ended


def _lives(machine: Machine, pid: int, born: float) -> bool:
    found = machine.process(pid)
    return found is not None and abs(found.created - born) < 1
