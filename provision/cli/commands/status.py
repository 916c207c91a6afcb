"""`provision status`: what is installed and running, at a glance."""

from __future__ import annotations

from provision.cli.command import Session, command
from provision.cli.request import USUAL
from provision.output.result import Result


def status(at: Session) -> Result:
    """All of it; satisfied when the server is up."""
    from provision.cli.commands.overview import overview
    from provision.cli.look import taking_long

    with taking_long(at.console, "status", "asking ComfyUI and adding up the disk"):
        return overview(at)


app = command("status", status, USUAL)
