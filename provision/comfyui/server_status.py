"""The state of a home's server, for `status`."""

from __future__ import annotations

from dataclasses import dataclass

from provision.comfyui.server_process import (
    START_TIMEOUT_S,
    client_of,
    our_process,
    read_record,
    runs_for_its_owner,
)
from provision.core.step import Context
from provision.errors import EngineError, PortTaken


@dataclass(frozen=True, slots=True)
class ServerStatus:
    """A server's state: `up`, `starting`, `hung` or `down`; `up_s` in seconds."""

    state: str
    says: str
    url: str
    pid: int | None = None
    up_s: float | None = None
    version: str = ""
    device: str = ""


def server_status(ctx: Context) -> ServerStatus:
    """The state of this home's server; never raises for what it finds."""
    process, record, whose = our_process(ctx), read_record(ctx), ""
    client = client_of(ctx, record.port if record else None)
    if process is None and (who := ctx.machine.listener(ctx.manifest.comfyui.port)) is not None:
        process = who if runs_for_its_owner(ctx, who) else None
        whose = ", started by you"
    if process is None:
        return ServerStatus("down", "The server is not running.", client.url)
    up_s = ctx.machine.now() - (record.started if record else process.created)
    try:
        stats = client.system_stats()
    except (EngineError, PortTaken):
        stats = None
    if stats is None:
        state = "starting" if up_s < START_TIMEOUT_S else "hung"
        says = f"The server (pid {process.pid}) does not answer" + (" yet." if state == "starting" else ".")
        return ServerStatus(state, says, client.url, process.pid, up_s)
    says = f"ComfyUI {stats.version} on {client.url}, {stats.device}, up for {shown_time(up_s)}{whose}"
    return ServerStatus("up", says, client.url, process.pid, up_s, stats.version, stats.device)


def shown_time(seconds: float) -> str:
    """A duration as people say it: 42 s, 7 min, 3 h 20 min."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = int(seconds // 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
