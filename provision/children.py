"""Notes of running children, so that those which outlive a killed run are ended before the next one writes.

A `kill -9` of the tool cannot be passed on, and a wget or uv that goes on would write beside its successor. So each
child is noted in the home while it lives, with who started it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from provision.strict import read_text


@dataclass(frozen=True, slots=True)
class Born:
    """A process as pid and moment of birth in seconds since the epoch: pids are used again."""

    pid: int
    created: float


def note_child(folder: Path, child: Born, parent: Born) -> Path | None:
    """Write a child down; None when the folder cannot be written."""
    note = folder / str(child.pid)
    with suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        note.write_text(f"{child.pid} {child.created} {parent.pid} {parent.created}", encoding="utf-8")
        return note
    return None


def read_note(note: Path) -> tuple[Born, Born] | None:
    """The child and its parent as they were written down, None when that was cut short."""
    try:
        pid, born, parent, parent_born = read_text(note).split()
        return Born(int(pid), float(born)), Born(int(parent), float(parent_born))
    except (OSError, ValueError):
        return None


def leftovers(folder: Path, lives: Callable[[Born], bool]) -> Iterator[Born]:
    """The children that live and whose parent does not; notes of what is gone are removed."""
    for note in folder.glob("*") if folder.is_dir() else ():
        noted = read_note(note)
        if noted is not None and lives(noted[1]):
            continue
        if noted is not None and lives(noted[0]):
            yield noted[0]
        note.unlink(missing_ok=True)
