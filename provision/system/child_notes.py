"""Notes of running children, so that those which outlive a killed run are ended before the next one writes.

A `kill -9` of the tool cannot be passed on, and a wget or uv that goes on would write beside its successor. So each
child is noted in the home before it starts, with its parent, and again once its pid is known. Child and note carry the
same mark (MARK of `processes`): a note that somebody else wrote ends nothing. Notes that cannot be written or removed
are ignored.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from provision.system.machine import Argv, Machine
from provision.system.processes import NOBODY, SAME_BIRTH_S, Process, all_marked, is_same, same_words
from provision.system.strict import Unreadable, read_json_file

NOTE_MAX = 1_000
"""The most notes that are read."""


@dataclass(frozen=True, slots=True)
class Note:
    """A child: its words, mark and parent, when it was noted (seconds since the epoch), its process once it runs."""

    argv: tuple[str, ...]
    mark: str
    parent: Process
    since: float
    child: Process | None = None

    def means(self, seen: Process) -> bool:
        """Whether a process with the mark is the child that was noted."""
        if self.child is not None:
            return is_same(self.child, seen)
        return same_words(self.argv, seen.argv) and seen.created >= self.since - SAME_BIRTH_S


def note_child(folder: Path, note: Note) -> Path | None:
    """Write or replace a note; None when the folder cannot be written."""
    import json

    path = folder / note.mark
    with suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(asdict(note)), encoding="utf-8")
        return path
    return None


@dataclass(frozen=True, slots=True)
class Noted:
    """A noted child; its mark belongs into its environment."""

    note: Note
    folder: Path | None
    look: Callable[[int], Process | None]

    @property
    def mark(self) -> str:
        """The value of MARK in the child's environment."""
        return self.note.mark

    def runs(self, pid: int) -> None:
        """Record the child's process."""
        child = self.look(pid)
        if self.folder is not None and child is not None:
            note_child(self.folder, replace(self.note, child=replace(child, argv=self.note.argv)))


@contextmanager
def noted(machine: Machine, argv: Argv) -> Iterator[Noted]:
    """Note a child during this block: the next command ends it if we are killed."""
    parent = machine.process(os.getpid())
    folder = machine.children_folder if parent is not None else None
    note = Note(tuple(str(word) for word in argv), secrets.token_hex(8), parent or NOBODY, machine.now())
    path = note_child(folder, note) if folder is not None else None
    try:
        yield Noted(note, folder, machine.process)
    finally:
        if path is not None:
            _forget(path)


def _forget(path: Path) -> None:
    with suppress(OSError):
        path.unlink(missing_ok=True)


def read_note(path: Path) -> Note | None:
    """A note; None when it was cut short or is something else."""
    with suppress(OSError, Unreadable):
        return read_json_file(path, Note)
    return None


def end_leftovers(machine: Machine, folder: Path) -> list[tuple[str, ...]]:
    """End the noted children whose parent is gone; returns their command lines."""
    found = list(_leftovers(machine, folder))
    for left in found:
        machine.end_process(left, group=True)
    return [left.argv for left in found]


def _leftovers(machine: Machine, folder: Path) -> Iterator[Process]:
    """Living children of dead parents; their notes, and those of dead children, are removed."""
    paths: list[Path] = []
    with suppress(OSError):
        paths = sorted(folder.iterdir())[:NOTE_MAX]
    marked: dict[str, list[Process]] | None = None
    for path in paths:
        note = read_note(path)
        if note is not None:
            if is_same(note.parent, machine.process(note.parent.pid)):
                continue
            marked = all_marked() if marked is None else marked
            yield from (seen for seen in marked.get(note.mark, ()) if note.means(seen))
        _forget(path)
