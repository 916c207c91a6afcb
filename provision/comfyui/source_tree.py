"""ComfyUI's source as an archive, without a repository: unpacked where nothing can escape, and known file by file.

What is kept of it is a listing: each file's mode and git's id of its bytes. The id of the tree that these make is the
same for every archive of one commit, and that of the commit itself where the host leaves nothing out; so it tells
whether a listing is whole, and whether another archive has the same content.
"""

from __future__ import annotations

import gzip
import io
import os
import re
import shutil
import tarfile
import unicodedata
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from provision.comfyui.git_checkout import PERSONS, State, behind_link
from provision.core.home import Home
from provision.core.receipt_kinds import ComfyReceipt
from provision.core.receipts import Receipts, forget, read_state, write_json
from provision.core.step import Context
from provision.system.git_objects import FILE, LINK, PROGRAM, Entry, blob_at, blob_id, tree_id

UNPACKED_BYTES, FILES_MAX = 1_000_000_000, 50_000
"""ComfyUI has 1,000 files with 21 MB."""
NAME_MAX = 200
LAST_S = 1 << 32
COMMIT = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
PIECE_BYTES = 1 << 16
NAME = "comfyui-files.json"
ARCHIVE = "archive"
"""How a receipt names this way."""


class BadArchive(Exception):
    """What is in an archive cannot be taken; the message says why."""


@dataclass(frozen=True, slots=True)
class Listing:
    """The files of an archive by path, each as its mode and its blob's id; their tree, the commit and its date."""

    commit: str
    tree: str
    date: str
    files: Mapping[str, str] = field(default_factory=dict)

    @property
    def entries(self) -> dict[str, Entry]:
        return {path: Entry(*text.split(" ", 1)) for path, text in self.files.items() if " " in text}

    @property
    def blobs(self) -> dict[str, str]:
        return {path: entry.blob for path, entry in self.entries.items()}


def is_archived(ctx: Context) -> bool:
    """Whether the home's own ComfyUI came as an archive, and no repository was made of it since."""
    return came_as_archive(ctx.home, ctx.receipts)


def came_as_archive(home: Home, receipts: Receipts) -> bool:
    """As `is_archived`, by the receipts of the home."""
    own = home.code_of_another is None and not os.path.lexists(home.comfyui / ".git")
    return own and receipts.read("comfyui", ComfyReceipt).source == ARCHIVE


def listing_of(commit: str, date: str, entries: Mapping[str, Entry]) -> Listing:
    """The listing of these files."""
    files = {path: f"{entry.mode} {entry.blob}" for path, entry in sorted(entries.items())}
    return Listing(commit, tree_id(entries), date, files)


def read_listing(state: Path) -> Listing | None:
    """The listing that a home keeps; None where there is none, or one that is not as it was written."""
    found = read_state(state / NAME, Listing)
    if found is None or not COMMIT.fullmatch(found.commit) or not all(map(_is_plain, found.files)):
        return None
    try:
        return found if tree_id(found.entries) == found.tree else None
    except ValueError:  # an id that is none
        return None


def write_listing(state: Path, listing: Listing) -> None:
    """Keep a listing. Raises HomeError, DiskFull."""
    write_json(state / NAME, asdict(listing))


def drop_listing(state: Path) -> None:
    """Forget the listing of a home whose ComfyUI is a repository. Raises HomeError, DiskFull."""
    forget(state / NAME)


def compare(folder: Path, listing: Listing) -> State:
    """What of a listing's files is deleted or changed; files that are not in it are nobody's business."""
    deleted, modified = [], []
    for name, blob in listing.blobs.items():
        if behind_link(folder, name):
            continue
        if not os.path.lexists(folder / name):
            deleted.append(name)
        elif blob_at(folder / name) != blob:
            modified.append(name)
    return State(listing.commit, (), tuple(deleted), tuple(modified))


# -- placing ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Change:
    """What bringing files to a revision does: names to write, to remove, and those of a person in the way."""

    write: tuple[str, ...]
    remove: tuple[str, ...]
    persons: tuple[str, ...]


def plan_change(folder: Path, before: Listing | None, after: Listing, *, keep: bool) -> Change:
    """How a folder becomes `after`, where the files of `before` were ours. With `keep` only what is missing is written.

    A file that is as before or as after is ours; any other is a person's. What a person deleted of the folders that are
    theirs stays deleted.
    """
    old, new = before.blobs if before is not None else {}, after.blobs
    write, persons = [], []
    for name, blob in new.items():
        if behind_link(folder, name):
            continue
        if not os.path.lexists(folder / name):
            if name not in old or not name.startswith(PERSONS):
                write.append(name)
                persons += [each for each in _in_the_way(folder, name) if each not in persons]
        elif (here := blob_at(folder / name)) != blob and not keep:
            write.append(name)
            if here != old.get(name) or not here:
                persons.append(name)
    gone = [
        name for name in old if name not in new and os.path.lexists(folder / name) and not behind_link(folder, name)
    ]
    remove = [] if keep else [name for name in gone if blob_at(folder / name) == old[name]]
    return Change(tuple(write), tuple(remove), tuple(persons))


def _in_the_way(folder: Path, name: str) -> list[str]:
    """The file that stands where a folder of `name` is to be, if there is one."""
    parents = [parent.as_posix() for parent in Path(name).parents]
    return [parent for parent in parents if os.path.lexists(folder / parent) and not (folder / parent).is_dir()]


def place(folder: Path, unpacked: Path, change: Change) -> None:
    """Write and remove files; what a person had in their places was moved away before. Raises OSError."""
    for name in change.write:
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        aside = target.with_name(f".{target.name}.{os.getpid()}")
        shutil.copy2(unpacked / name, aside, follow_symlinks=False)
        aside.replace(target)
    for name in change.remove:
        (folder / name).unlink(missing_ok=True)
        for parent in (folder / name).parents:
            if parent == folder or any(parent.iterdir()):
                break
            parent.rmdir()


# -- unpacking ----------------------------------------------------------------------------------------------------


def unpack(archive: Path, to: Path, commit: str) -> Listing:
    """Write an archive's files below the new folder `to`, without the folder that holds them all in it.

    Only plain files, folders, and links to what lies beside or below them are taken; links are made when all files are
    written, so that nothing is written through one. Raises BadArchive, OSError.
    """
    try:
        return _unpack(archive, to, commit)
    except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
        raise BadArchive(f"it has a file where it has a folder too ({Path(error.filename).name})") from error


def _unpack(archive: Path, to: Path, commit: str) -> Listing:
    entries: dict[str, Entry] = {}
    links: dict[str, str] = {}
    seen: set[str] = set()
    newest = 0.0
    with _opened(archive) as tar:
        for member in tar:
            name = _inner(member.name)
            if member.isdir() or not name:
                continue
            _check(member, name, seen)
            newest = max(newest, member.mtime)
            if member.issym():
                links[name] = member.linkname
                entries[name] = Entry(LINK, blob_id(os.fsencode(member.linkname)))
                continue
            data = _bytes_of(tar, member)
            path = to / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
            runs = bool(member.mode & 0o100)
            path.chmod(0o755 if runs else 0o644)
            os.utime(path, (member.mtime, member.mtime))
            entries[name] = Entry(PROGRAM if runs else FILE, blob_id(data))
        told = tar.pax_headers.get("comment", commit)
    for name, leads in links.items():
        if any(parent.as_posix() in links for parent in Path(name).parents):
            raise BadArchive(f"{name!r} lies below a link")
        (to / name).parent.mkdir(parents=True, exist_ok=True)
        (to / name).symlink_to(leads)
    if told != commit:
        raise BadArchive(f"it is of another commit ({told[:12]})")
    if not entries:
        raise BadArchive("there is nothing in it")
    return listing_of(commit, datetime.fromtimestamp(newest, UTC).isoformat(timespec="seconds"), entries)


def read_archived(archive: Path, wanted: str) -> tuple[str, str]:
    """The text of one file in an archive, and the commit's date. Raises BadArchive, UnicodeDecodeError, OSError."""
    with _opened(archive) as tar:
        for member in tar:
            if _inner(member.name) == wanted and member.isreg():
                date = datetime.fromtimestamp(member.mtime, UTC).isoformat(timespec="seconds")
                return _bytes_of(tar, member).decode("utf-8"), date
    raise BadArchive(f"it has no {wanted}")


@contextmanager
def _opened(archive: Path) -> Iterator[tarfile.TarFile]:
    try:
        with gzip.open(archive) as stream, tarfile.open(fileobj=_Bounded(stream), mode="r|") as tar:
            yield tar
    except (tarfile.TarError, EOFError, gzip.BadGzipFile, zlib.error, UnicodeError) as error:
        raise BadArchive(f"it is no archive, or not a whole one ({error})") from error


class _Bounded(io.RawIOBase):
    """The unpacked bytes, up to a limit: a few packed ones can stand for very many."""

    def __init__(self, inner: gzip.GzipFile) -> None:
        self._inner, self._left = inner, UNPACKED_BYTES

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        data = self._inner.read(PIECE_BYTES if size < 0 else min(size, PIECE_BYTES))
        self._left -= len(data)
        if self._left < 0:
            raise BadArchive(f"it unpacks to more than {UNPACKED_BYTES:,} bytes")
        return data


def _bytes_of(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    stream = tar.extractfile(member)
    data = stream.read() if stream is not None else b""
    if len(data) != member.size:
        raise BadArchive(f"{member.name!r} is not whole")
    return data


def _inner(name: str) -> str:
    """A member's path without the folder that holds all of them; empty for that folder."""
    return name.partition("/")[2].rstrip("/")


def _check(member: tarfile.TarInfo, name: str, seen: set[str]) -> None:
    """Refuse what could lie anywhere but in its place. Raises BadArchive."""
    if not (member.isreg() or member.issym()):
        raise BadArchive(f"{name!r} is neither a file nor a folder")
    if member.name.startswith("/") or not _is_plain(name):
        raise BadArchive(f"{name!r} is no name of a file in it")
    folded = unicodedata.normalize("NFC", name).casefold()  # as a Mac's disk tells names apart
    if folded in seen:
        raise BadArchive(f"{name!r} is in it twice")
    seen.add(folded)
    if len(seen) > FILES_MAX:
        raise BadArchive(f"it has more than {FILES_MAX:,} files")
    if member.issym() and not _is_plain(member.linkname):  # what leads up may lead out, by way of another link
        raise BadArchive(f"the link {name!r} leads out of its folder")
    if not 0 <= member.mtime < LAST_S:
        raise BadArchive(f"{name!r} has no time of this century")


def _is_plain(name: str) -> bool:
    """Whether a path stays below the folder that it is taken from, and names nothing of git's."""
    parts = name.split("/")
    return (
        bool(name)
        and "\0" not in name
        and "\\" not in name
        and all(0 < len(os.fsencode(part)) <= NAME_MAX and part not in (".", "..") for part in parts)
        and not any(_as_seen(part) == ".git" for part in parts)
    )


def _as_seen(part: str) -> str:
    """A name as a Mac's disk reads it, without the characters that it passes over (verify_path of git)."""
    return "".join(letter for letter in part if unicodedata.category(letter) != "Cf").casefold().rstrip(". ")
