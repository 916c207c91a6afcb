"""One connection of a download: asks for a claim, checks the answer before a byte of it counts, and writes in place."""

from __future__ import annotations

import http.client
from functools import partial

from provision.command import Fix
from provision.download.backend import Address, HubFile
from provision.download.http.disk_writer import DiskWriter
from provision.download.http.segments import Claim
from provision.download.http.transfer import NoRanges, Transfer
from provision.download.http.wire import Answer, Line
from provision.download.hub.api import refusal
from provision.download.hub.token import token_in
from provision.download.retry import Retry, ended_early, wrong_kind
from provision.download.web import Heading, broken, host_of, not_reached, origin_of, silent_middle
from provision.errors import DownloadError, Passing
from provision.system.address import natural, quoted

HOLD_S = 0.2
"""How long bytes are gathered before they are written, where they come slowly."""


def run_connection(transfer: Transfer, sink: DiskWriter) -> Retry | None:
    """Bring claims until none is left for this connection, or something comes between.

    Raises Changed, NoRanges, NetworkError, HubRefused, WrongFile or Interrupted.
    """
    line = Line(transfer.dialer, patience_s=transfer.settings.stall_s)
    try:
        address = transfer.address()
        while (claim := transfer.next_claim()) is not None:
            try:
                retry = _bring(transfer, line, address, claim, sink)
            finally:
                sink.then(partial(transfer.release, claim))
            if retry is not None:
                transfer.stale(address)
                return retry
    finally:
        line.close()
    return None


def _bring(transfer: Transfer, line: Line, address: Address, claim: Claim, sink: DiskWriter) -> Retry | None:
    asked_stop = claim.stop  # another connection may lower it at any time
    whole = not transfer.ranges or (claim.start == 0 and asked_stop == transfer.file.size)
    wanted = {} if whole else {"Range": f"bytes={claim.start}-{asked_stop - 1}"}
    if wanted and (etag := transfer.expected_etag(address.url)):
        wanted["If-Range"] = etag
    try:
        answer = line.get(address, wanted)
    except (OSError, http.client.HTTPException, ValueError) as error:
        return Retry(not_reached(address.url, error, proxied=line.proxied(address.url)))
    try:
        with answer:
            retry = _refused(transfer, answer, address) or _misfit(transfer, answer, claim.start, asked_stop, whole)
            return retry or _receive(transfer, answer, claim, sink)
    finally:
        if not answer.over:
            line.close()


def _refused(transfer: Transfer, answer: Answer, address: Address) -> Retry | None:
    status, file = answer.status_code, transfer.file
    if status in (200, 206):
        return None
    if status == 416:
        return Retry(odd(answer, file, "says the file ends before the requested range (416)"))
    error = refusal(answer, file, token_in(address))
    if origin_of(answer.url) == origin_of(file.endpoint) and status in (401, 403, 404):
        raise error
    error.passing = error.passing or Passing.ANSWER
    # a signature that expired: a new one comes
    return Retry(error, 0.0 if status in (401, 403) else None)


def _misfit(transfer: Transfer, answer: Answer, start: int, stop: int, whole: bool) -> Retry | None:
    """An answer that does not fit what was asked: refused before a byte of it is written. Raises Changed."""
    file = transfer.file
    coding = answer.headers.get("Content-Encoding", "identity")
    if coding not in ("identity", ""):
        return Retry(odd(answer, file, f"packed the file ({quoted(coding)}) though that was not requested"))
    length = answer.headers.get("Content-Length", "")
    due = file.size
    if answer.status_code == 206:
        said = answer.headers.get("Content-Range", "")
        if whole or said not in (f"bytes {start}-{stop - 1}/{total}" for total in ("*", file.size)):
            what = quoted(said) or "an unknown part"
            return Retry(odd(answer, file, f"sent {what} instead of byte {start:,} on"))
        due = stop - start
    if length and (number := natural(length)) != due:
        what = quoted(length) if number is None else f"{number:,}"
        return Retry(odd(answer, file, f"sent {what} bytes instead of {due:,}"))
    return None


def _receive(transfer: Transfer, answer: Answer, claim: Claim, sink: DiskWriter) -> Retry | None:
    """Read the body, a buffer at a time; what is here already of a body that begins before the claim is passed over."""
    at = claim.start if answer.status_code == 206 else 0
    gathering = _Gathering(transfer, answer, begins_file=at == 0)
    while at < claim.stop and not transfer.over.is_set():
        buffer = transfer.buffers.take(transfer.over)
        if buffer is None:
            break
        # up to a border: what is written past the page cache has to begin at one
        piece_bytes = transfer.piece_bytes()
        room = min(piece_bytes - at % piece_bytes, claim.stop - at)
        count, retry = gathering.fill(buffer.view[:room])
        skip = min(count, max(0, claim.start - at))
        if count > skip:
            place, took = transfer.take(claim, count - skip)
            sink.put(place, buffer.view[skip : skip + took], buffer, partial(transfer.advance, claim, took))
        transfer.buffers.give(buffer)
        at += count
        if retry is not None:
            return retry
    return None


class _Gathering:
    """Fills buffers from one answer, checked by its first bytes, watched for stalls."""

    def __init__(self, transfer: Transfer, answer: Answer, *, begins_file: bool) -> None:
        self._transfer, self._answer = transfer, answer
        self._checked, self._begins_file = False, begins_file
        self._clock = transfer.ctx.machine.clock
        self._heard = self._clock()

    def fill(self, view: memoryview) -> tuple[int, Retry | None]:
        """Read until the buffer is full, or for as long as bytes may be held back; how many came, and what went wrong.

        Raises Changed or NoRanges.
        """
        filled, began = 0, self._clock()
        while filled < len(view) and not self._transfer.over.is_set():
            count, retry = self._read(view[filled:])
            if retry is None and count and not self._checked:
                retry = _check_first(self._transfer, self._answer, view[:count] if self._begins_file else view[:0])
                if retry is not None:
                    return 0, retry
                self._checked = True
            filled += count
            if retry is not None or (filled and self._clock() - began > HOLD_S):
                return filled, retry
        return filled, None

    def _read(self, view: memoryview) -> tuple[int, Retry | None]:
        transfer, answer = self._transfer, self._answer
        try:
            count = answer.fill(view[: transfer.bucket.most(len(view))])
        except EOFError:
            return 0, Retry(ended_early(transfer.file, transfer.segments.done_bytes))
        except (OSError, http.client.HTTPException) as error:
            return 0, Retry(broken(answer.url, error))
        if count:
            transfer.over.wait(transfer.bucket.take(count))
            self._heard = self._clock()
        elif self._clock() - self._heard > transfer.settings.stall_s:
            return 0, Retry(silent_middle(answer.url, transfer.settings.stall_s))
        return count, None


def _check_first(transfer: Transfer, answer: Answer, start: memoryview) -> Retry | None:
    """Whether the first bytes are the file's, and the answer is one to go on with. Raises Changed or NoRanges."""
    retry = wrong_kind(transfer.file, bytes(start[:512]))
    if retry is not None:
        return retry
    transfer.accept(answer.url, answer.headers.get("ETag", ""))
    if answer.status_code == 200 and transfer.ranges and transfer.segments.size > transfer.settings.segment_bytes:
        raise NoRanges
    return None


def odd(answer: Heading, file: HubFile, what: str) -> DownloadError:
    """A server's answer that is none to this question."""
    return DownloadError(
        f"{host_of(answer.url)} {what} ({file.name}).",
        hint=Fix("Run the same command again; a proxy may be in the way. Or use another backend: --backend wget"),
    )
