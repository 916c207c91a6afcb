"""`provision launch`: start ComfyUI, and wait until it answers."""

from __future__ import annotations

from typing import Annotated

from typer import Option

from provision.cli.command import Session, command
from provision.cli.request import ASKING
from provision.output.result import Result


def launch(at: Session, *, open_page: Annotated[bool, Option("--open", help="Open ComfyUI's page.")] = False) -> Result:
    """Start the server, detached, and wait until it answers."""
    import webbrowser

    from provision.cli.server import bring_up

    result = bring_up(at)
    if result.ok and open_page:
        webbrowser.open(at.ctx.manifest.comfyui.page)
    return result


app = command("launch", launch, ASKING)
