"""A server for one look: our own where it runs, else one that is started on a free port and ended again.

It keeps no record, writes a log of its own and loads no custom nodes, so that what it found is left as it was.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, fields, replace
from pathlib import Path

from provision.apart import apart, look_env, look_folder
from provision.children import Born, note_child
from provision.engine import (
    Record,
    died,
    our_process,
    rotate,
    server_argv,
    wait_until_listed,
    wait_until_up,
)
from provision.home import Home
from provision.machine import LOOPBACK, Process
from provision.starts import one_start
from provision.step import Context


@dataclass(frozen=True, slots=True)
class BriefHome(Home):
    """The same home, with another log for the engine: in a folder of the look where the home has none for logs."""

    look: Path = Path()

    @property
    def engine_log(self) -> Path:
        """What the server of one look says."""
        return (self.logs if self.logs.is_dir() else self.look) / "brief-server.log"


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
    """A context whose server runs on a free port until the end, without custom nodes and apart from all folders.

    Raises EngineError, PortTaken, Interrupted, HomeError, DiskFull.
    """
    manifest = replace(ctx.manifest, comfyui=replace(ctx.manifest.comfyui, port=free_port()))
    with look_folder(ctx) as folder:
        home = BriefHome(**{each.name: getattr(ctx.home, each.name) for each in fields(ctx.home)}, look=folder)
        brief = replace(ctx, manifest=manifest, home=home)
        with ExitStack() as later:
            with one_start(ctx):
                _start(brief, folder, later)
            yield brief


def _start(ctx: Context, folder: Path, later: ExitStack) -> None:
    """Start it and wait until it is up; `later` ends it."""
    argv, log = apart(ctx, server_argv(ctx), folder), ctx.home.engine_log
    rotate(log)
    env = {"PYTHONUNBUFFERED": "1", **look_env(folder)}
    pid = ctx.machine.spawn(argv, cwd=ctx.home.comfyui, log=log, env=env)
    process = ctx.machine.process(pid)
    if process is None:
        raise died(ctx)
    note = _note(ctx, process)
    if note is not None:
        later.callback(note.unlink, missing_ok=True)
    later.callback(ctx.machine.end_process, process)
    wait_until_up(ctx, Record(pid, process.created, ctx.manifest.comfyui.port, argv))
    wait_until_listed(ctx)


def _note(ctx: Context, process: Process) -> Path | None:
    """So that the next command ends it, should we be killed."""
    parent = ctx.machine.process(os.getpid())
    if ctx.machine.children_folder is None or parent is None:
        return None
    born = Born(process.pid, process.created), Born(parent.pid, parent.created)
    return note_child(ctx.machine.children_folder, *born)


def free_port() -> int:
    """A port of this machine that nobody has now."""
    with socket.socket() as trial:
        trial.bind((LOOPBACK, 0))
        return int(trial.getsockname()[1])
