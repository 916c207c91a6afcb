"""A program that limits the size of a running server's log: `python log_keeper.py LOG LIMIT <LIFELINE`.

The server writes to the log itself, so that neither process needs the other. A log over the limit is copied to LOG.1
and truncated; the server appends at the new end. LIFELINE is a pipe whose other end the server holds: this program ends
when it closes. It uses only the standard library, as the Python that runs it has nothing else.
"""

from __future__ import annotations

import fcntl
import os
import select
import signal
import sys
from pathlib import Path

LOOK_S, LOOK_CLOSELY_S = 0.5, 0.02
"""Seconds between two checks, and while the log grows by a tenth of the limit from one to the next."""
PIECE = 1_000_000
LINE_MAX = 100_000
"""An incomplete line is left for the new log, unless it is longer than this."""


def keep(log: str, limit: int, lifeline: int) -> None:
    """Limit a log until the other end of the lifeline is closed."""
    handle = os.open(log, os.O_RDWR | os.O_APPEND)
    fcntl.flock(handle, fcntl.LOCK_SH)  # `stop` waits for it
    size, pause = 0, LOOK_S
    while not select.select([lifeline], [], [], pause)[0]:
        grown, size = os.fstat(handle).st_size - size, os.fstat(handle).st_size
        pause = LOOK_CLOSELY_S if grown > limit // 10 else LOOK_S
        if size > limit:
            size = cut(handle, log, limit)
    if os.fstat(handle).st_size > limit:
        cut(handle, log, limit)


def cut(handle: int, log: str, limit: int) -> int:
    """Move the whole lines of a log, at most the newest `limit` bytes, to LOG.1; returns the new size.

    On a full disk the log is truncated all the same.
    """
    start = max(0, os.fstat(handle).st_size - limit)
    if start:
        start += os.pread(handle, LINE_MAX, start).find(b"\n") + 1
    aside, end = Path(f"{log}.1.new"), start
    try:
        with aside.open("wb", buffering=0) as copy:
            end = copy_rest(handle, copy.fileno(), start)
            aside.replace(f"{log}.1")
            end = copy_rest(handle, copy.fileno(), end)
            last = os.pread(handle, min(LINE_MAX, end - start), max(start, end - LINE_MAX))
            os.ftruncate(handle, 0)  # what is written between these two lines is lost
            begun = last[last.rfind(b"\n") + 1 :]
            if 0 < len(begun) < LINE_MAX:
                os.write(handle, begun)
                os.ftruncate(copy.fileno(), end - start - len(begun))
        shorten(Path(f"{log}.1"), aside, limit)
    except OSError:
        os.ftruncate(handle, 0)
    return os.fstat(handle).st_size


def shorten(path: Path, aside: Path, limit: int) -> None:
    """Keep at most the newest `limit` bytes of a log, by whole lines: the server wrote on during the copy."""
    over = path.stat().st_size - limit
    if over > 0:
        with path.open("rb") as stream:
            stream.seek(over)
            stream.readline()
            aside.write_bytes(stream.read())
        aside.replace(path)


def copy_rest(source: int, target: int, place: int) -> int:
    """Copy all from `place` on; returns the end."""
    while piece := os.pread(source, PIECE, place):
        os.write(target, piece)
        place += len(piece)
    return place


if __name__ == "__main__":
    for sign in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # it ends with the server, and not before
        signal.signal(sign, signal.SIG_IGN)
    keep(sys.argv[1], int(sys.argv[2]), 0)
