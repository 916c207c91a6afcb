"""Commands around the running engine: launch, stop, logs."""

from __future__ import annotations

import webbrowser

from provision.commands import page, success
from provision.errors import EngineError, UsageError
from provision.runner import run
from provision.session import Session, hold_home, tool_log
from provision.strict import Unreadable, open_file, why_not

SHOWN_MAX_BYTES = 16 << 20
"""Of a log: from its end."""


def launch(at: Session, *, open_page: bool) -> bool:
    """Start the server and wait until it answers."""
    ok = bring_up(at)
    if ok and open_page:
        webbrowser.open(page(at.ctx.manifest))
    return ok


def bring_up(at: Session, *, quiet: bool = False) -> bool:
    """Whether the server is up, started where it was not. Raises EngineError, HomeError."""
    from provision.steps.server import SERVER

    if not at.ctx.home.python.exists() or not (at.ctx.home.comfyui / "main.py").exists():
        raise EngineError(f"ComfyUI is not installed in {at.ctx.home.root}.", hint="provision all")
    with hold_home(at):
        report = run((SERVER,), at.ctx, apply=True)
    if not (quiet and report.ok):
        closing = f"ComfyUI: {page(at.ctx.manifest)}" if report.ok else "ComfyUI is not up."
        at.console.report(report, {"command": at.command, "url": page(at.ctx.manifest)}, closing=closing)
    return report.ok


def stop(at: Session) -> bool:
    """Stop the server that was started from this home."""
    from provision.steps.server import stop_server

    stopped = stop_server(at.ctx) if at.ctx.home.root.is_dir() else False
    at.console.record(success(changed=stopped))
    at.console.data("ComfyUI is stopped." if stopped else "ComfyUI was not running.")
    return True


def logs(at: Session, *, follow: bool, lines: int, tool: bool) -> bool:
    """The last lines of a log; with `follow` what is added, until Ctrl-C. Raises UsageError when there is none."""
    path = tool_log(at.ctx.home) if tool else at.ctx.home.engine_log
    if not path.exists():
        raise UsageError(f"There is no log {path} yet.", hint="provision launch")
    try:
        with open_file(path) as stream:
            stream.seek(max(0, path.stat().st_size - SHOWN_MAX_BYTES))
            text = stream.read(SHOWN_MAX_BYTES).decode("utf-8", "replace")
            for line in text.splitlines()[-lines:] if lines > 0 else ():
                at.console.data(line)
            while follow:
                if more := stream.readline(SHOWN_MAX_BYTES):
                    at.console.data(more.decode("utf-8", "replace").rstrip("\n"))
                else:
                    at.ctx.machine.sleep(0.2)
    except (OSError, Unreadable) as error:
        raise UsageError(f"The log {path} cannot be read ({why_not(error)}).", hint="provision doctor") from error
    return True
