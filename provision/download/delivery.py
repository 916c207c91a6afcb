"""From a hub to its name: the offer looked at, the bytes brought, proven, and put in place by one rename."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
from contextlib import suppress
from pathlib import Path

from provision.comfyui.safetensors import (
    LENGTH_BYTES,
    HeaderTruncated,
    NotSafetensors,
    SafetensorsHeader,
    header_length,
    parse_safetensors_header,
)
from provision.command import Fix, ours
from provision.core.step import Context
from provision.download.backend import RemoteFile
from provision.download.backends.registry import bring
from provision.download.hub.api import read_header
from provision.download.part_file import bytes_here, disk_errors_said, drop_part, open_part
from provision.download.web import host_of
from provision.errors import WrongFile
from provision.system.disk_errors import unusable
from provision.system.strict import Unreadable, open_file

HASH_BYTES = 4 << 20
SAID_EVERY_S = 0.1


def bring_proven(ctx: Context, file: RemoteFile, *, precision: str, checkpoint: bool) -> Path:
    """Bring a file into its part and prove it; a part of a former run is gone on with.

    The header is judged before the rest is moved. Bytes with a wrong hash are thrown away and fetched once more.
    Raises WrongFile and whatever the backends raise; then the part is kept.
    """
    part = open_part(ctx.machine, ctx.home, file)
    header = _header_in(part) or _header_offered(ctx, file)
    judge(header, file, precision=precision, checkpoint=checkpoint)
    found = _fault_of(ctx, file, part, bring(ctx, file, part))
    if found:
        ctx.note(f"{file.name} came with {found}: it is fetched anew.")
        _drop(part)
        part = open_part(ctx.machine, ctx.home, file)
        found = _fault_of(ctx, file, part, bring(ctx, file, part))
    if found:
        _drop(part)
        raise WrongFile(
            f"{file.name} came twice, the second time with {found}; nothing was put in place.",
            hint=Fix("A proxy may change it on the way: try another network, or:", ours("all", "--backend", "git-lfs")),
        )
    return part


def _drop(part: Path) -> None:
    with disk_errors_said(part):
        drop_part(part)


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


def judge(header: SafetensorsHeader, file: RemoteFile, *, precision: str, checkpoint: bool) -> None:
    """Refuse a file whose header says that it is another one. Raises WrongFile."""
    wrong = misfit(header, file.size, precision=precision, checkpoint=checkpoint)
    if wrong:
        raise WrongFile(
            f"{file.path} of {file.repo} is not what the manifest says: {wrong}. Nothing more was downloaded.",
            hint=Fix("Correct models.0.files in the manifest:", ours("manifests", "show", "sdxl-turbo")),
        )


def misfit(header: SafetensorsHeader, size: int, *, precision: str, checkpoint: bool) -> str:
    """What keeps a header from being the one of the file wanted, in words; empty when nothing does."""
    if header.file_size_bytes != size:
        return f"its header describes {header.file_size_bytes:,} bytes, and it has {size:,}"
    if checkpoint and header.architecture == "unknown":
        return "it is no complete checkpoint (UNet, text encoders and VAE in one file)"
    if header.precision != precision:
        return f"it is {header.precision}, not {precision}"
    return ""


def sha256_of(ctx: Context, path: Path, name: str) -> str:
    """The hash of a file's bytes, with progress. Raises HomeError or Interrupted."""
    digest, view = hashlib.sha256(), memoryview(bytearray(HASH_BYTES))
    done, said_at, total = 0, 0.0, bytes_here(path)
    try:
        with path.open("rb", buffering=0) as stream:
            while count := stream.readinto(view):
                ctx.machine.check_interrupted()
                digest.update(view[:count])
                done += count
                if (now := ctx.machine.clock()) - said_at >= SAID_EVERY_S:
                    said_at = now
                    ctx.progress(f"verifying {name}", done, total)
    except OSError as error:
        raise unusable(path, error) from error
    ctx.progress(f"verifying {name}", done, total)
    return digest.hexdigest()


def header_of(path: Path) -> SafetensorsHeader:
    """The header of a local file. Raises NotSafetensors, HeaderTruncated, OSError or Unreadable."""
    with open_file(path) as stream:
        start = stream.read(512)
        length = header_length(start)
        stream.seek(0)
        return parse_safetensors_header(stream.read(LENGTH_BYTES + length))


def _header_in(part: Path) -> SafetensorsHeader | None:
    with suppress(NotSafetensors, HeaderTruncated, OSError, Unreadable):
        return header_of(part)
    return None


def _header_offered(ctx: Context, file: RemoteFile) -> SafetensorsHeader:
    try:
        return parse_safetensors_header(read_header(ctx, file))
    except (NotSafetensors, HeaderTruncated) as error:
        raise WrongFile(
            f"{file.path} on {host_of(file.endpoint)} is not a safetensors file that can be used: {error}",
            hint=Fix("Check models.0.files.0.path in the manifest:", ours("manifests", "show", "sdxl-turbo")),
        ) from error


def _fault_of(ctx: Context, file: RemoteFile, part: Path, sha256: str) -> str:
    """What is wrong with a part that should be the whole file, empty when nothing is.

    `sha256`: its hash, where that was taken as it came.
    """
    if (here := bytes_here(part)) != file.size:
        return f"{here:,} bytes in place of {file.size:,}"
    found = sha256 or sha256_of(ctx, part, file.name)
    return "" if found == file.sha256 else f"a wrong sha256 ({found[:12]}, not {file.sha256[:12]})"


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
