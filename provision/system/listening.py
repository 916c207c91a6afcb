"""Hearing a program out: none is run here but within limits of time, of silence and of what it may say."""

from __future__ import annotations

import os
import selectors
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import IO

SILENCE_S = 300.0
"""How long a program may neither say nor do anything."""
SAID_MAX = 64_000_000
LEFT_BEHIND_S = 2.0
"""How long the streams of a program that has ended are waited for: what it left behind may hold them for ever."""
TICK_S = 0.1
CHUNK_BYTES = 1 << 16
LOOKS = 4
"""How often in a silence it is looked whether a program works."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds that a program may take, bytes that it may say, and seconds of silence.

    One that is silent and works (it, or what it started, takes time of the processor) is not ended for that, but with
    `wordy`: it is known to tell what it does.
    """

    seconds: float
    bytes: int = SAID_MAX
    silence_s: float = SILENCE_S
    wordy: bool = False


class Stopped(Exception):
    """A program passed a limit; the message goes on from its name: `timed out after 60 seconds`."""


def listen(
    child: subprocess.Popen[bytes],
    limits: Limits,
    hear: Callable[[IO[bytes], bytes], None],
    tick: Callable[[], None] | None = None,
) -> int:
    """Hand on what a child says, with the stream, until it has ended; returns its exit code, and closes the streams.

    `tick` is called ten times a second. Raises Stopped, and what `hear` and `tick` raise; the child still runs then.
    """
    started, said, silence = time.monotonic(), 0, _Silence(child.pid, limits)
    streams = [stream for stream in (child.stdout, child.stderr) if stream is not None]
    try:
        with selectors.DefaultSelector() as ready:
            for stream in streams:
                ready.register(stream, selectors.EVENT_READ)
            while ready.get_map() or not _has_ended(child):
                for key, _ in ready.select(TICK_S) if ready.get_map() else ():
                    chunk = os.read(key.fd, CHUNK_BYTES)
                    silence.end()
                    said += len(chunk)
                    if chunk:
                        hear(key.fileobj, chunk)  # type: ignore[arg-type]
                    else:
                        ready.unregister(key.fileobj)
                if tick is not None:
                    tick()
                if said > limits.bytes:
                    raise Stopped(f"answered more than {limits.bytes:,} bytes")
                if time.monotonic() - started > limits.seconds:
                    raise Stopped(f"timed out after {limits.seconds:.0f} seconds")
                if silence.seconds() > limits.silence_s:
                    raise Stopped(f"said nothing for {limits.silence_s:.0f} seconds")
                if silence.seconds() > LEFT_BEHIND_S and child.poll() is not None:
                    break
        return child.wait()
    finally:
        for stream in streams:
            stream.close()


def _has_ended(child: subprocess.Popen[bytes]) -> bool:
    """Whether a child that says nothing more has ended, or does within a tick."""
    with suppress(subprocess.TimeoutExpired):
        child.wait(TICK_S)
    return child.returncode is not None


class _Silence:
    """For how long a program has said and done nothing."""

    def __init__(self, pid: int, limits: Limits) -> None:
        self._pid, self._limits = pid, limits
        self.end()

    def end(self) -> None:
        self._since = self._looked = time.monotonic()
        self._work: frozenset[tuple[int, float]] | None = None

    def seconds(self) -> float:
        now = time.monotonic()
        if not self._limits.wordy and now - self._looked > self._limits.silence_s / LOOKS:
            before, self._work, self._looked = self._work, work_of(self._pid), now
            if before is not None and before != self._work:
                self._since = now
        return now - self._since


def work_of(pid: int) -> frozenset[tuple[int, float]]:
    """The seconds of the processor that a process and all that it started have taken, each with its pid."""
    import psutil

    found = set()
    with suppress(psutil.Error, OSError):
        root = psutil.Process(pid)
        for each in (root, *root.children(recursive=True)):
            with suppress(psutil.Error, OSError):
                found.add((each.pid, sum(each.cpu_times()[:4])))  # its own, and what it started that has ended
    return frozenset(found)
