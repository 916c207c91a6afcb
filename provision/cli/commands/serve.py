"""Commands around the running engine: launch, stop, logs."""

from __future__ import annotations

import webbrowser
from dataclasses import replace

from provision.cli.commands.commands import page, success
from provision.cli.session import Session, hold_home, tool_log
from provision.comfyui.server_process import START_TIMEOUT_S
from provision.command import ours
from provision.core.events import Event
from provision.core.runner import run
from provision.core.step import Report
from provision.errors import ConsentNeeded, EngineError, HomeLocked, UsageError
from provision.system.log_files import LIMIT_BYTES, Follower
from provision.system.visible import uncoloured

LOOK_S = 0.3
"""How often a command that waits for another one looks again."""


def launch(at: Session, *, open_page: bool) -> bool:
    """Start the server and wait until it answers."""
    ok = bring_up(at)
    if ok and open_page:
        webbrowser.open(page(at.ctx.manifest))
    return ok


def bring_up(at: Session, *, quiet: bool = False) -> bool:
    """Whether the server is up, started where it was not. Raises EngineError, HomeError, ConsentNeeded."""
    if not at.ctx.home.python.exists() or not (at.ctx.home.comfyui / "main.py").exists():
        raise EngineError(f"ComfyUI is not installed in {at.ctx.home.root}.", hint=ours("all"))
    report = _look(at)
    if not report.ok and not at.ctx.options.may_run:
        raise ConsentNeeded(
            f"{at.ctx.home.python} was not installed by provision, and nobody has agreed to run it.",
            hint=ours("all", "--python", str(at.ctx.home.python)),
        )
    if not report.ok:
        report = _start(at)
    if not (quiet and report.ok):
        closing = f"ComfyUI: {page(at.ctx.manifest)}" if report.ok else "ComfyUI is not up."
        at.console.report(report, {"command": at.command, "url": page(at.ctx.manifest)}, closing=closing)
    return report.ok


def _look(at: Session) -> Report:
    """How the server is. What is only looked at is not held; a look that finds it up is told."""
    from provision.steps.server.step import SERVER

    heard: list[Event] = []
    report = run((SERVER,), replace(at.ctx, emit=heard.append), apply=False)
    for event in heard if report.ok else ():
        at.ctx.emit(event)
    return report


def _start(at: Session) -> Report:
    """Start the server, or wait for another command of this home, which may be starting it. Raises HomeLocked."""
    from provision.steps.server.step import SERVER

    machine, told = at.ctx.machine, False
    deadline = machine.clock() + START_TIMEOUT_S
    while True:
        try:
            with hold_home(at):
                return run((SERVER,), at.ctx, apply=True)
        except HomeLocked as error:
            if machine.clock() > deadline:
                raise
            if not told:
                at.ctx.note(f"{error.message} Waiting until it is done, or ComfyUI is up.")
            told = True
        machine.sleep(LOOK_S)
        if (report := _look(at)).ok:
            return report


def stop(at: Session) -> bool:
    """Stop the server that was started from this home."""
    from provision.steps.server.step import stop_server

    stopped = stop_server(at.ctx) if at.ctx.home.root.is_dir() else False
    at.console.record(success(changed=stopped))
    at.console.data("ComfyUI is stopped." if stopped else "ComfyUI was not running.")
    return True


def logs(at: Session, *, follow: bool, lines: int, tool: bool) -> bool:
    """The last lines of a log; with `follow` what is added, until Ctrl-C. Raises UsageError when there is none."""
    path = tool_log(at.ctx.home) if tool else at.ctx.home.engine_log
    if not path.is_file():  # a pipe in its place would be waited for
        raise UsageError(f"There is no log {path} yet.", hint=ours("launch"))
    follower = Follower(path, place=max(0, path.stat().st_size - LIMIT_BYTES))
    last = [*follower.lines(), *([follower.begun.decode("utf-8", "replace")] if follower.begun and not follow else [])]
    for line in last[max(0, len(last) - lines) :] if lines > 0 else ():
        at.console.data(uncoloured(line))
    while follow:
        at.ctx.machine.sleep(0.2)
        for line in follower.lines():
            at.console.data(uncoloured(line))
    return True
