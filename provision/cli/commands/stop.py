"""`provision stop`."""

from __future__ import annotations

from provision.cli.command import Session, command
from provision.cli.request import USUAL
from provision.output.result import Nothing, Result, answer


def stop(at: Session) -> Result:
    """Stop the server that was started from this home; that it starts at login, or is open, is not undone."""
    from provision.cli.always_on import still_on
    from provision.comfyui.server_process import stop_server

    stopped = stop_server(at.ctx) if at.ctx.home.root.is_dir() else False
    says = "ComfyUI is stopped." if stopped else "ComfyUI was not running."
    return answer(Nothing(), says, *still_on(at), changed=stopped)


app = command("stop", stop, USUAL)
