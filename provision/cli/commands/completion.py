"""`provision completion`: the completion script of a shell, printed or installed."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from typing import Annotated

import typer

from provision.cli.app import Manual
from provision.cli.command import carry_out_alone
from provision.cli.offers import offer
from provision.cli.request import AS_JSON
from provision.command import Fix, ours, program
from provision.errors import UsageError
from provision.output.result import Data, Result, answer

SHELLS = ("bash", "zsh", "fish")
app = typer.Typer(add_completion=False, rich_markup_mode=None)


@dataclass(frozen=True, slots=True)
class Script:
    """What makes a shell complete commands, flags and names."""

    shell: str
    script: str


@dataclass(frozen=True, slots=True)
class Installed:
    """The file of the script, and the shell's own file that has a line for it."""

    shell: str
    script_file: str
    rc: str | None


@app.command(cls=Manual)
def completion(
    shell: Annotated[
        str | None,
        typer.Argument(metavar="|".join(SHELLS), help="Your shell (default: of SHELL).", autocompletion=offer(*SHELLS)),
    ] = None,
    install: Annotated[bool, typer.Option("--install", help="Set it up for this shell, once.")] = False,
    remove: Annotated[bool, typer.Option("--remove", help="Undo --install.")] = False,
    json: Annotated[bool, AS_JSON] = False,
) -> None:
    """Print the script of a shell, install or remove it."""
    carry_out_alone("completion", lambda: completed(shell, install=install, remove=remove), json=json)


def completed(shell: str | None, *, install: bool, remove: bool) -> Result:
    """The script, or what was done with it. Raises UsageError, HomeError, DiskFull."""
    from provision.cli.shell_setup import SCRIPTS, place_for
    from provision.output.layout import KEPT, line

    name = shell or os.environ.get("SHELL", "").rpartition("/")[2]
    if name not in SCRIPTS:
        says = f"No completion for {name!r}." if name else "Which shell?"
        raise UsageError(says, hint=Fix("Choose bash, zsh or fish:", ours("completion", "zsh")))
    script, place = SCRIPTS[name], place_for(name, os.environ, mac=sys.platform == "darwin")
    if not (install or remove):
        return answer(Script(name, script), Data(script.rstrip()))
    changed = place.install(script) if install else place.remove()
    did = ("Wrote" if install else "Removed") if changed else ("Already there:" if install else "Not there:")
    read = () if place.rc is None else (", and a line in ", (str(place.rc), KEPT))
    facts = Installed(name, str(place.script), str(place.rc) if place.rc is not None else None)
    said = line(f"{did} ", (str(place.script), KEPT), *read)
    if remove:
        return answer(facts, said, changed=changed)
    undo = Fix("To undo it:", ours("completion", name, "--remove"))
    return answer(facts, said, Fix("To use it in this terminal:", program("exec", name)), undo, changed=changed)
