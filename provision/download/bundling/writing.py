"""Writing a bundle's files: each under a name of its own until it is verified, then in its place by one rename.

What is there already and right is kept. A run that is killed leaves no SHA256SUMS, so that half a bundle is never
believed, and the next one goes on from there.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from provision.command import Fix, ours
from provision.core.bundle import (
    ABOUT,
    ABOUT_BYTES,
    BEFORE,
    SUMS,
    SUMS_BYTES,
    About,
    BundledFile,
    check_names,
    parse_sums,
    write_sums,
)
from provision.core.events import Work
from provision.core.ownership import SYSTEMS_OWN
from provision.core.patience import ride_out
from provision.core.receipts import write_bytes
from provision.core.step import Context
from provision.download.bundle_source import PIECE_BYTES, size_at
from provision.errors import BundleError, UsageError, WrongFile
from provision.system.disk_errors import unusable
from provision.system.strict import Unreadable, decode, open_file, read_file, read_text
from provision.system.synced import sync

FAT = ("msdos", "vfat", "fat", "fat32")
"""How macOS and Linux call FAT32."""
FAT_MAX = 4 * 2**30 - 1
WORK = ".provision"
"""Unfinished downloads in a bundle's folder; no part of it."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A file that a bundle is to hold; size and hash where they are known before.

    `pieces` are its bytes; `place` puts a verified file there itself, as a download that resumes does.
    """

    path: str
    group: str
    size: int | None = None
    sha256: str = ""
    pieces: Callable[[Context], Iterable[bytes]] | None = None
    place: Callable[[Context, Path], None] | None = None


def of_bytes(path: str, group: str, data: bytes) -> Wanted:
    """A file whose bytes are known."""
    return Wanted(path, group, len(data), hashlib.sha256(data).hexdigest(), lambda ctx: [data])


def of_file(path: str, group: str, source: Path) -> Wanted:
    """A file that is a copy of another."""
    return Wanted(path, group, size_at(source), "", lambda ctx: blocks(source))


def blocks(path: Path) -> Iterator[bytes]:
    """The bytes of a plain file. Raises OSError, Unreadable."""
    with open_file(path) as stream:
        while block := stream.read(PIECE_BYTES):
            yield block


def check_folder(folder: Path) -> None:
    """Refuse a folder that holds something else. Raises UsageError, HomeError."""
    try:
        names = [entry.name for entry in os.scandir(folder)] if folder.exists() else []
    except OSError as error:
        raise unusable(folder, error) from error
    others = [name for name in names if name not in SYSTEMS_OWN and not name.startswith("._")]
    if others and not {SUMS, BEFORE} & set(others):
        raise UsageError(
            f"{folder} holds {', '.join(sorted(others)[:3])}; a bundle needs a folder of its own.",
            hint=ours("bundle", str(folder / "provision-bundle")),
        )


def check_fat(file_system: str, folder: Path, wanted: Iterable[Wanted]) -> None:
    """Refuse a disk that cannot hold a file. Raises BundleError."""
    large = [each for each in wanted if (each.size or 0) > FAT_MAX] if file_system.lower() in FAT else []
    if large:
        size = (large[0].size or 0) / 1e9
        raise BundleError(
            f"The disk of {folder} is FAT32, which holds no file over 4 GiB, and {large[0].path.rpartition('/')[2]} has"
            f" {size:.1f} GB.",
            hint=Fix("Format it as exFAT or APFS in Disk Utility, or use another disk."),
        )


def file_system_of(folder: Path) -> str:
    """The kind of file system that a folder is or will be on; empty where nobody tells."""
    import psutil

    with suppress(OSError, psutil.Error):
        real = os.path.realpath(folder)
        mounts = {each.mountpoint: each.fstype for each in psutil.disk_partitions(all=True)}
        held = [at for at in mounts if real == at or real.startswith(f"{at.rstrip('/')}/")]
        return mounts[max(held, key=len)] if held else ""
    return ""


def read_sums(folder: Path) -> dict[str, str]:
    """The hashes of the files that an earlier run wrote; none where it was the first."""
    for name in (SUMS, BEFORE):
        with suppress(OSError, Unreadable):
            return parse_sums(read_text(folder / name, max_bytes=SUMS_BYTES))
    return {}


def read_about(folder: Path) -> About | None:
    """What a finished bundle says of itself; None where there is none."""
    with suppress(OSError, Unreadable):
        return decode(read_file(folder / ABOUT, max_bytes=ABOUT_BYTES), About) if (folder / SUMS).is_file() else None
    return None


def digest_of(folder: Path) -> str:
    """The sha256 of SHA256SUMS. Raises OSError, Unreadable."""
    return hashlib.sha256(read_file(folder / SUMS, max_bytes=SUMS_BYTES)).hexdigest()


def begin(folder: Path) -> None:
    """From now on the bundle is unfinished. Raises HomeError, DiskFull."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if (folder / SUMS).exists():
            (folder / SUMS).replace(folder / BEFORE)
        elif not (folder / BEFORE).exists():
            (folder / BEFORE).touch()
    except OSError as error:
        raise unusable(folder, error) from error


def all_of(
    folder: Path, wanted: Iterable[Wanted], made: Mapping[str, BundledFile], before: Mapping[str, str]
) -> dict[str, BundledFile]:
    """Every file of the bundle: those that were written now, and those of an earlier run."""
    return {
        each.path: made.get(each.path) or BundledFile(size_at(folder / each.path), before[each.path]) for each in wanted
    }


def is_there(folder: Path, each: Wanted, sums: dict[str, str]) -> bool:
    """Whether a file is there as it is to be: by the hash that an earlier run noted, else by reading it."""
    size = size_at(folder / each.path)
    if size < 0 or (each.size is not None and size != each.size):
        return False
    if each.path not in sums and each.sha256:  # by a run that was killed
        with suppress(OSError, Unreadable):
            digest = hashlib.sha256()
            for block in blocks(folder / each.path):
                digest.update(block)
            sums[each.path] = digest.hexdigest()
    return each.path in sums and each.sha256 in ("", sums[each.path])


def write(ctx: Context, folder: Path, each: Wanted) -> BundledFile:
    """Put one file in its place, verified. Raises WrongFile, DiskFull, HomeError, and what its source raises."""
    target = folder / each.path
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if each.place is not None:
            if size_at(target) >= 0:  # of an earlier run, and not what is wanted now
                target.unlink()
            each.place(ctx, target)
            return BundledFile(size_at(target), each.sha256)
        aside = target.with_name(f".{target.name}.part")
        made = ride_out(ctx, lambda: _written(ctx, each, aside))
        if each.sha256 not in ("", made.sha256):
            raise WrongFile(
                f"{target.name} came with a wrong sha256 ({made.sha256[:12]}, not {each.sha256[:12]}).",
                hint=Fix("Run the same command again; if that does not help, try another network."),
            )
        aside.replace(target)
    except OSError as error:
        raise unusable(target, error) from error
    return made


def _written(ctx: Context, each: Wanted, aside: Path) -> BundledFile:
    assert each.pieces is not None
    name, digest, done = each.path.rpartition("/")[2], hashlib.sha256(), 0
    with aside.open("wb") as stream:
        for piece in each.pieces(ctx):
            ctx.machine.check_interrupted()
            stream.write(piece)
            digest.update(piece)
            done += len(piece)
            ctx.progress(name, done, each.size, kind=Work.COPY)
        stream.flush()
        sync(stream.fileno())
    return BundledFile(done, digest.hexdigest())


def drop(folder: Path, paths: Iterable[str]) -> None:
    """Remove files of ours that are no longer wanted, and the folders that they leave empty. Raises HomeError."""
    for path in paths:
        try:
            (folder / path).unlink(missing_ok=True)
            for parent in Path(path).parents[:-1]:
                (folder / parent).rmdir()
        except OSError:
            continue


def finish(folder: Path, about: About) -> str:
    """Write `bundle.json`, then SHA256SUMS, and return the digest of that. Raises HomeError, DiskFull."""
    import msgspec

    check_names(about.files)
    held = msgspec.json.format(msgspec.json.encode(about), indent=1) + b"\n"
    write_bytes(folder / ABOUT, held)
    sums = {path: file.sha256 for path, file in about.files.items()}
    write_bytes(folder / SUMS, write_sums({**sums, ABOUT: hashlib.sha256(held).hexdigest()}).encode())
    with suppress(OSError):
        (folder / BEFORE).unlink()
        shutil.rmtree(folder / WORK, ignore_errors=True)
    return digest_of(folder)
