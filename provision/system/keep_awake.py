"""Keeping the machine from falling asleep while bytes flow."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from provision.errors import CommandMissing
from provision.system.machine import Machine

NOWHERE = Path(os.devnull)


@contextmanager
def kept_awake(machine: Machine) -> Iterator[None]:
    """No idle sleep on a Mac while the block runs (`caffeinate -i`); elsewhere nothing is done.

    `-w` ties it to this process: killed or not, we leave no machine awake.
    """
    caffeinate = machine.which("caffeinate") if machine.system == "Darwin" else None
    if caffeinate is None:
        yield
        return
    try:
        pid = machine.spawn([caffeinate, "-i", "-w", str(os.getpid())], cwd=Path("/"), log=NOWHERE, env={})
    except CommandMissing:
        yield
        return
    keeper = machine.process(pid)
    try:
        yield
    finally:
        if keeper is not None:
            machine.end_process(keeper)
