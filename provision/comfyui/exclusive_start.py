"""One start of ComfyUI at a time in an environment, and what each changed in the packages.

Custom nodes may install packages (ComfyUI-Manager does), and two pips at once leave half of each. The lock is flock(2)
on the environment's folder itself: it holds for every home that uses it and writes nothing there.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager

from provision.command import ours
from provision.core.step import Context
from provision.environment.changed_packages import fingerprint, remember
from provision.errors import EngineError

WAIT_S = 900.0
"""Longer than any start takes: the quick test is given 600 s."""
POLL_S = 0.2


@contextmanager
def one_start(ctx: Context, wait_s: float = WAIT_S) -> Iterator[None]:
    """Hold the environment for one start; packages that it changes are recorded and named.

    Raises EngineError where another start does not end in `wait_s`, Interrupted.
    """
    try:
        handle = os.open(ctx.home.venv, os.O_RDONLY | os.O_CLOEXEC | os.O_DIRECTORY)
    except OSError:  # no environment: the start itself will say so
        yield
        return
    try:
        _take(ctx, handle, wait_s)
        before = fingerprint(ctx.home.venv)
        try:
            yield
        finally:
            remember(ctx, before)
    finally:
        os.close(handle)


def _take(ctx: Context, handle: int, wait_s: float) -> None:
    deadline, waited = ctx.machine.clock() + wait_s, False
    while not _try(handle):
        if not waited:
            ctx.doing("waiting for another start of ComfyUI in this environment")
        waited = True
        if ctx.machine.clock() > deadline:
            raise EngineError(
                f"Another start of ComfyUI in {ctx.home.venv.resolve()} has been running for {wait_s / 60:.0f} min.",
                hint=ours("status"),
            )
        ctx.machine.sleep(POLL_S)
    if waited:
        ctx.doing("starting ComfyUI")


def _try(handle: int) -> bool:
    """Take the lock, where the file system has locks; False while another start holds it."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True
