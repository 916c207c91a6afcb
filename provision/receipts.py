"""Receipts, proofs of costly work, written atomically; and the lock over the home."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import re
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from provision.errors import HomeLocked
from provision.finding import JSON
from provision.home import unusable

ASIDE = re.compile(r"\..+\.json\.(\d{1,9})\.\d+")
"""The name of JSON that is being written: by which process, and which of its threads."""


def write_json(path: Path, value: object) -> None:
    """Write JSON beside `path`, then rename: a reader sees the old text or the new, never half.

    Raises HomeError or DiskFull.
    """
    aside = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")  # as ASIDE reads it
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with aside.open("w", encoding="utf-8") as stream:
            json.dump(value, stream, indent=1, sort_keys=True)
            stream.write("\n")
            stream.flush()
            os.fsync(stream.fileno())
        aside.replace(path)
    except OSError as error:
        with suppress(OSError):
            aside.unlink()
        raise unusable(path.parent, error) from error


def sweep(*folders: Path) -> None:
    """Remove what killed runs left of JSON that they did not finish to write. Raises HomeError."""
    for folder in folders:
        try:
            for path in folder.glob(".*.json.*"):
                if (found := ASIDE.fullmatch(path.name)) and not _is_alive(int(found[1])):
                    path.unlink(missing_ok=True)
        except OSError as error:
            raise unusable(folder, error) from error


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # another user's
        return True
    return True


def read_json(path: Path) -> dict[str, JSON] | None:
    """A JSON object from a file; None when there is none or it is not one."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None


@dataclass(frozen=True, slots=True)
class Receipts:
    """A folder of receipts. A receipt is trusted only while a cheap live probe agrees with it."""

    folder: Path

    def read(self, name: str) -> dict[str, JSON]:
        """A receipt, empty when there is none."""
        return read_json(self.folder / f"{name}.json") or {}

    def write(self, name: str, /, **facts: JSON) -> None:
        """Replace a receipt."""
        write_json(self.folder / f"{name}.json", facts)

    def drop(self, name: str) -> None:
        """Forget a receipt, so that its work is proven again."""
        (self.folder / f"{name}.json").unlink(missing_ok=True)


def file_identity(path: Path) -> dict[str, JSON]:
    """What tells cheaply whether a file is still the one that was hashed (size, mtime_ns, inode).

    Raises OSError.
    """
    stat = path.stat()
    return {"size": stat.st_size, "mtime_ns": stat.st_mtime_ns, "inode": stat.st_ino}


def same_facts(receipt: Mapping[str, JSON], facts: Mapping[str, JSON]) -> bool:
    """Whether a receipt holds exactly these facts (it may hold more)."""
    return all(name in receipt and receipt[name] == value for name, value in facts.items())


def _holder(handle: int) -> str:
    with suppress(OSError):
        return os.pread(handle, 4096, 0).decode("utf-8", "replace").strip() or "another provision"
    return "another provision"


@contextmanager
def home_lock(path: Path, *, command: str, optional: bool = False) -> Iterator[None]:
    """Hold the home for one command; the kernel lets go of it whatever becomes of us.

    With `optional`, a disk on which no lock can be made is gone without: nobody else holds one there.
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
            raise HomeLocked(
                f"This home is in use by {_holder(handle)}.",
                hint="Wait for it to end, or use another folder: provision all --home DIR",
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
    flags = os.O_CLOEXEC | os.O_NONBLOCK
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return os.open(path, flags | os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
            raise
        return os.open(path, flags | os.O_RDONLY)


def _name_holder(handle: int, text: str) -> None:
    """Write down for others who holds the lock; the lock itself needs no byte on the disk."""
    with suppress(OSError):
        os.ftruncate(handle, 0)
        os.pwrite(handle, text.encode(), 0)
