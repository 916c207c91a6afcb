"""A server for one look: our own where it runs, else one that is started on a free port and ended again.

It keeps no record and writes a log of its own, so that what it found is left as it was.
"""

from __future__ import annotations

import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from pathlib import Path

from provision.apart import apart, look_env
from provision.children import forget_child
from provision.engine import (
    Record,
    died,
    our_process,
    server_argv,
    wait_until_listed,
    wait_until_up,
)
from provision.home import Home
from provision.log_files import rotate
from provision.machine import LOOPBACK
from provision.processes import MARK
from provision.step import Context


@dataclass(frozen=True, slots=True)
class BriefHome(Home):
    """The same home, with another log for the engine."""

    @property
    def engine_log(self) -> Path:
        """What the server of one look says."""
        return self.logs / "brief-server.log"


@contextmanager
def any_server(ctx: Context) -> Iterator[tuple[Context, bool]]:
    """A context whose server is up, and whether it was started for this alone. Raises EngineError, Interrupted."""
    if our_process(ctx) is not None:
        yield ctx, False
        return
    with brief_server(ctx) as brief:
        yield brief, True


@contextmanager
def brief_server(ctx: Context) -> Iterator[Context]:
    """A context whose server runs on a free port until the end. Raises EngineError, PortTaken, Interrupted."""
    manifest = replace(ctx.manifest, comfyui=replace(ctx.manifest.comfyui, port=free_port()))
    home = BriefHome(**{each.name: getattr(ctx.home, each.name) for each in fields(ctx.home)})
    brief = replace(ctx, manifest=manifest, home=home)
    argv = (*server_argv(brief), *apart(brief))
    rotate(home.engine_log)
    mark = secrets.token_hex(8)
    env = {"PYTHONUNBUFFERED": "1", **look_env(ctx), MARK: mark}
    pid = ctx.machine.spawn(argv, cwd=home.comfyui, log=home.engine_log, env=env)
    process = ctx.machine.process(pid)
    if process is None:
        raise died(brief)
    note = ctx.machine.note(pid, argv, mark)
    try:
        wait_until_up(brief, Record(pid, process.created, manifest.comfyui.port, argv))
        wait_until_listed(brief)
        yield brief
    finally:
        ctx.machine.end_process(process)
        forget_child(note)


def free_port() -> int:
    """A port of this machine that nobody has now."""
    with socket.socket() as trial:
        trial.bind((LOOPBACK, 0))
        return int(trial.getsockname()[1])
