"""Receipts, proofs of costly work, written atomically; and the lock over the home."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar, overload

from provision.command import Fix, ours
from provision.core.finding import JSON
from provision.errors import HomeLocked
from provision.system.disk_errors import unusable
from provision.system.strict import Unreadable, read_json_file
from provision.system.synced import sync

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    R = TypeVar("R", bound=DataclassInstance)
T = TypeVar("T")


def write_json(path: Path, value: object, plain: Callable[[object], object] | None = None) -> None:
    """Write JSON, as `write_text` does; `plain` makes JSON of what JSON does not know. Raises HomeError, DiskFull."""
    write_text(path, f"{json.dumps(value, indent=1, sort_keys=True, default=plain)}\n")


def write_text(path: Path, text: str) -> None:
    """As `write_bytes`, a text in UTF-8."""
    write_bytes(path, text.encode())


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file atomically: a reader sees the old one or the new. Raises HomeError, DiskFull."""
    aside = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")  # as `sweeping` reads it
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with aside.open("wb") as stream:
            stream.write(data)
            stream.flush()
            sync(stream.fileno())
        if _is_folder(path):
            make_way(path)
        aside.replace(path)
    except OSError as error:
        with suppress(OSError):
            aside.unlink()
        raise unusable(path.parent, error) from error


def make_way(path: Path) -> None:
    """Rename what is in the way of a file of ours; nobody knows whose it is. Raises OSError."""
    path.rename(path.with_name(f"{path.name}.{time.time_ns()}.moved-aside"))


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def read_state(path: Path, kind: type[T]) -> T | None:
    """A state file as a value of `kind`; None where it is missing or does not fit."""
    try:
        return read_json_file(path, kind)
    except (OSError, Unreadable):
        return None


def read_json(path: Path) -> dict[str, JSON] | None:
    """A JSON object from a file; None where it is missing or something else."""
    return read_state(path, dict[str, JSON])


def forget(path: Path) -> None:
    """Remove a file of state; a folder in its place gets another name. Raises HomeError, DiskFull."""
    try:
        if _is_folder(path):
            make_way(path)
        path.unlink(missing_ok=True)
    except OSError as error:
        raise unusable(path, error) from error


@dataclass(frozen=True, slots=True)
class Receipts:
    """A folder of receipts. A receipt is trusted only while a cheap live probe agrees with it."""

    folder: Path

    @overload
    def read(self, name: str) -> dict[str, JSON]: ...
    @overload
    def read(self, name: str, kind: type[R]) -> R: ...
    def read(self, name: str, kind: type[JSON] = dict[str, JSON]) -> JSON:
        """A receipt as a value of `kind`, whose fields all have defaults; the default where there is no receipt."""
        return read_state(self.folder / f"{name}.json", kind) or kind()

    def write(self, name: str, receipt: DataclassInstance | None = None, /, **facts: JSON) -> None:
        """Replace a receipt. Raises HomeError, DiskFull."""
        write_json(self.folder / f"{name}.json", facts if receipt is None else {**asdict(receipt), **facts})

    def drop(self, name: str) -> None:
        """Remove a receipt, so that its work is checked again. Raises HomeError, DiskFull."""
        forget(self.folder / f"{name}.json")


def file_identity(path: Path) -> dict[str, int]:
    """Size, mtime_ns and inode: whether a file is still the one that was hashed. Raises OSError."""
    stat = path.stat()
    return {"size": stat.st_size, "mtime_ns": stat.st_mtime_ns, "inode": stat.st_ino}


def same_facts(receipt: DataclassInstance, facts: Mapping[str, JSON]) -> bool:
    """Whether a receipt holds exactly these facts (it holds more)."""
    return all(getattr(receipt, name) == value for name, value in facts.items())


def holds(found: Mapping[str, JSON], wanted: Mapping[str, JSON]) -> bool:
    """Whether everything wanted (and something is) was found; more may be."""
    return bool(wanted) and wanted.items() <= found.items()


@contextmanager
def home_lock(path: Path, *, command: str, optional: bool = False) -> Iterator[None]:
    """Lock the home for one command; the kernel releases it even if we are killed.

    With `optional`, no lock is needed on a disk where none can be made: nobody else has one there.
    Raises HomeLocked, with who holds it and since when, and HomeError.
    """
    try:
        handle = _open_lock(path)
    except OSError as error:
        if not optional:
            raise unusable(path.parent, error) from error
        yield
        return
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.pread(handle, 4096, 0).decode("utf-8", "replace").strip() or "another provision"
            raise HomeLocked(
                f"This home is in use by {holder}.",
                hint=Fix("Wait for it to end, or use another folder:", ours("all", "--home", "DIR")),
            ) from error
        except OSError as error:
            raise unusable(path, error) from error
        _name_holder(handle, f"`provision {command}` (pid {os.getpid()}), since {time.strftime('%H:%M:%S')}\n")
        yield
        _name_holder(handle, "")
    finally:
        os.close(handle)


def _open_lock(path: Path) -> int:
    """The lock's file; on a full or read-only disk as it is there. Raises OSError."""
    flags = os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_symlink() or (path.exists() and not path.is_file()):
            make_way(path)
        return os.open(path, flags | os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
            raise
        return os.open(path, flags | os.O_RDONLY)


def _name_holder(handle: int, text: str) -> None:
    """Write who holds the lock; locking itself needs no byte on the disk."""
    with suppress(OSError):
        os.ftruncate(handle, 0)
        os.pwrite(handle, text.encode(), 0)
