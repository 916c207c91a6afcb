"""`provision completion`: the completion script of a shell."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import typer

from provision.cli.app import COMPLETE
from provision.cli.command import carry_out_alone
from provision.cli.offers import offer
from provision.cli.request import AS_JSON
from provision.command import Fix, ours
from provision.errors import UsageError
from provision.output.result import Data, Result, answer

SHELLS = ("bash", "zsh", "fish")
app = typer.Typer(add_completion=False, rich_markup_mode=None)


@dataclass(frozen=True, slots=True)
class Script:
    """What makes a shell complete commands, flags and names."""

    shell: str
    script: str


@app.command()
def completion(
    shell: Annotated[
        str,
        typer.Argument(
            metavar="|".join(SHELLS),
            help="Your shell; for zsh, write the output to ~/.zfunc/_provision.",
            autocompletion=offer(*SHELLS),
        ),
    ],
    json: Annotated[bool, AS_JSON] = False,
) -> None:
    """Print the script of a shell."""
    carry_out_alone("completion", lambda: script_of(shell), json=json)


def script_of(shell: str) -> Result:
    """The script. Raises UsageError."""
    if shell not in SHELLS:
        raise UsageError(
            f"There is no completion for {shell!r}.", hint=Fix("Name bash, zsh or fish:", ours("completion", "zsh"))
        )
    script = typer.completion.get_completion_script(  # type: ignore[attr-defined]
        prog_name="provision", complete_var=COMPLETE, shell=shell
    )
    return answer(Script(shell, script), Data(script))
