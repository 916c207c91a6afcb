"""`provision stop`."""

from __future__ import annotations

from typing import Annotated

from typer import Option

from provision.cli.command import Session, command
from provision.cli.request import USUAL
from provision.output.result import Nothing, Result, answer


def stop(
    at: Session,
    *,
    run: Annotated[bool, Option("--run", help="Stop the command that works in this install folder, too.")] = False,
) -> Result:
    """Stop the server that was started from this home; with `run` first a command at work in it.

    That it starts at login, or is open to the network, is not undone.
    """
    from provision.cli.always_on import still_on
    from provision.cli.run_in_progress import end_run
    from provision.comfyui.server_process import stop_server

    ended = end_run(at.ctx.home, at.ctx.machine) if run else None
    stopped = stop_server(at.ctx) if at.ctx.home.root.is_dir() else False
    says = "ComfyUI is stopped." if stopped else "ComfyUI was not running."
    if ended is not None:
        says = f"Stopped `provision {ended.command}` (pid {ended.pid}). {says}"
    return answer(Nothing(), says, *still_on(at), changed=stopped or ended is not None)


app = command("stop", stop, USUAL)
