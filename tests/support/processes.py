"""Processes that a test waits for: seen when their program has started, gone when they have ended."""

from __future__ import annotations

import time
from collections.abc import Callable

from provision.system.processes import Process, look

PATIENCE_S = 120.0
"""On a machine that does other things too: what hangs, hangs for ever."""


def eventually(holds: Callable[[], bool]) -> bool:
    """Whether something becomes true, looked at often, given up on late."""
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def gone(pid: int) -> bool:
    """Whether no process has that pid any more."""
    return look(pid) is None


def seen(pid: int) -> Process:
    """A process that was started: for a moment after its exec the kernel shows no words of it."""
    assert eventually(lambda: (process := look(pid)) is not None and process.argv != ())
    process = look(pid)
    assert process is not None
    return process
