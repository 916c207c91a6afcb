"""`provision stop`."""

from __future__ import annotations

from provision.cli.command import Session, command
from provision.cli.request import USUAL
from provision.output.result import Nothing, Result, answer


def stop(at: Session) -> Result:
    """Stop the server that was started from this home."""
    from provision.comfyui.server_process import stop_server

    stopped = stop_server(at.ctx) if at.ctx.home.root.is_dir() else False
    return answer(Nothing(), "ComfyUI is stopped." if stopped else "ComfyUI was not running.", changed=stopped)


app = command("stop", stop, USUAL)
