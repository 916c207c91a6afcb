"""The built-in backend: parallel ranges in segments, written in place, hashed while they come.

The segments stand in a queue in the order of the file, so that the hash can follow right behind; connections are
kept alive, and there are as many as are worth it. What is here is noted beside the part as it comes: a kill costs
no more than what came since the last note. It needs nothing but what the tool has, and comes first in `auto`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from pathlib import Path

from provision.core.patience import Outage
from provision.core.step import Context
from provision.download.backend import Backend, HubFile
from provision.download.hashing import Hasher, Syncer
from provision.download.http.connection import run_connection
from provision.download.http.disk_writer import DiskWriter
from provision.download.http.rate import Ramp
from provision.download.http.transfer import Changed, NoRanges, Settings, Transfer
from provision.download.part_file import keep_state, known_etag, known_ranges, make_plain
from provision.download.retry import Retry, drop_wrong_kind, in_background, next_wait_s
from provision.errors import HubRefused, NetworkError
from provision.system.disk_errors import unusable
from provision.system.visible import shell_word

SETTINGS = Settings()
TICK_S = 0.05
SAID_EVERY_S = 0.1
"""How often progress is told."""
KEEPING_UP = 0.4
"""A rate of more than this share of what the hash can take is enough: two processors do the rest."""
ENDING_S = 0.4
"""How long connections are waited for in the end; one that still looks for its server is left to it."""


def fetch_http(ctx: Context, file: HubFile, part: Path) -> str | None:
    """Bring `part` to its size; returns its sha256. Raises as `Backend.fetch`."""
    drop_wrong_kind(file, part)
    ranges, restarted, etags = True, False, True
    while True:
        try:
            return _Supervisor(ctx, file, part, ranges=ranges, etags=etags).run()
        except NoRanges:
            ctx.output(f"The server of {file.name} does not support ranges: using one connection.")
            ranges = False
        except Changed:
            if restarted:  # the hub still names the same hash: it is the ETag that means nothing
                ctx.note(f"The server of {file.name} changes its ETag with every answer: relying on the hash alone.")
                etags = False
                continue
            ctx.note(f"{file.name} changed on its server during the download: starting over.")
            restarted = True
            _empty(part)


def script(ctx: Context, file: HubFile, part: str) -> Iterator[str]:
    """With curl, which does not pass a header of ours on to the host that it is sent to."""
    token = ' --header "Authorization: Bearer $HF_TOKEN"' if ctx.machine.environ.get("HF_TOKEN") else ""
    yield f"curl --fail --location --retry 5 --continue-at -{token} --output {part} {shell_word(file.url)}"


BACKEND = Backend("http", fetch_http, script)


class _Supervisor:
    """Starts connections, replaces those that fail, tells how far it is and notes what is here."""

    def __init__(self, ctx: Context, file: HubFile, part: Path, *, ranges: bool, etags: bool) -> None:
        self.ctx, self.file, self.part = ctx, file, part
        if not ranges:
            make_plain(part)
        done = known_ranges(part)
        self.transfer = Transfer(ctx, file, part, SETTINGS, done=done, ranges=ranges)
        self.transfer.etags = etags
        self.transfer.etag, self.transfer.etag_host = known_etag(part) if etags else ("", "")
        self.hasher = Hasher(lambda: part, file.size, self.transfer.prefix)
        now = ctx.machine.clock()
        most = ctx.options.connections or SETTINGS.most
        self.ramp = Ramp(
            first=SETTINGS.first,
            second=SETTINGS.second,
            most=most,
            fixed=ctx.options.connections,
            window_s=SETTINGS.window_s,
            now=now,
        )
        self.sink = DiskWriter(part, self.transfer.buffers, self.hasher)
        self.syncer = Syncer(part, lambda: self.sink.cached_bytes)
        self.connections: dict[Future[Retry | None], int] = {}
        self.round = 0
        self.outage = Outage(ctx.patience, ctx.machine.clock)
        self.came_then = 0
        self.retry_at = self.saved_at = self.said_at = 0.0
        self.saved_bytes = -1

    def run(self) -> str | None:
        """Bring everything; returns the hash. Raises as `Backend.fetch`, and Changed or NoRanges."""
        self._begin()
        try:
            while not self.transfer.segments.complete:
                self.ctx.machine.check_interrupted()
                self._start_connections()
                ended, _ = wait(self.connections, timeout=TICK_S, return_when=FIRST_COMPLETED)
                if self.sink.ended.done():
                    self.sink.ended.result()  # it ends by itself only when it cannot write
                for connection in ended:
                    self._ended(connection)
                self._look_around()
            self._end_connections()
            return self._digest()
        finally:
            self._end_connections()
            self.sink.stop(ENDING_S)
            self.hasher.stop()
            self.syncer.stop()
            self._save()
            self._tell()

    def _begin(self) -> None:
        """The part and its note are there before the first byte is written out of turn."""
        try:
            os.close(os.open(self.part, os.O_WRONLY | os.O_CREAT, 0o644))
        except OSError as error:
            raise unusable(self.part, error) from error
        self._save()
        self._tell()
        self.hasher.start()
        self.sink.start()
        self.syncer.start()

    def _start_connections(self) -> None:
        transfer = self.transfer
        if self.connections and self.ctx.machine.clock() < self.retry_at:
            return
        transfer.aim = self.ramp.aim if transfer.answered and transfer.ranges else 1
        # One that has failed counts until it is seen: its wait comes before the next.
        while not self.connections or (len(self.connections) < transfer.aim and transfer.wants_more()):
            transfer.enter()
            self.connections[in_background(self._connect, "transfer")] = self.round

    def _connect(self) -> Retry | None:
        try:
            return run_connection(self.transfer, self.sink)
        finally:
            self.transfer.leave()

    def _ended(self, connection: Future[Retry | None]) -> None:
        """What a connection ended with: nothing, a failure to be waited out, or an error to raise."""
        its_round = self.connections.pop(connection)
        try:
            retry = connection.result()
        except NetworkError as error:
            retry = Retry(error)
        if retry is None or its_round < self.round:  # of several that fail at once, one counts
            return
        self.round += 1
        came = self.transfer.taken_bytes
        if came > self.came_then:
            self.outage.over()
        self.came_then = came
        wait_s = next_wait_s(self.outage, retry)
        now = self.ctx.machine.clock()
        if isinstance(retry.error, HubRefused) and self.connections:
            self.ramp.settle(len(self.connections), now)  # the server wants no more of them
        self.retry_at = now + wait_s
        if self.connections:
            self.ctx.output(retry.error.message)
        else:
            self.ctx.wait(retry.error.message, wait_s, retry.error.passing)

    def _look_around(self) -> None:
        now, here = self.ctx.machine.clock(), self.transfer.segments.done_bytes
        hashed, busy_s = self.hasher.hashed_bytes, self.hasher.busy_s
        enough = KEEPING_UP * hashed / busy_s if busy_s else float("inf")
        self.ramp.observe(now, here, len(self.connections), waited_s=self.transfer.buffers.waited_s, enough=enough)
        least = SETTINGS.segment_bytes * max(1, len(self.connections))
        if here != self.saved_bytes and (now - self.saved_at >= SETTINGS.save_s or here - self.saved_bytes >= least):
            self._save()
        if now - self.said_at >= SAID_EVERY_S:
            self._tell()

    def _tell(self) -> None:
        self.said_at = self.ctx.machine.clock()
        self.ctx.progress(self.file.name, self.transfer.segments.done_bytes, self.file.size)

    def _save(self) -> None:
        self.saved_at = self.ctx.machine.clock()
        self.saved_bytes = self.transfer.segments.done_bytes
        keep_state(self.part, *self.transfer.state())

    def _end_connections(self) -> None:
        self.transfer.over.set()
        wait(self.connections, timeout=ENDING_S)

    def _digest(self) -> str | None:
        """The hash, waited for. Raises HomeError or Interrupted."""
        try:
            return self.hasher.wait(self.ctx, self.file.name)
        except OSError as error:
            raise unusable(self.part, error) from error


def _empty(part: Path) -> None:
    keep_state(part, (), "", "")
    try:
        os.truncate(part, 0)
    except OSError as error:
        raise unusable(part, error) from error
