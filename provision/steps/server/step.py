"""The server: ComfyUI on 127.0.0.1, in the background, ready when it answers and lists the checkpoint.

A port in use by another program, by another ComfyUI and by our own server are three different findings.
"""

from __future__ import annotations

from collections.abc import Iterable

from provision.comfyui import fallback_flags
from provision.comfyui.answers import SystemStats
from provision.comfyui.server_process import (
    START_TIMEOUT_S,
    Record,
    client_of,
    end_server,
    engine_commit,
    engine_flags,
    engine_version,
    from_main,
    is_ours,
    read_record,
    runs_for_its_owner,
    runs_our_main,
    server_argv,
    start_server,
    wait_until_up,
    write_record,
)
from provision.comfyui.server_status import shown_time
from provision.command import Fix, ours
from provision.core.finding import Finding, Kind
from provision.core.receipt_kinds import TorchReceipt
from provision.core.step import Context, Step
from provision.environment.packages import torch_version
from provision.errors import EngineError, PortTaken
from provision.steps.server import kinds
from provision.steps.server.flags import conflicts
from provision.system.processes import Process


def check_server(ctx: Context) -> Iterable[Finding]:
    """Does our server run, with today's code and flags? If not, whose is the port?"""
    record, port = read_record(ctx), ctx.manifest.comfyui.port
    ctx.doing(f"asking ComfyUI on port {port}")
    if record is None:
        yield _whose_port(ctx)
        return
    old = staleness(ctx, record)
    if record.port != port:
        seen = _whose_port(ctx)
        yield _stale(old) if seen.kind == kinds.SERVER_DOWN else seen
    elif old:
        yield _stale(old)
    else:
        yield from _running(ctx, record)


def staleness(ctx: Context, record: Record) -> str:
    """Why a server of ours must be restarted, as a sentence; empty when it need not."""
    if record.port != ctx.manifest.comfyui.port:
        return f"The server uses port {record.port} instead of {ctx.manifest.comfyui.port}."
    if record.argv[1:] != server_argv(ctx)[1:]:
        return "The server was started with other flags."
    if record.commit != engine_commit(ctx):
        return f"The server runs an older ComfyUI ({record.commit[:8]})."
    if record.torch != torch_version(ctx.home.venv):
        return f"The server runs torch {record.torch}, and {torch_version(ctx.home.venv) or 'none'} is installed."
    if record.argv != server_argv(ctx):
        return "The server runs in an old environment."
    return ""


def _running(ctx: Context, record: Record) -> Iterable[Finding]:
    age_s = ctx.machine.now() - record.started
    try:
        client = client_of(ctx)
        stats = client.system_stats()
        waiting = client.queue() if stats and ctx.options.deep else None
    except PortTaken:
        yield _whose_port(ctx)
        return
    except EngineError:
        stats = waiting = None
    if stats is None and age_s < START_TIMEOUT_S:
        fix = Fix("Wait for it.")
        yield kinds.SERVER_STARTING.fixable(f"pid {record.pid}", "The server is still starting.", fix=fix)
    elif stats is None:
        yield _stale(f"The server (pid {record.pid}) is running but does not answer.")
    elif not is_ours(ctx.home, stats):
        yield _another_comfyui(ctx, stats, None)
    else:
        queue = f", queue: {len(waiting.running)} running, {len(waiting.pending)} waiting" if waiting else ""
        says = f"ComfyUI {stats.version} on port {record.port}, pid {record.pid}, up for {shown_time(age_s)}{queue}"
        facts = {"pid": record.pid, "port": record.port, "device": stats.device}
        yield kinds.SERVER_UP.ok(client.url, says, facts=facts)
        device = ctx.receipts.read("torch", TorchReceipt).device
        if device is not None and device != stats.device and "--cpu" not in engine_flags(ctx):
            says = f"torch has {device}, and ComfyUI computes on {stats.device}."
            yield kinds.TORCH_NO_MPS.warn("device", says, fix=Fix("See its log.", ours("logs")))
        if says := fallback_flags.kept_says(ctx):
            yield kinds.FLAGS_KEPT.ok("flags", f"{says}.")


def _stale(says: str) -> Finding:
    return kinds.SERVER_STALE.fixable("server", says, fix=Fix("Restart it."))


def _whose_port(ctx: Context) -> Finding:
    """Who has the port while no server of ours is on record there, if anybody."""
    port = ctx.manifest.comfyui.port
    try:
        stats = client_of(ctx).system_stats()
        if stats is None and ctx.machine.port_is_free(port):
            return _down(ctx)
    except (PortTaken, EngineError):
        stats = None
    who = ctx.machine.listener(port)
    if stats is not None and who is not None and runs_for_its_owner(ctx, who):
        says = f"ComfyUI {stats.version} on port {port}, pid {who.pid}, started by you from this install"
        facts = {"pid": who.pid, "port": port}
        return kinds.SERVER_YOURS.ok(client_of(ctx).url, f"{says}; it is used, and never stopped", facts=facts)
    if who is not None and runs_our_main(ctx.home, who):
        says = f"An unrecorded server of this install folder is running (pid {who.pid})."
        fix = Fix("Use it if its flags and code are right, else restart it.")
        return kinds.SERVER_LOST.fixable(f"pid {who.pid}", says, fix=fix)
    return _another_program(ctx, who) if stats is None else _another_comfyui(ctx, stats, who)


def _down(ctx: Context) -> Finding:
    is_here = ctx.home.main_py.is_file()
    says = "The server is not running." if is_here else "The server starts after ComfyUI is installed."
    return kinds.SERVER_DOWN.fixable("server", says, fix=Fix("Start ComfyUI in the background."))


def _another_comfyui(ctx: Context, stats: SystemStats, who: Process | None) -> Finding:
    origin = f", {stats.argv[0]}" if stats.argv and stats.argv[0].startswith("/") else ""
    if who is not None and who.argv and who.argv[0].startswith(f"{ctx.home.venv}/"):
        origin = ", started by hand from this install folder"
    pid = f", pid {who.pid}" if who else ""
    says = f"belongs to another ComfyUI ({stats.version}{origin}{pid}); it is not touched."
    return _taken(ctx, kinds.PORT_COMFYUI, who, says, "Close it, or use another port.")


def _another_program(ctx: Context, who: Process | None) -> Finding:
    name = "another program"
    if who is not None:
        name = f"{who.argv[0] if who.argv else 'a program'} (pid {who.pid})"
    cure = "Close that program, or use another port."
    return _taken(ctx, kinds.PORT_BUSY, who, f"is used by {name}.", cure)


def _taken(ctx: Context, kind: Kind, who: Process | None, says: str, cure: str) -> Finding:
    port = ctx.manifest.comfyui.port
    fix = Fix(cure, ours("all", "--set", f"comfyui.port={port + 1}"))
    return kind.blocked(f"port {port}", f"Port {port} {says}", fix=fix, facts={"pid": who.pid if who else None})


def apply_server(ctx: Context, finding: Finding) -> None:
    """Start or restart the server, or take on one without a record.

    Raises EngineError with what its log means, PortTaken, Interrupted; StartOver where it does not start with flags
    on trial and others are left to try. With flags that ComfyUI refuses, nothing is stopped.
    """
    for conflict in conflicts(ctx.manifest.comfyui.args):
        raise EngineError(conflict.says, hint=conflict.fix or ours("manifests"))
    started = ctx.machine.clock()
    try:
        _bring_up(ctx, finding)
    except EngineError as error:
        if not fallback_flags.is_trying(ctx):
            raise
        says = error.message.partition("\n")[0].removesuffix(" Its last output:")
        raise fallback_flags.climb(ctx, fallback_flags.UNSTARTED, says, ctx.machine.clock() - started, error) from error


def _bring_up(ctx: Context, finding: Finding) -> None:
    record = read_record(ctx)
    if record is None:
        if not (finding.kind == kinds.SERVER_LOST and adopt(ctx)):
            start_server(ctx)
    elif finding.kind == kinds.SERVER_STARTING:
        wait_until_up(ctx, record)
    else:
        ctx.note(f"Restarting the server (pid {record.pid}).")
        end_server(ctx, record.process(ctx.home), record.port)
        start_server(ctx)


def adopt(ctx: Context) -> bool:
    """Take on the server of this home that runs without a record, or end it where its flags or code are others."""
    who = ctx.machine.listener(ctx.manifest.comfyui.port)
    if who is None or not runs_our_main(ctx.home, who):
        return False
    try:
        stats = client_of(ctx).system_stats()
    except (EngineError, PortTaken):
        stats = None
    if stats is not None and stats.argv[1:] == server_argv(ctx)[3:] and _same_code(ctx, stats):
        write_record(ctx, who, (*server_argv(ctx)[:2], *from_main(ctx.home, who.argv)))
        ctx.note(f"Using the running server (pid {who.pid}).")
        return True
    ctx.note(f"Stopping the running server (pid {who.pid}): its flags or code are out of date.")
    end_server(ctx, who)
    return False


def _same_code(ctx: Context, stats: SystemStats) -> bool:
    # torch says 2.15.0+cpu of itself where its wheel is called 2.15.0.
    installed, running = torch_version(ctx.home.venv).split("+")[0], stats.torch.split("+")[0]
    return stats.version == engine_version(ctx) and installed in ("", running)


SERVER = Step(
    "server",
    needs=("requirements", "workflow"),
    check=check_server,
    apply=apply_server,
    about="the ComfyUI server",
)
