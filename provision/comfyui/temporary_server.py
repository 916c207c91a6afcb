"""A server for one check: ours where it runs, else one that is started on a free port and stopped again.

It keeps no record, writes its own log and loads no custom nodes, so that it changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, fields, replace
from functools import partial
from pathlib import Path

from provision.comfyui.exclusive_start import one_start
from provision.comfyui.isolation import apart, look_env, look_folder
from provision.comfyui.sandbox import fenced
from provision.comfyui.server_process import (
    Record,
    our_process,
    server_argv,
    spawn_server,
    wait_until_listed,
    wait_until_up,
)
from provision.core.home import Home
from provision.core.step import Context
from provision.system.child_notes import noted
from provision.system.local_machine import free_port
from provision.system.processes import MARK


@dataclass(frozen=True, slots=True)
class BriefHome(Home):
    """The same home with another log for ComfyUI, in the check's folder where the home has no `logs`."""

    look: Path = Path()

    @property
    def engine_log(self) -> Path:
        """The temporary server's log."""
        return (self.logs if self.logs.is_dir() else self.look) / "brief-server.log"


@contextmanager
def any_server(ctx: Context) -> Iterator[tuple[Context, bool]]:
    """A context whose server is up, and whether it was started for this. Raises EngineError, Interrupted."""
    if our_process(ctx) is not None:
        yield ctx, False
        return
    with brief_server(ctx) as brief:
        yield brief, True


@contextmanager
def brief_server(ctx: Context, *, nodes: bool = False) -> Iterator[Context]:
    """A context whose server runs on a free port until the end, isolated and without custom nodes.

    With `nodes` they are loaded, in a sandbox.

    Raises EngineError, PortTaken, Interrupted, HomeError, DiskFull.
    """
    manifest = replace(ctx.manifest, comfyui=replace(ctx.manifest.comfyui, port=free_port()))
    with look_folder(ctx) as folder:
        home = BriefHome(**{each.name: getattr(ctx.home, each.name) for each in fields(ctx.home)}, look=folder)
        brief = replace(ctx, manifest=manifest, home=home, options=replace(ctx.options, lan=False))
        with ExitStack() as later:
            with one_start(ctx):
                _start(brief, folder, later, nodes=nodes)
            yield brief


def _start(ctx: Context, folder: Path, later: ExitStack, *, nodes: bool) -> None:
    """Start it and wait until it is up. `later` stops it; should we be killed, the next command does."""
    argv = apart(ctx, server_argv(ctx), folder, nodes=nodes)
    if nodes:
        argv = fenced(ctx.machine, argv, folder)
    note = later.enter_context(noted(ctx.machine, argv))
    process = spawn_server(ctx, argv, {**look_env(folder), MARK: note.mark})
    later.callback(partial(ctx.machine.end_process, process, group=nodes))
    note.runs(process.pid)
    wait_until_up(ctx, Record(process.pid, process.created, ctx.manifest.comfyui.port, argv))
    wait_until_listed(ctx)
