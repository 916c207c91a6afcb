"""What a person edited in ComfyUI's files, as it is kept with a generation that is not in use.

It goes when the generation does, unless it is kept nowhere else.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from provision.system.strict import Unreadable, read_file

EDITS = "edits.patch"
EDITS_MAX_BYTES = 100_000_000
OF_THE_PLACE = (b"index ", b"@@ ", b" ")
"""How lines of a patch begin that say where it fits, not what it changes (git-diff-files(1))."""


def edits_of(env: Path) -> bytes:
    """The edits that belong to a generation. Raises OSError, Unreadable for an odd file."""
    try:
        return read_file(env / "set" / EDITS, max_bytes=EDITS_MAX_BYTES)
    except FileNotFoundError:
        return b""


def same_changes(one: bytes, other: bytes) -> bool:
    """Whether two patches change the same, wherever in the files that is."""
    return _changes(one) == _changes(other)


def _changes(edits: bytes) -> list[bytes]:
    return [line for line in edits.split(b"\n") if not line.startswith(OF_THE_PLACE)]


def save_the_last(env: Path) -> Path | None:
    """Move a generation's edits to `moved-aside` before it is removed; None where others have them, or there are none.

    Raises OSError.
    """
    kept = env / "set" / EDITS
    try:
        mine = edits_of(env)
        others = [edits_of(path.parent.parent) for path in env.parent.glob(f"*/set/{EDITS}") if path != kept]
    except Unreadable:
        return None
    if not mine or any(same_changes(mine, each) for each in others):
        return None
    place = env.parent.parent / "moved-aside" / f"ComfyUI edits of generation {env.name}.patch"
    place.parent.mkdir(exist_ok=True)
    shutil.copyfile(kept, place)
    return place
