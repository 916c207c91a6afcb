"""Keep the machine awake during a download, and while it serves others."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from provision.errors import CommandMissing
from provision.system.machine import Machine


@contextmanager
def kept_awake(machine: Machine) -> Iterator[None]:
    """No idle sleep on a Mac while the block runs: `caffeinate -i`, which ends with this process (`-w`)."""
    caffeinate = machine.which("caffeinate") if machine.system == "Darwin" else None
    if caffeinate is None:
        yield
        return
    keeper = None
    with suppress(CommandMissing):
        argv = (caffeinate, "-i", "-w", str(os.getpid()))
        keeper = machine.process(machine.spawn(argv, cwd=Path("/"), log=Path(os.devnull), env={}))
    try:
        yield
    finally:
        if keeper is not None:
            machine.end_process(keeper)
