"""No download where the bytes are here: find a copy of a file on this machine, verify it, and take it over.

A copy is looked for by its exact size, then by its safetensors header; its hash is verified before it is used. It is
cloned where the file system can (APFS, Btrfs, XFS), else hard-linked, and copied only where neither can be done.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import stat
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

from provision.comfyui.desktop import person
from provision.comfyui.safetensors import HeaderTruncated, NotSafetensors
from provision.core.events import Work
from provision.core.finding import JSON
from provision.core.home import Home
from provision.core.receipts import file_identity
from provision.core.step import Context
from provision.download.known_folders import Place, asked_places, known_places
from provision.download.verify import HASH_BYTES, SAID_EVERY_S, header_of, misfit, sha256_of
from provision.system.disk_errors import unusable
from provision.system.guarded import Closed, closed_on, nothing_closed
from provision.system.strict import Unreadable

DEADLINE_S = 2.0
"""How long is looked, at most: a plan must not wait for a folder on a network, or for a question of the system's."""
ENTRIES_MAX = 20_000
"""How many names of one place are read, at most."""
PASSED_OVER = frozenset(
    {
        ".git",
        "node_modules",
        "venv",
        ".venv",
        "__pycache__",
        "site-packages",
        ".Trash",
        ".Trashes",
        ".Spotlight-V100",
        ".fseventsd",
    }
)
WRONG_COPIES = "wrong-copies"
"""The receipt of files that had the right size and a wrong hash: while they stay the same they are not hashed again."""
SF_DATALESS = 0x40000000
"""macOS's sys/stat.h: the bytes are in iCloud, and reading the file would download them."""
FICLONE = 0x40049409
"""Linux's ioctl_ficlone(2)."""
Identity = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Sought:
    """A file that is looked for, and the place that it is for; `sha256` is empty while nobody has told it."""

    place: Path
    size: int
    sha256: str
    precision: str
    checkpoint: bool


# -- finding ------------------------------------------------------------------------------------------------


def find_copies(ctx: Context, sought: Sought) -> list[Path]:
    """Files outside of the home that may be the one sought, by size and header; the most promising first.

    Takes at most `DEADLINE_S`. A rehearsal looks only where it was told to.
    """
    ctx.doing(f"looking for a copy of {sought.place.name} on this machine")
    asked = asked_places([folder.expanduser().absolute() for folder in ctx.options.look_in])
    closed = closed_on(ctx.machine.system, person(ctx.machine.environ))
    others: Iterable[Place] = () if ctx.options.rehearsal else known_places(ctx.machine.environ, closed)
    wrong = ctx.receipts.read(WRONG_COPIES)
    hunt = _Hunt(
        sought.size,
        lambda path: _fits(path, sought) and wrong.get(str(path)) != _mark(path, sought.sha256),
        closed,
        seen={identity for identity in map(_identity, (ctx.home.root, sought.place)) if identity},
    )
    hunt.go(chain(_bundled(ctx, sought), asked, others), DEADLINE_S)
    ctx.machine.check_interrupted()

    def promise(path: Path) -> tuple[bool, bool, bool]:
        return path.name != sought.sha256, not same_volume(path, sought.place), path.name != sought.place.name

    return sorted(hunt.found, key=promise)


def _bundled(ctx: Context, sought: Sought) -> Iterator[Place]:
    """The folder of a bundle on a disk that has the file."""
    source = ctx.options.source
    if source is not None and source.folder is not None:
        same = (path for path, file in source.about.files.items() if file.sha256 == sought.sha256)
        yield from (Place((source.folder / path).parent, 0, asked=True) for path in same)


def same_volume(path: Path, other: Path) -> bool:
    """Whether a file could be cloned or linked from the one place to the other, which need not be there yet."""
    try:
        while not other.exists() and other != other.parent:
            other = other.parent
        return path.stat().st_dev == other.stat().st_dev
    except OSError:
        return False


def takes_bytes(ctx: Context, copy: Path, sought: Sought) -> int:
    """What taking over a copy will add to the disk: nothing where it can be shared."""
    shared = same_volume(copy, sought.place) and (not ctx.options.copy or ctx.machine.system == "Darwin")
    return 0 if shared else sought.size


@dataclass(slots=True)
class _Hunt:
    """A look through folders for files of one size, in a thread that can be left behind."""

    size: int
    fits: Callable[[Path], bool]
    closed: Closed
    """What is not entered from a place that nobody asked for, as by a link."""
    seen: set[Identity]
    found: list[Path] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)

    def go(self, there: Iterable[Place], deadline_s: float) -> None:
        """Look until everything is seen or the time is up."""
        # A folder on a network that hangs, or one about which macOS asks the person, holds up the thread, not us.
        thread = threading.Thread(target=self._look, args=(there,), name="look", daemon=True)
        thread.start()
        thread.join(deadline_s)
        self.over.set()

    def _look(self, there: Iterable[Place]) -> None:
        for place in there:
            closed = nothing_closed if place.asked else self.closed
            waiting, left = [(place.folder, place.depth)], ENTRIES_MAX
            while waiting and left > 0 and not self.over.is_set():
                folder, depth = waiting.pop(0)
                if closed(folder):
                    continue
                for path, seen in self._entries(folder):
                    left -= 1
                    if stat.S_ISDIR(seen.st_mode) and depth > 0 and path.name not in PASSED_OVER:
                        waiting.append((path, depth - 1))
                    elif stat.S_ISREG(seen.st_mode) and seen.st_size == self.size and not closed(path):
                        self._take(path, seen)

    def _entries(self, folder: Path) -> Iterator[tuple[Path, os.stat_result]]:
        """What lies in a folder, links followed; nothing where it cannot be read, or was read before."""
        try:
            if self._met(folder.stat()):
                return
            with os.scandir(folder) as entries:
                for entry in entries:
                    if self.over.is_set():
                        return
                    with suppress(OSError):
                        yield Path(entry.path), entry.stat()
        except (OSError, ValueError):  # ValueError: a path that cannot be one
            return

    def _take(self, path: Path, seen: os.stat_result) -> None:
        in_the_cloud = getattr(seen, "st_flags", 0) & SF_DATALESS
        with suppress(OSError):
            if not in_the_cloud and not self._met(seen) and self.fits(path.resolve()) and not self.over.is_set():
                self.found.append(path.resolve())

    def _met(self, seen: os.stat_result) -> bool:
        identity = seen.st_dev, seen.st_ino
        if identity in self.seen:
            return True
        self.seen.add(identity)
        return False


def _identity(path: Path) -> Identity | None:
    try:
        seen = path.stat()
    except OSError:
        return None
    return seen.st_dev, seen.st_ino


def _fits(path: Path, sought: Sought) -> bool:
    try:
        header = header_of(path)
    except (OSError, Unreadable, NotSafetensors, HeaderTruncated):
        return False
    return not misfit(header, sought.size, precision=sought.precision, checkpoint=sought.checkpoint)


def _mark(path: Path, sha256: str) -> dict[str, JSON]:
    return {**file_identity(path), "not": sha256}


# -- taking over --------------------------------------------------------------------------------------------


def take_copy(ctx: Context, sought: Sought) -> Path | None:
    """The verified bytes of a copy, below the home and ready to be put in place by a rename; None where there is none.

    A candidate with a wrong hash is passed over, and said. Raises HomeError, DiskFull or Interrupted.
    """
    for copy in find_copies(ctx, sought):
        taken = taken_from(ctx, sought, copy)
        if taken is not None:
            return taken
    return None


def found_file(home: Home, sha256: str) -> Path:
    """Where a copy lies while it is verified."""
    return home.parts / f"{sha256}.found"


def taken_from(ctx: Context, sought: Sought, copy: Path, *, copies: bool = True) -> Path | None:
    """The verified bytes of this copy, below the home; None where its hash is wrong, or where they cannot be shared and
    not `copies`. Raises HomeError, DiskFull or Interrupted.
    """
    name, here = sought.place.name, found_file(ctx.home, sought.sha256)
    right = False
    try:
        here.parent.mkdir(parents=True, exist_ok=True)
        here.unlink(missing_ok=True)
        how = _shared(copy, here, links=not ctx.options.copy)
        if not how and not copies:
            ctx.note(f"{copy} cannot share its bytes with {ctx.home.shown(sought.place)}; both stay as they are.")
            return None
        found = sha256_of(ctx, here, name) if how else _copied(ctx, copy, here, name)
        right = found == sought.sha256
        if right:
            told = "; nothing to download" if copies else ""
            ctx.note(f"{copy} is the right file (sha256 OK): {_SAYS[how]}{told}.")
            return here
        ctx.note(f"{copy} has the size of {name} but a wrong sha256 ({found[:12]}); skipped.")
        wrong = {path: mark for path, mark in ctx.receipts.read(WRONG_COPIES).items() if os.path.exists(path)}  # noqa: PTH110  (which takes what is no path for none)
        ctx.receipts.write(WRONG_COPIES, **{**wrong, str(copy): _mark(copy, sought.sha256)})
    except (FileNotFoundError, PermissionError):  # it went away in the meantime, or is somebody else's
        ctx.note(f"{copy} cannot be read; skipped.")
    except OSError as error:
        raise unusable(here, error) from error
    finally:
        if not right:
            with suppress(OSError):  # what stays is swept away before the next copy is taken
                here.unlink(missing_ok=True)
    return None


_SAYS = {
    "cloned": "cloned, which takes no space",
    "linked": "hard-linked, which takes no space",
    "": "copied, because it cannot be shared",
}


def clone_file(source: Path, destination: Path) -> bool:
    """Make a file of the same bytes that takes no space until one of the two is written to; False where that cannot be.

    `clonefile(2)` of macOS on APFS, `FICLONE` of Linux on Btrfs, XFS and some others. Raises FileNotFoundError and
    PermissionError where the source cannot be read.
    """
    import ctypes

    with source.open("rb") as readable:
        clonefile = getattr(ctypes.CDLL(None), "clonefile", None)
        if clonefile is not None:
            return bool(clonefile(os.fsencode(source), os.fsencode(destination), 0) == 0)
        with destination.open("xb") as writable:
            try:
                fcntl.ioctl(writable.fileno(), FICLONE, readable.fileno())
            except OSError:
                destination.unlink()
                return False
    return True


def link_file(source: Path, destination: Path) -> bool:
    """A second name for a file; False where there can be none: another volume, no links there, another user's file."""
    try:
        destination.hardlink_to(source)
    except OSError:
        return False
    return True


def _shared(source: Path, destination: Path, *, links: bool) -> str:
    """How the bytes could be shared, empty where they could not."""
    if clone_file(source, destination):
        return "cloned"
    return "linked" if links and link_file(source, destination) else ""


def _copied(ctx: Context, source: Path, destination: Path, name: str) -> str:
    """Copy, and hash what is copied on the way. Raises OSError and Interrupted."""
    digest, view = hashlib.sha256(), memoryview(bytearray(HASH_BYTES))
    done, said_at, total = 0, 0.0, source.stat().st_size
    with source.open("rb", buffering=0) as readable, destination.open("xb") as writable:
        while count := readable.readinto(view):
            ctx.machine.check_interrupted()
            digest.update(view[:count])
            writable.write(view[:count])
            done += count
            if (now := ctx.machine.clock()) - said_at >= SAID_EVERY_S:
                said_at = now
                ctx.progress(name, done, total, kind=Work.COPY)
    ctx.progress(name, done, total, kind=Work.COPY)
    return digest.hexdigest()
