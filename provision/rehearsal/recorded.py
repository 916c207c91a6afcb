"""What a rehearsal's home remembers of its world; small, so that every command may look."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

from provision.home import Home
from provision.receipts import write_json
from provision.strict import Unreadable, read_json_file


@dataclass(frozen=True, slots=True)
class MadeFile:
    """A checkpoint of the world: its size in bytes and its sha256 in hexadecimal."""

    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Files:
    """What the world's model repository holds: its commit, and its checkpoints by name."""

    commit: str
    checkpoints: dict[str, MadeFile]


@dataclass(frozen=True, slots=True)
class WorldRecord:
    """The world of a home: the ports `hub`, `cdn` and `engine`, the manifest overrides, and what was made."""

    ports: dict[str, int]
    overrides: list[str]
    made: Files | None = None
    """None in homes of before: it is made anew."""


def world_folder(home: Home) -> Path:
    """Where the embedded world of a home lies."""
    return home.state / "rehearsal"


def read_world(home: Home) -> WorldRecord | None:
    """The record of a home's world; None where there is none, or none that can be read: it is made anew."""
    try:
        return read_json_file(world_folder(home) / "world.json", WorldRecord)
    except (OSError, Unreadable):
        return None


def write_world(home: Home, record: WorldRecord) -> None:
    """Keep the record. Raises HomeError, DiskFull."""
    write_json(world_folder(home) / "world.json", asdict(record))


def is_rehearsal(home: Home) -> bool:
    """Whether a rehearsal made this home, or has begun to; nothing real belongs there."""
    return world_folder(home).is_dir()


def recorded_overrides(home: Home) -> list[str]:
    """The manifest overrides of the rehearsal that made this home; none for a real home."""
    record = read_world(home)
    return record.overrides if record is not None else []


def is_miniature(code: Path) -> bool:
    """Whether a checkout is the rehearsal's own engine."""
    return (code / "faults.py").is_file() and not (code / "comfy").is_dir()
