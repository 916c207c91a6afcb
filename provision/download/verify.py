"""What a file on this disk is: its sha256, its header, and whether that is the header of the file wanted."""

from __future__ import annotations

import hashlib
from pathlib import Path

from provision.comfyui.safetensors import LENGTH_BYTES, SafetensorsHeader, header_length, parse_safetensors_header
from provision.core.events import Work
from provision.core.step import Context
from provision.system.disk_errors import unusable
from provision.system.disk_use import bytes_here
from provision.system.strict import open_file

HASH_BYTES = 4 << 20
SAID_EVERY_S = 0.1


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
                    ctx.progress(name, done, total, kind=Work.VERIFY)
    except OSError as error:
        raise unusable(path, error) from error
    ctx.progress(name, done, total, kind=Work.VERIFY)
    return digest.hexdigest()


def header_of(path: Path) -> SafetensorsHeader:
    """The header of a local file. Raises NotSafetensors, HeaderTruncated, OSError or Unreadable."""
    with open_file(path) as stream:
        start = stream.read(512)
        length = header_length(start)
        stream.seek(0)
        return parse_safetensors_header(stream.read(LENGTH_BYTES + length))


def misfit(header: SafetensorsHeader, size: int, *, precision: str, checkpoint: bool) -> str | None:
    """What keeps a header from being the one of the file wanted, in words; None when nothing does."""
    if header.file_size_bytes != size:
        return f"its header describes {header.file_size_bytes:,} bytes, but it has {size:,}"
    if checkpoint and header.architecture == "unknown":
        return "it is not a complete checkpoint (UNet, text encoders and VAE in one file)"
    if header.precision != precision:
        return f"it is {header.precision}, not {precision}"
    return None
