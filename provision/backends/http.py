"""The built-in backend: one stream with `Range`, written in place, gone on with after any interruption.

It needs nothing but what the tool has, and comes first in `auto`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from io import FileIO
from pathlib import Path
from typing import TYPE_CHECKING

from provision.backends.backend import Backend, RemoteFile, nothing_missing
from provision.backends.part import bytes_here, known_etag, remember_etag
from provision.backends.patience import STALL_TIMEOUT_S, Setback, keep_going, until_interrupted
from provision.backends.remote import locate, refusal
from provision.backends.web import Address, broken, fetch, host_of, origin_of, retry_after_s
from provision.errors import DownloadError
from provision.home import unusable
from provision.step import Context

if TYPE_CHECKING:
    from requests import Response

CHUNK_BYTES = 1 << 20
SAID_EVERY_S = 0.1
"""How often progress is told."""


def fetch_http(ctx: Context, file: RemoteFile, part: Path) -> None:
    """Bring `part` to its size. Raises as `Backend.fetch`."""

    def attempt() -> Setback | None:
        return until_interrupted(ctx.machine, lambda: _attempt(ctx, file, part))

    keep_going(ctx, file, part, attempt)


HTTP = Backend("http", nothing_missing, fetch_http)


def _attempt(ctx: Context, file: RemoteFile, part: Path) -> Setback | None:
    """One connection, from the first byte that is missing to the end."""
    here = bytes_here(part)
    address = locate(ctx, file)
    etag = known_etag(part)
    wanted = {"Range": f"bytes={here}-"} if here else {}
    if here and etag:
        wanted["If-Range"] = etag
    with fetch(ctx, address, extra=wanted, read_s=STALL_TIMEOUT_S) as response:
        setback = _refused(response, file, address) or _misfit(response, file, here)
        if setback is not None:
            return setback
        remember_etag(part, response.headers.get("ETag", ""))
        # A server that sends the whole where the rest was asked for: its first bytes are passed over, ours kept.
        return _receive(ctx, file, part, response, skip=here if response.status_code == 200 else 0)


def _refused(response: Response, file: RemoteFile, address: Address) -> Setback | None:
    status = response.status_code
    if status in (200, 206):
        return None
    if status == 416:
        return Setback(_odd(response, file, "says that the file ends before what was asked for (416)"))
    error = refusal(response, file, with_token=bool(address.headers))
    if origin_of(response.url) == origin_of(file.endpoint) and status in (401, 403, 404):
        raise error
    return Setback(error, retry_after_s(response))  # elsewhere a 403 is a signature that expired: a new one comes


def _misfit(response: Response, file: RemoteFile, here: int) -> Setback | None:
    """An answer that does not fit what was asked: refused before a byte of it is written."""
    coding = response.headers.get("Content-Encoding", "identity")
    if coding not in ("identity", ""):
        return Setback(_odd(response, file, f"packed the file ({coding}) though none of that was asked for"))
    if response.status_code == 206:
        said = response.headers.get("Content-Range", "")
        found = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", said)
        if found is None or int(found[1]) != here or found[2] not in ("*", str(file.size)):
            return Setback(_odd(response, file, f"sent {said or 'an unknown part'} in place of byte {here:,} on"))
        return None
    length = response.headers.get("Content-Length", "")
    if length.isdigit() and int(length) != file.size:
        return Setback(_odd(response, file, f"sent {int(length):,} bytes in place of {file.size:,}"))
    return None


def _receive(ctx: Context, file: RemoteFile, part: Path, response: Response, *, skip: int) -> Setback | None:
    import urllib3

    said_at = 0.0
    try:
        with part.open("ab", buffering=0) as stream:
            try:
                for piece in _pieces(response):
                    ctx.machine.check_interrupted()
                    passed = min(skip, len(piece))
                    skip -= passed
                    _write(stream, memoryview(piece)[passed : passed + file.size - stream.tell()])
                    if (now := ctx.machine.clock()) - said_at >= SAID_EVERY_S:
                        said_at = now
                        ctx.progress(file.name, stream.tell(), file.size)
            except urllib3.exceptions.HTTPError as error:
                return Setback(broken(response.url, error))
            finally:
                ctx.progress(file.name, stream.tell(), file.size)
    except OSError as error:
        raise unusable(part, error) from error
    return None


def _pieces(response: Response) -> Iterator[bytes]:
    """The body as it comes: `read` would wait for a whole chunk, and lose the beginning of one when all ends."""
    read1 = getattr(response.raw, "read1", None)  # urllib3 1 has none
    while piece := read1(CHUNK_BYTES) if read1 else response.raw.read(CHUNK_BYTES >> 6):
        yield piece


def _write(stream: FileIO, piece: memoryview) -> None:
    while piece:
        piece = piece[stream.write(piece) :]


def _odd(response: Response, file: RemoteFile, what: str) -> DownloadError:
    return DownloadError(
        f"{host_of(response.url)} {what} ({file.name}).",
        hint="Run the same command again; a proxy may stand between, or choose another way: --backend wget",
    )
