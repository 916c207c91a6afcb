"""Revisions of a ComfyUI that came as archives: what `revisions` does by git, done with the archives, which are kept.

A person's edits travel as whole files, each with the id of the file that it was made of: it goes into another revision
where that has the same file, and stays what it is where it has not.
"""

from __future__ import annotations

import base64
import json
import shutil
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from provision.comfyui.source_tree import (
    BadArchive,
    Listing,
    came_as_archive,
    compare,
    place,
    plan_change,
    read_listing,
    unpack,
    write_listing,
)
from provision.command import Fix, ours
from provision.core.home import Home
from provision.core.receipts import Receipts, forget
from provision.errors import GitError
from provision.system.disk_errors import unusable
from provision.system.strict import Unreadable, decode

ARCHIVES, UNPACKED = "comfyui-archives", "comfyui-new"
"""The folders of state in which archives are kept, and unpacked for a moment."""


@dataclass(frozen=True, slots=True)
class _Edit:
    """A file that a person changed: its bytes in base64, and git's id of the file that it was before."""

    of: str
    text: str


def archive_of(state: Path, commit: str) -> Path:
    """Where the archive of a commit is kept."""
    return state / ARCHIVES / f"{commit}.tar.gz"


def is_by_archives(home: Home) -> bool:
    """Whether the revisions of a home's ComfyUI are archives."""
    return came_as_archive(home, Receipts(home.receipts))


def edits(home: Home) -> bytes:
    """What a person changed in ComfyUI's files; empty where nothing. Raises GitError, HomeError."""
    listing = _here(home)
    names = edited(home)
    try:
        kept = {name: _kept(home.comfyui / name, listing.blobs[name]) for name in names}
    except OSError as error:
        raise unusable(home.comfyui, error) from error
    return json.dumps(kept, sort_keys=True).encode() if kept else b""


def _kept(path: Path, blob: str) -> dict[str, str]:
    return {"of": blob, "text": base64.b64encode(path.read_bytes()).decode("ascii")}


def write_out(home: Home, commit: str, destination: Path, carried: bytes = b"") -> tuple[Listing, bytes | None]:
    """Write a commit's files into a new folder, with a person's edits of another.

    Returns what the commit has, and the edits as they are for it; None where they do not fit, and are not written.
    Raises GitError, HomeError.
    """
    listing = _unpack(home, commit, destination)
    if any(listing.blobs.get(name) != edit.of for name, edit in _read(carried).items()):
        return listing, None
    write_edits(destination, carried)
    return listing, carried


def move_to(home: Home, commit: str, carried: bytes, set_aside: Callable[[Path], None]) -> None:
    """Bring ComfyUI to a commit whose archive is kept, and put a person's edits of it into its files.

    The edits of the commit before are saved by now. `set_aside` moves a file away that stands where the commit has
    another. Can be killed anywhere and done again. Raises GitError, HomeError, DiskFull.
    """
    folder, before, new = home.comfyui, _here(home), home.state / UNPACKED
    shutil.rmtree(new, ignore_errors=True)
    try:
        after = _unpack(home, commit, new)
        change = plan_change(folder, before, after, keep=False)
        for name in change.persons:
            if name not in before.files:
                set_aside(folder / name)
        place(folder, new, change)
        write_listing(home.state, after)
        write_edits(folder, carried)
    except OSError as error:
        raise unusable(folder, error) from error
    finally:
        shutil.rmtree(new, ignore_errors=True)


def write_edits(folder: Path, carried: bytes) -> None:
    """Write a person's edited files into a folder. Raises GitError, HomeError, DiskFull."""
    try:
        for name, edit in _read(carried).items():
            path = folder / name
            if not path.resolve().is_relative_to(folder.resolve()):
                raise GitError(f"Your changes cannot be put back: {name} leads elsewhere.", hint=ours("doctor"))
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(base64.b64decode(edit.text))
    except (OSError, ValueError) as error:
        raise unusable(folder, error if isinstance(error, OSError) else OSError(str(error))) from error


def edited(home: Home) -> tuple[str, ...]:
    """The files of ComfyUI that a person changed. Raises GitError."""
    return compare(home.comfyui, _here(home)).modified


def let_go(home: Home, commits: Collection[str]) -> None:
    """Remove the archives of all commits but these. Raises HomeError."""
    for path in (home.state / ARCHIVES).glob("*.tar.gz"):
        if path.name.removesuffix(".tar.gz") not in commits:
            forget(path)


def _here(home: Home) -> Listing:
    listing = read_listing(home.state)
    if listing is None:
        raise GitError("The list of ComfyUI's files is gone.", hint=ours("all"))
    return listing


def _unpack(home: Home, commit: str, to: Path) -> Listing:
    try:
        return unpack(archive_of(home.state, commit), to, commit)
    except (BadArchive, FileNotFoundError) as error:
        with suppress(OSError):
            shutil.rmtree(to)
        why = f" ({error})" if isinstance(error, BadArchive) else ""
        raise GitError(
            f"The archive of ComfyUI {commit[:8]} is not here, or damaged{why}.",
            hint=Fix("Download it again:", ours("all", "--comfyui", commit)),
        ) from error
    except OSError as error:
        raise unusable(to, error) from error


def _read(carried: bytes) -> Mapping[str, _Edit]:
    """Edits as they were kept. Raises GitError for what is none."""
    try:
        return decode(carried, dict[str, _Edit]) if carried else {}
    except Unreadable as error:
        raise GitError(f"Your changes cannot be put back: {error}.", hint=ours("doctor")) from error
