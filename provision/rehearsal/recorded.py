"""What a rehearsal's home remembers of its world; small, so that every command may look."""

from __future__ import annotations

from pathlib import Path

from provision.home import Home
from provision.receipts import read_json


def world_folder(home: Home) -> Path:
    """Where the embedded world of a home lies."""
    return home.state / "rehearsal"


def recorded_overrides(home: Home) -> list[str] | None:
    """The manifest overrides of the rehearsal that made this home; None for a real home."""
    record = read_json(world_folder(home) / "world.json")
    overrides = record.get("overrides") if record else None
    return [str(override) for override in overrides] if isinstance(overrides, list) else None


def is_miniature(code: Path) -> bool:
    """Whether a checkout is the rehearsal's own engine."""
    return (code / "faults.py").is_file() and not (code / "comfy").is_dir()
