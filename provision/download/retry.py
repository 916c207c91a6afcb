"""Retries, blocking work that a stop can leave, and the watch over programs that write a file."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TypeVar

from provision.comfyui.safetensors import LENGTH_BYTES, NotSafetensors, header_length
from provision.command import Fix, ours
from provision.core.patience import Outage
from provision.core.step import Context
from provision.download.backend import HubFile
from provision.download.part_file import disk_errors_said, make_plain
from provision.download.writers import end_writers, memory_of_writers
from provision.errors import DownloadError, NetworkError, Passing, ProvisionError
from provision.system.disk_use import bytes_here
from provision.system.machine import Machine

T = TypeVar("T")

CONNECT_TIMEOUT_S = 10
STALL_TIMEOUT_S = 20
"""No byte for so long: the connection is given up, and asked for again."""
IDLE_S = 90.0
"""A program that has written nothing for so long is ended; git-lfs may read a part for half of it before it goes on."""
POLL_S = 0.2
MEMORY_MAX_BYTES, MEMORY_LOOK_S = 2 << 30, 1.0
"""What programs that fetch for us may take: git-lfs reads whatever a server answers whole."""


@dataclass(frozen=True, slots=True)
class Retry:
    """Why the bytes stopped, where a retry may help. `wait_s`: what the server asked us to wait, in place of what the
    error says."""

    error: ProvisionError
    wait_s: float | None = None


def next_wait_s(outage: Outage, retry: Retry) -> float:
    """Seconds until the next try. Raises the error when it was ridden out for long enough."""
    return outage.wait_s(retry.error, retry.wait_s)


def fetch_with_retries(ctx: Context, file: HubFile, part: Path, attempt: Callable[[], Retry | None]) -> None:
    """Call `attempt` until the part is complete.

    Between two tries it waits as `core.patience` says (after a NetworkError too); with every new byte that begins anew.
    Raises the last error when nothing came for so long, and whatever else `attempt` raises.
    """
    outage = Outage(ctx.patience, ctx.machine.clock)
    make_plain(part)
    ctx.progress(file.name, bytes_here(part), file.size)
    while (before := bytes_here(part)) < file.size:
        ctx.machine.check_interrupted()
        try:
            retry = attempt()
        except NetworkError as error:
            retry = Retry(error)
        cut_to_size(file, part)
        retry = drop_wrong_kind(file, part) or retry
        if (now := bytes_here(part)) >= file.size:
            break
        retry = retry or Retry(ended_early(file, now))
        if now > before:
            outage.over()
        ctx.wait(retry.error.message, next_wait_s(outage, retry), retry.error.passing)


def cut_to_size(file: HubFile, part: Path) -> None:
    """Take from a part what was sent beyond the file; its hash says if the rest is right. Raises as a disk does."""
    if bytes_here(part) > file.size:
        with disk_errors_said(part):
            os.truncate(part, file.size)


def ended_early(file: HubFile, here: int) -> DownloadError:
    """The connection ended before the file did."""
    return DownloadError(
        f"The download of {file.name} stopped at {here:,} of {file.size:,} bytes; the downloaded part is kept.",
        hint=Fix("Run the same command again: it resumes there."),
        passing=Passing.NETWORK,
    )


def wrong_kind(file: HubFile, start: bytes) -> Retry | None:
    """What first bytes are that are not the file's kind, a login page with status 200; None for all others."""
    if not file.path.endswith(".safetensors") or len(start) < LENGTH_BYTES:
        return None
    try:
        header_length(start)
    except NotSafetensors as error:
        return Retry(
            DownloadError(
                f"The server sent something that is not {file.name}: {error}",
                hint=Fix(
                    "A proxy or a login page may be in the way: open the hub's page in a browser, then run the "
                    "command again."
                ),
            )
        )
    return None


def drop_wrong_kind(file: HubFile, part: Path) -> Retry | None:
    """Throw away a part that begins as the file cannot. Raises HomeError or DiskFull."""
    if not bytes_here(part):
        return None
    with disk_errors_said(part), part.open("r+b") as stream:
        retry = wrong_kind(file, stream.read(512))
        if retry is not None:
            stream.truncate(0)
    return retry


class _EndsIn:
    """Puts the error that ends a block into a future."""

    def __init__(self, future: Future[T]) -> None:
        self._future = future

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if error is not None:
            self._future.set_exception(error)
        return True


def in_background(work: Callable[[], T], name: str) -> Future[T]:
    """Start work in a daemon thread, for which the end of the process does not wait; its result, or its error."""
    future: Future[T] = Future()

    def run() -> None:
        with _EndsIn(future):
            future.set_result(work())

    threading.Thread(target=run, name=name, daemon=True).start()
    return future


def until_interrupted(machine: Machine, work: Callable[[], T]) -> T:
    """Do blocking work that cannot be woken (a read from a socket); raises Interrupted at once when asked to stop, and
    leaves the work to its timeout."""
    future = in_background(work, "transfer")
    while not wait((future,), timeout=POLL_S).done:
        machine.check_interrupted()
    return future.result()


def _too_large(file: HubFile) -> DownloadError:
    return DownloadError(
        f"The download of {file.name} took more than {MEMORY_MAX_BYTES >> 30} GB of memory and was stopped.",
        hint=Fix("Run the same command again, or use another backend:", ours("all", "--backend", "http")),
    )


@contextmanager
def watched(
    ctx: Context,
    file: HubFile,
    part: Path,
    size_now: Callable[[], int],
    *,
    silence_s: Callable[[int, float], float] | None = None,
) -> Iterator[None]:
    """Watch a program write a file while the block runs: tell how far it is, by the file's size, and end it when
    nothing has come for `IDLE_S`, or for what `silence_s` makes of the bytes that came and the seconds they took.

    One that writes more than the file has is ended, as a server may send until the disk is full; and so is one that
    takes too much memory: raises DownloadError then.
    """
    over = threading.Event()
    stopped: list[ProvisionError] = []

    def watch() -> None:
        size, since = size_now(), ctx.machine.clock()
        first, began = size, since
        looked = began
        while not over.wait(POLL_S):
            now = size_now()
            if now > file.size:
                end_writers(ctx.machine, part)
                return
            if ctx.machine.clock() - looked > MEMORY_LOOK_S:
                looked = ctx.machine.clock()
                if memory_of_writers(part) > MEMORY_MAX_BYTES:
                    stopped.append(_too_large(file))
                    end_writers(ctx.machine, part)
                    return
            if now != size:
                size, since = now, ctx.machine.clock()
                try:
                    ctx.progress(file.name, min(now, file.size), file.size)
                except ProvisionError as error:  # whoever listens wants no more of this
                    stopped.append(error)
                    end_writers(ctx.machine, part)
                    return
            elif ctx.machine.clock() - since > (silence_s(size - first, since - began) if silence_s else IDLE_S):
                end_writers(ctx.machine, part)

    watcher = threading.Thread(target=watch, name="watch", daemon=True)
    watcher.start()
    try:
        yield
        ctx.progress(file.name, min(size_now(), file.size), file.size)
    finally:
        over.set()
        watcher.join()
        if stopped:
            raise stopped[0]
