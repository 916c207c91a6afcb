"""One connection of a download: asks for a claim, judges the answer before a byte of it counts, and writes in place."""

from __future__ import annotations

import http.client
import os
import re

from provision.backends.backend import RemoteFile
from provision.backends.patience import Setback, ended_early, stranger
from provision.backends.remote import refusal
from provision.backends.segments import Claim
from provision.backends.transfer import NoRanges, Transfer
from provision.backends.web import (
    Address,
    Heading,
    broken,
    host_of,
    not_reached,
    origin_of,
    retry_after_s,
    silent_middle,
)
from provision.backends.wire import Answer, Line
from provision.errors import DownloadError
from provision.home import unusable


def run_lane(transfer: Transfer) -> Setback | None:
    """Bring claims until none is left for this connection, or something comes between.

    Raises Changed, NoRanges, NetworkError, HubRefused, WrongFile, DiskFull, HomeError or Interrupted.
    """
    settings = transfer.settings
    view = memoryview(bytearray(settings.buffer_bytes))
    line = Line(transfer.dialer, patience_s=settings.stall_s)
    try:
        handle = os.open(transfer.part, os.O_WRONLY)
    except OSError as error:
        raise unusable(transfer.part, error) from error
    try:
        address = transfer.address()
        while (claim := transfer.next_claim()) is not None:
            try:
                setback = _bring(transfer, line, address, claim, _Sink(handle, view))
            finally:
                transfer.release(claim)
            if setback is not None:
                transfer.stale(address)
                return setback
    finally:
        os.close(handle)
        line.close()
    return None


class _Sink:
    """The part, open, and the buffer before it."""

    def __init__(self, handle: int, view: memoryview) -> None:
        self.view = view
        self._handle = handle

    def write(self, transfer: Transfer, claim: Claim, data: memoryview) -> None:
        """Write at the claim's place as much as it wants. Raises DiskFull or HomeError."""
        data = data[: claim.left]
        try:
            while data and not transfer.over.is_set():
                count = os.pwrite(self._handle, data, claim.at)
                transfer.advance(claim, count)
                data = data[count:]
        except OSError as error:
            raise unusable(transfer.part, error) from error


def _bring(transfer: Transfer, line: Line, address: Address, claim: Claim, sink: _Sink) -> Setback | None:
    asked_stop = claim.stop  # another connection may lower it at any time
    whole = not transfer.ranges or (claim.start == 0 and asked_stop == transfer.file.size)
    wanted = {} if whole else {"Range": f"bytes={claim.start}-{asked_stop - 1}"}
    if wanted and (etag := transfer.expected_etag(address.url)):
        wanted["If-Range"] = etag
    try:
        answer = line.get(address, wanted)
    except (OSError, http.client.HTTPException, ValueError) as error:
        return Setback(not_reached(address.url, error, proxied=line.proxied(address.url)))
    try:
        with answer:
            setback = _refused(transfer, answer, address) or _misfit(transfer, answer, claim.start, asked_stop, whole)
            return setback or _receive(transfer, answer, claim, sink)
    finally:
        if not answer.over:
            line.close()


def _refused(transfer: Transfer, answer: Answer, address: Address) -> Setback | None:
    status, file = answer.status_code, transfer.file
    if status in (200, 206):
        return None
    if status == 416:
        return Setback(odd(answer, file, "says that the file ends before what was asked for (416)"))
    error = refusal(answer, file, with_token=bool(address.headers))
    if origin_of(answer.url) == origin_of(file.endpoint) and status in (401, 403, 404):
        raise error
    if status in (401, 403):  # a signature that expired: a new one comes
        return Setback(error, 0.0)
    return Setback(error, retry_after_s(answer))


def _misfit(transfer: Transfer, answer: Answer, start: int, stop: int, whole: bool) -> Setback | None:
    """An answer that does not fit what was asked: refused before a byte of it is written. Raises Changed."""
    file = transfer.file
    coding = answer.headers.get("Content-Encoding", "identity")
    if coding not in ("identity", ""):
        return Setback(odd(answer, file, f"packed the file ({coding}) though none of that was asked for"))
    length = answer.headers.get("Content-Length", "")
    due = file.size
    if answer.status_code == 206:
        said = answer.headers.get("Content-Range", "")
        found = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+|\*)", said)
        fits = found is not None and (int(found[1]), int(found[2])) == (start, stop - 1)
        if whole or not fits or (found is not None and found[3] not in ("*", str(file.size))):
            return Setback(odd(answer, file, f"sent {said or 'an unknown part'} in place of byte {start:,} on"))
        due = stop - start
    if length.isdigit() and int(length) != due:
        return Setback(odd(answer, file, f"sent {int(length):,} bytes in place of {due:,}"))
    return None


def _receive(transfer: Transfer, answer: Answer, claim: Claim, sink: _Sink) -> Setback | None:
    """Read the body; what is here already of a body that begins before the claim is passed over."""
    at = claim.start if answer.status_code == 206 else 0
    judged, clock = False, transfer.ctx.machine.clock
    heard = clock()
    while claim.left and not transfer.over.is_set():
        try:
            count = answer.fill(sink.view[: transfer.bucket.most(len(sink.view))])
        except EOFError:
            return Setback(ended_early(transfer.file, transfer.segments.done_bytes))
        except (OSError, http.client.HTTPException) as error:
            return Setback(broken(answer.url, error))
        if not count:
            if clock() - heard > transfer.settings.stall_s:
                return Setback(silent_middle(answer.url, transfer.settings.stall_s))
            continue
        if not judged:
            setback = _judge_first(transfer, answer, sink.view[:count] if at == 0 else sink.view[:0])
            if setback is not None:
                return setback
            judged = True
        if at + count > claim.at:
            sink.write(transfer, claim, sink.view[claim.at - at : count])
        at += count
        transfer.over.wait(transfer.bucket.take(count))
        heard = clock()
    return None


def _judge_first(transfer: Transfer, answer: Answer, start: memoryview) -> Setback | None:
    """Whether the first bytes are the file's, and the answer is one to go on with. Raises Changed or NoRanges."""
    setback = stranger(transfer.file, bytes(start[:512]))
    if setback is not None:
        return setback
    transfer.accept(answer.url, answer.headers.get("ETag", ""))
    if answer.status_code == 200 and transfer.ranges and transfer.segments.size > transfer.settings.segment_bytes:
        raise NoRanges
    return None


def odd(answer: Heading, file: RemoteFile, what: str) -> DownloadError:
    """A server's answer that is none to this question."""
    return DownloadError(
        f"{host_of(answer.url)} {what} ({file.name}).",
        hint="Run the same command again; a proxy may stand between, or choose another way: --backend wget",
    )
