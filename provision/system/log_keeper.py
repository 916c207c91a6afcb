"""A program beside a server, which keeps the server's log within bounds: `python log_keeper.py LOG LIMIT <LIFELINE`.

The server writes to the log itself, so that its last words are there whatever ends it, and nothing that happens to this
program happens to the server. What is over the limit is copied to LOG.1 and cut off; the server appends, and goes on at
the new end. LIFELINE is a pipe whose other end the server holds: when it is gone, so are we.

Standard library alone: the Python that runs it has nothing else.
"""

from __future__ import annotations

import fcntl
import os
import select
import signal
import sys
from pathlib import Path

LOOK_S, LOOK_CLOSELY_S = 0.5, 0.02
"""How often the size is looked at: usually, and while the log grows by a tenth of the limit between two looks."""
PIECE = 1_000_000
LINE_MAX = 100_000
"""A line that is still being written is left for the new log, unless it is longer than any line."""


def keep(log: str, limit: int, lifeline: int) -> None:
    """Look after a log until the other end of the lifeline is closed."""
    handle = os.open(log, os.O_RDWR | os.O_APPEND)
    fcntl.flock(handle, fcntl.LOCK_SH)  # `stop` waits until it is let go of
    size, pause = 0, LOOK_S
    while not select.select([lifeline], [], [], pause)[0]:
        grown, size = os.fstat(handle).st_size - size, os.fstat(handle).st_size
        pause = LOOK_CLOSELY_S if grown > limit // 10 else LOOK_S
        if size > limit:
            size = cut(handle, log, limit)
    if os.fstat(handle).st_size > limit:
        cut(handle, log, limit)


def cut(handle: int, log: str, limit: int) -> int:
    """Move what a log holds to the one before it, whole lines alone; returns how large it is then.

    Of more than the limit the newest is kept. On a disk that is full it is cut off all the same.
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
            os.ftruncate(handle, 0)  # what is written between these two lines is lost: the two are not done at once
            begun = last[last.rfind(b"\n") + 1 :]
            if 0 < len(begun) < LINE_MAX:
                os.write(handle, begun)
                os.ftruncate(copy.fileno(), end - start - len(begun))
        shorten(Path(f"{log}.1"), aside, limit)
    except OSError:
        os.ftruncate(handle, 0)
    return os.fstat(handle).st_size


def shorten(path: Path, aside: Path, limit: int) -> None:
    """Keep the newest whole lines of a log, at most `limit` bytes: the server wrote on while it was copied."""
    over = path.stat().st_size - limit
    if over > 0:
        with path.open("rb") as stream:
            stream.seek(over)
            stream.readline()
            aside.write_bytes(stream.read())
        aside.replace(path)


def copy_rest(source: int, target: int, place: int) -> int:
    """Copy all from a place on; returns the new end."""
    while piece := os.pread(source, PIECE, place):
        os.write(target, piece)
        place += len(piece)
    return place


if __name__ == "__main__":
    for sign in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # it ends with the server, and not before
        signal.signal(sign, signal.SIG_IGN)
    keep(sys.argv[1], int(sys.argv[2]), 0)
