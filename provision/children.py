"""Notes of running children, so that those which outlive a killed run are ended before the next one writes.

A `kill -9` of the tool cannot be passed on, and a wget or uv that goes on would write beside its successor. So each
child is noted in the home while it lives, with who started it. A child carries a mark that its note holds too (MARK of
`processes`): a note that somebody else wrote, of a process that is none of ours, ends nothing. Notes are a help for the
next run: that one cannot be written or removed stops nobody.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from provision.processes import Process
from provision.strict import Unreadable, read_json_file

NOTE_MAX = 1_000
"""Notes that are looked at: more have never been there at once."""


@dataclass(frozen=True, slots=True)
class Note:
    """A child, the mark that it carries, and who started it."""

    child: Process
    mark: str
    parent: Process


def note_child(folder: Path, note: Note) -> Path | None:
    """Write a child down; None when the folder cannot be written."""
    import json

    path = folder / str(note.child.pid)
    with suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(asdict(note)), encoding="utf-8")
        return path
    return None


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


def leftovers(folder: Path, lives: Callable[[Process], bool], mark_of: Callable[[int], str]) -> Iterator[Process]:
    """The children that live and whose parent does not; notes of what is gone are removed."""
    for path in _notes(folder):
        note = read_note(path)
        if note is not None and lives(note.parent):
            continue
        if note is not None and note.mark and mark_of(note.child.pid) == note.mark and lives(note.child):
            yield note.child
        forget_child(path)


def _notes(folder: Path) -> list[Path]:
    with suppress(OSError):
        return sorted(folder.iterdir())[:NOTE_MAX]
    return []
