"""`provision launch`: ComfyUI, started and waited for."""

from __future__ import annotations

import webbrowser
from typing import Annotated

from typer import Option

from provision.cli.command import Session, command
from provision.cli.request import ASKING
from provision.cli.server import bring_up
from provision.output.result import Result


def launch(at: Session, *, open_page: Annotated[bool, Option("--open", help="Open ComfyUI's page.")] = False) -> Result:
    """Start the server, detached, and wait until it answers."""
    result = bring_up(at)
    if result.ok and open_page:
        webbrowser.open(at.ctx.manifest.comfyui.page)
    return result


app = command("launch", launch, ASKING)
