"""Notes of running children, so that those which outlive a killed run are ended before the next one writes.

A `kill -9` of the tool cannot be passed on, and a wget or uv that goes on would write beside its successor. So each
child is noted in the home before it is started, with who starts it, and again once its pid is known. A child carries a
mark that its note holds too (MARK of `processes`): a note that somebody else wrote, of a process that is none of ours,
ends nothing. Notes are a help for the next run: that one cannot be written or removed stops nobody.
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
"""Notes that are looked at: more have never been there at once."""


@dataclass(frozen=True, slots=True)
class Note:
    """A child: its words, the mark that it carries, who starts it, when (seconds since the epoch), then itself."""

    argv: tuple[str, ...]
    mark: str
    parent: Process
    since: float
    child: Process | None = None

    def means(self, seen: Process) -> bool:
        """Whether a living process that carries the mark is the child that was noted."""
        if self.child is not None:
            return is_same(self.child, seen)
        return same_words(self.argv, seen.argv) and seen.created >= self.since - SAME_BIRTH_S


def note_child(folder: Path, note: Note) -> Path | None:
    """Write a child down, anew once it runs; None when the folder cannot be written."""
    import json

    path = folder / note.mark
    with suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(asdict(note)), encoding="utf-8")
        return path
    return None


@dataclass(frozen=True, slots=True)
class Noted:
    """A child that is noted already; its mark goes into its environment."""

    note: Note
    folder: Path | None
    look: Callable[[int], Process | None]

    @property
    def mark(self) -> str:
        """What the child has to carry."""
        return self.note.mark

    def runs(self, pid: int) -> None:
        """Say which process it has become."""
        child = self.look(pid)
        if self.folder is not None and child is not None:
            note_child(self.folder, replace(self.note, child=replace(child, argv=self.note.argv)))


@contextmanager
def noted(machine: Machine, argv: Argv) -> Iterator[Noted]:
    """A child that is about to start, noted to the end of this block: the next command ends it if we are killed."""
    parent = machine.process(os.getpid())
    folder = machine.children_folder if parent is not None else None
    note = Note(tuple(str(word) for word in argv), secrets.token_hex(8), parent or NOBODY, machine.now())
    path = note_child(folder, note) if folder is not None else None
    try:
        yield Noted(note, folder, machine.process)
    finally:
        forget_child(path)


def forget_child(path: Path | None) -> None:
    """Remove a note; one that stays is passed over later, when its process is gone."""
    if path is not None:
        with suppress(OSError):
            path.unlink(missing_ok=True)


def read_note(path: Path) -> Note | None:
    """A note as it was written down, None when that was cut short or it is something else."""
    with suppress(OSError, Unreadable):
        return read_json_file(path, Note)
    return None


def end_leftovers(machine: Machine, folder: Path) -> list[tuple[str, ...]]:
    """End the noted children whose parent is gone; returns their command lines."""
    ended = []
    for left in _leftovers(machine, folder):
        machine.end_process(left, group=True)
        ended.append(left.argv)
    return ended


def _leftovers(machine: Machine, folder: Path) -> Iterator[Process]:
    """The children that live and whose parent does not; notes of what is gone are removed."""
    marked: dict[str, list[Process]] | None = None
    for path in _notes(folder):
        note = read_note(path)
        if note is not None and is_same(note.parent, machine.process(note.parent.pid)):
            continue
        if note is not None:
            marked = all_marked() if marked is None else marked
            yield from (seen for seen in marked.get(note.mark, ()) if note.means(seen))
        forget_child(path)


def _notes(folder: Path) -> list[Path]:
    with suppress(OSError):
        return sorted(folder.iterdir())[:NOTE_MAX]
    return []
