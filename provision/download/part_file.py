"""Unfinished downloads: one part for all backends, named after the content that it will have.

`state/parts/<sha256>.part` holds the first bytes of the file; `<sha256>.json` beside it says of which file, and what
the server said of it. Where it names `ranges`, those bytes are here and the others are holes: so `http` leaves it,
and `make_plain` makes it a beginning again. git-lfs works in a folder `<sha256>.lfs` of its own; what a killed one
left there is taken over.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from provision.core.home import Home
from provision.core.receipts import make_way, read_state, write_json
from provision.download.backend import HubFile
from provision.download.http.segments import Span, merged, prefix_of
from provision.download.writers import end_writers
from provision.errors import DiskFull, HomeError
from provision.system.disk_errors import unusable
from provision.system.disk_use import bytes_here
from provision.system.machine import Machine
from provision.system.synced import sync

WORKERS = ("lfs", "wget", "hf", "xet")
"""What has a folder of its own beside a part: git-lfs for its store, wget for its orders, a huggingface_hub of an
unknown version for its download, hf_xet for what it would put into the person's cache."""


@dataclass(frozen=True, slots=True)
class Sidecar:
    """What lies beside a part: of which file it is, and what `http` noted: which bytes are here (without `ranges` all
    that are), and the strong ETag that a host gave for them."""

    endpoint: str = ""
    repo: str = ""
    revision: str = ""
    path: str = ""
    size: int = 0
    sha256: str = ""
    etag: str = ""
    etag_of: str = ""
    ranges: tuple[Span, ...] | None = None


def part_of(home: Home, sha256: str) -> Path:
    """Where the part of a content lies."""
    return home.parts / f"{sha256}.part"


def bytes_waiting(home: Home, sha256: str) -> int:
    """How many bytes of a content a former run left, in whatever form."""
    part = part_of(home, sha256)
    return max(bytes_of(part), *map(bytes_here, lfs_pieces(part)), 0)


def bytes_of(part: Path) -> int:
    """How many bytes of the file a part holds, holes not counted."""
    return sum(stop - start for start, stop in known_ranges(part))


def open_part(machine: Machine, home: Home, file: HubFile) -> Path:
    """The part of a file, ready to be gone on with, its sidecar written.

    Ends programs of a killed run that still write to it, takes over what git-lfs left, and throws away a
    part that cannot be the beginning of the file. Raises HomeError or DiskFull.
    """
    part = part_of(home, file.sha256)
    try:
        part.parent.mkdir(parents=True, exist_ok=True)
        end_writers(machine, part)
        take_over(part)
        _clear_folders(part)
        _refuse_strange(part)
        if bytes_here(part) > file.size:
            drop_part(part)
    except OSError as error:
        raise unusable(part.parent, error) from error
    known = replace(
        _known(part),
        endpoint=file.endpoint,
        repo=file.repo,
        revision=file.revision,
        path=file.path,
        size=file.size,
        sha256=file.sha256,
    )
    write_json(_sidecar(part), asdict(known))
    return part


def _refuse_strange(part: Path) -> None:
    """What is to be written to must be a file of its own: through a link it would be a person's. Raises OSError."""
    if part.is_symlink() or (part.exists() and not part.is_file()) or (part.is_file() and part.stat().st_nlink > 1):
        make_way(part)


def drop_part(part: Path) -> None:
    """Forget a part and all that belongs to it."""
    part.unlink(missing_ok=True)
    _sidecar(part).unlink(missing_ok=True)
    _clear_folders(part)


def put_in_place(part: Path, destination: Path) -> None:
    """One rename; file and folder are on the disk before anybody is told so. Raises HomeError or DiskFull."""
    try:
        destination.parent.mkdir(parents=True, exist_ok=True)
        _sync(part)
        _rename(part, destination)
        _sync(destination.parent)
        drop_part(part)
    except OSError as error:
        raise unusable(destination, error) from error


def _rename(part: Path, destination: Path) -> None:
    """A rename; to another volume, a copy beside the place and then a rename."""
    try:
        part.replace(destination)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        aside = destination.with_name(f".{destination.name}.{os.getpid()}")
        try:
            shutil.copyfile(part, aside)
            _sync(aside)
            aside.replace(destination)
        finally:
            aside.unlink(missing_ok=True)
        part.unlink()


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        sync(handle)
    finally:
        os.close(handle)


def adopt(part: Path, begun: Path) -> None:
    """Make another file, the beginning of the same content, the part. Raises OSError."""
    drop_part(part)
    part.parent.mkdir(parents=True, exist_ok=True)
    begun.replace(part)


def known_etag(part: Path) -> tuple[str, str]:
    """The strong ETag that a server gave for what the part was begun with, and its host; empty when none is known."""
    known = _known(part)
    return known.etag, known.etag_of


def known_ranges(part: Path) -> list[Span]:
    """Which bytes of a part are the file's: all of them, where nothing else was noted."""
    size = bytes_here(part)
    noted = _known(part).ranges
    if noted is None:
        return [(0, size)] if size else []
    return merged([(start, min(stop, size)) for start, stop in noted if 0 <= start < min(stop, size)])


def keep_state(part: Path, ranges: tuple[Span, ...], etag: str, etag_of: str) -> None:
    """Note how far a part is. Raises HomeError or DiskFull.

    Written often, so not synced: a kill cannot undo it, and after a loss of power the hash tells.
    """
    sidecar = _sidecar(part)
    aside = sidecar.with_name(f".{sidecar.name}")
    noted = replace(_known(part), ranges=ranges, etag=etag, etag_of=etag_of)
    try:
        aside.write_text(json.dumps(asdict(noted)), encoding="utf-8")
        aside.replace(sidecar)
    except OSError as error:
        raise unusable(part.parent, error) from error


def make_plain(part: Path) -> None:
    """Cut a part with holes down to its beginning without one, as programs need it. Raises HomeError or DiskFull."""
    plain = prefix_of(known_ranges(part))
    try:
        if bytes_here(part) > plain:
            os.truncate(part, plain)
    except OSError as error:
        raise unusable(part, error) from error
    _forget_ranges(part)


def work_folder(part: Path, of: str) -> Path:
    """Where one of `WORKERS` works on this part."""
    return part.with_suffix(f".{of}")


def lfs_pieces(part: Path) -> list[Path]:
    """What git-lfs holds of the object: `objects/aa/bb/<oid>`, `incomplete/<oid>.part` or `<oid><digits>`."""
    store, oid = work_folder(part, "lfs") / "store", part.stem
    with suppress(OSError):
        return [*store.glob(f"objects/*/*/{oid}"), *store.glob(f"incomplete/{oid}*")]
    return []


def take_over(part: Path) -> None:
    """Make git-lfs's largest piece the part, when it is larger, and remove its folder. Raises OSError."""
    largest = max(lfs_pieces(part), key=bytes_here, default=None)
    if largest is not None and bytes_here(largest) > bytes_of(part):
        # git-lfs writes its objects read-only; a part is written to.
        largest.chmod(0o644)
        largest.replace(part)
        _forget_ranges(part)
    shutil.rmtree(work_folder(part, "lfs"), ignore_errors=True)


def disk_trouble(path: Path, said: str) -> HomeError | DiskFull | None:
    """What a program's complaint says about the disk, None when it is about something else."""
    for number in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES):
        if os.strerror(number).lower() in said.lower():
            return unusable(path, OSError(number, os.strerror(number)))
    return None


@contextmanager
def disk_errors_said(path: Path) -> Iterator[None]:
    """What a disk refuses meanwhile, as HomeError or DiskFull; `path` is named where the system names none."""
    try:
        yield
    except OSError as error:
        raise unusable(Path(error.filename) if isinstance(error.filename, str) else path, error) from error


def write_private(path: Path, text: str) -> None:
    """A new file that only we can read, for what a program must know and a list of processes must not. Raises
    OSError."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as stream:
        stream.write(text)


def _forget_ranges(part: Path) -> None:
    known = _known(part)
    if known.ranges is not None:
        write_json(_sidecar(part), asdict(replace(known, ranges=None)))


def _known(part: Path) -> Sidecar:
    return read_state(_sidecar(part), Sidecar) or Sidecar()


def _sidecar(part: Path) -> Path:
    return part.with_suffix(".json")


def _clear_folders(part: Path) -> None:
    for each in WORKERS:
        shutil.rmtree(work_folder(part, each), ignore_errors=True)
