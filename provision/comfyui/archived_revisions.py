"""Revisions of a ComfyUI that came as archives: what `revisions` does by git, done with the archives, which are kept.

A person's edits travel as whole files, each with the id of the file that it was made of: they go into another revision
where that has the same files, and are kept as files where it has not.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from provision.comfyui.git_remote import Revision
from provision.comfyui.revisions import Written
from provision.comfyui.source_tree import (
    ARCHIVE,
    BadArchive,
    Listing,
    compare,
    place,
    plan_change,
    read_listing,
    unpack,
    write_listing,
)
from provision.command import Fix, ours
from provision.core.home import Home
from provision.core.receipts import forget
from provision.errors import GitError
from provision.system.disk_errors import unusable
from provision.system.git_objects import FILE, LINK, PROGRAM
from provision.system.strict import Unreadable, decode

ARCHIVES, UNPACKED = "comfyui-archives", "comfyui-new"
"""The folders of state in which archives are kept, and unpacked for a moment."""


@dataclass(frozen=True, slots=True)
class _Edit:
    """A file that a person changed: its bytes in base64 (of a link, where it leads), its mode, the id of it before."""

    of: str
    text: str
    mode: str = FILE


@dataclass(frozen=True, slots=True)
class ArchivedRevisions:
    """The revisions of a home whose ComfyUI came as an archive; see `Revisions` of `revisions`."""

    home: Home

    def head(self) -> str | None:
        """The commit of the archive that was unpacked; None where its list is gone."""
        listing = read_listing(self.home.state)
        return listing.commit if listing is not None else None

    def blobs(self) -> Mapping[str, str]:
        """The ids of the files of the archive."""
        return _here(self.home).blobs

    def edited(self) -> tuple[str, ...]:
        """The files that a person changed."""
        listing = _here(self.home)
        modified = compare(self.home.comfyui, listing).modified
        return (*modified, *(name for name in _other_modes(self.home.comfyui, listing) if name not in modified))

    def edits(self) -> bytes:
        """What a person changed: whole files."""
        blobs, folder = _here(self.home).blobs, self.home.comfyui
        try:
            kept = {name: asdict(_edit(folder / name, blobs[name])) for name in self.edited()}
        except OSError as error:
            raise unusable(folder, error) from error
        return json.dumps(kept, sort_keys=True).encode() if kept else b""

    def save(self, edits: bytes, place: Path) -> Path:
        """Write edited files into a folder."""
        write_edits(place, edits)
        return place

    def hold(self, number: int, commit: str) -> None:
        """An archive that is here stays until it is let go."""

    def let_go(self, kept: Mapping[int, str]) -> None:
        """Remove the archives of all commits but these."""
        let_go(self.home, kept.values())

    def write_out(self, commit: str, destination: Path, edits: bytes = b"") -> Written:
        """Write a commit's files into a new folder, with a person's edits where it has the same files."""
        listing = _unpack(self.home, commit, destination)
        written = Written(listing.date, listing.tree, ARCHIVE, edits)
        if any(listing.blobs.get(name) != edit.of for name, edit in _read(edits).items()):
            return replace(written, edits=None)
        write_edits(destination, edits)
        return written

    def move_to(self, revision: Revision, edits: bytes, set_aside: Callable[[Path], None]) -> None:
        """Place the files of a commit whose archive is kept, and write a person's edits of them."""
        assert revision.commit is not None
        folder, before, new = self.home.comfyui, _here(self.home), self.home.state / UNPACKED
        shutil.rmtree(new, ignore_errors=True)
        try:
            after = _unpack(self.home, revision.commit, new)
            change = plan_change(folder, before, after, keep=False)
            for name in change.persons:
                if name not in before.files:
                    set_aside(folder / name)
            place(folder, new, change)
            for name in _other_modes(folder, after):
                _set_mode(folder / name, after.entries[name].mode)
            write_listing(self.home.state, after)
            write_edits(folder, edits)
        except OSError as error:
            raise unusable(folder, error) from error
        finally:
            shutil.rmtree(new, ignore_errors=True)


def archive_of(state: Path, commit: str) -> Path:
    """Where the archive of a commit is kept."""
    return state / ARCHIVES / f"{commit}.tar.gz"


def let_go(home: Home, commits: Collection[str]) -> None:
    """Remove the archives of all commits but these. Raises HomeError."""
    for path in (home.state / ARCHIVES).glob("*.tar.gz"):
        if path.name.removesuffix(".tar.gz") not in commits:
            forget(path)


def write_edits(folder: Path, carried: bytes) -> None:
    """Write a person's edited files into a folder. Raises GitError, HomeError, DiskFull."""
    try:
        for name, edit in _read(carried).items():
            path = folder / name
            if ".." in path.parts or not path.parent.resolve().is_relative_to(folder.resolve()):
                raise GitError(f"Your changes cannot be put back: {name} leads elsewhere.", hint=ours("doctor"))
            path.parent.mkdir(parents=True, exist_ok=True)
            path.unlink(missing_ok=True)
            data = base64.b64decode(edit.text)
            if edit.mode == LINK:
                path.symlink_to(os.fsdecode(data))
                continue
            path.write_bytes(data)
            _set_mode(path, edit.mode)
    except (OSError, ValueError) as error:
        raise unusable(folder, error if isinstance(error, OSError) else OSError(str(error))) from error


def _edit(path: Path, blob: str) -> _Edit:
    link = path.is_symlink()
    data = os.fsencode(path.readlink()) if link else path.read_bytes()
    mode = LINK if link else PROGRAM if os.access(path, os.X_OK) else FILE
    return _Edit(blob, base64.b64encode(data).decode("ascii"), mode)


def _set_mode(path: Path, mode: str) -> None:
    bits = path.stat().st_mode & 0o777
    path.chmod(bits | (bits & 0o444) >> 2 if mode == PROGRAM else bits & ~0o111)


def _other_modes(folder: Path, listing: Listing) -> Iterator[str]:
    """The files that a person made programs of, or the reverse; none on a disk that calls every file a program."""
    plain = {name: entry for name, entry in listing.entries.items() if entry.mode in (FILE, PROGRAM)}
    here = {
        name: entry for name, entry in plain.items() if (folder / name).is_file() and not (folder / name).is_symlink()
    }
    runs = {name for name in here if os.access(folder / name, os.X_OK)}
    if runs == here.keys():
        return
    yield from (name for name, entry in here.items() if (name in runs) != (entry.mode == PROGRAM))


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
            f"The archive of ComfyUI {commit[:8]} is missing or damaged{why}.",
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
