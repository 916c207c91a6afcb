"""The command line and its commands. A command's module is loaded only when it is called."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from provision import __version__
from provision.cli.exit_codes import End, refuse, tell
from provision.command import program
from provision.errors import EXIT_OK, EXIT_UNSATISFIED, ProvisionError
from provision.output.safe_streams import guard

COMPLETE = "_PROVISION_COMPLETE"
"""The variable by which a shell's script asks for completions."""
COMMANDS = {
    "all": "Install everything and make the first image, or repair it.",
    "plan": "Show what `all` would do, with sizes; change nothing.",
    "check": "Check whether this machine is good enough.",
    "download": "Download only the model, and verify it.",
    "doctor": "Check everything; repair it with --fix; explain a LOGFILE.",
    "launch": "Start ComfyUI in the background and wait until it answers.",
    "stop": "Stop the ComfyUI that was started from this home.",
    "status": "Show what is installed and running.",
    "update": "Update ComfyUI, and torch with --torch; proven before it takes over.",
    "rollback": "Return to an earlier generation: ComfyUI, torch and packages.",
    "history": "List the generations that can be gone back to.",
    "logs": "Show ComfyUI's log.",
    "generate": "Generate images from prompts; starts ComfyUI if needed.",
    "bench": "Measure seconds per image, and compare with published figures.",
    "report": "Write the last run as one HTML page.",
    "config": "Show every setting and where it comes from.",
    "uninstall": "Remove what provision made; what you added is kept.",
    "completion": "Generate a shell completion script.",
    "manifests": "List, show and validate manifests.",
}
"""Each is the `app` of the module of its name in `commands`."""


class Commands(TyperGroup):
    """Commands by name and sentence, which is all that help and completion need."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Load the command that is called."""
        name, known, rest = super().resolve_command(ctx, args)
        return name, known and load(str(name)), rest


app = typer.Typer(
    name="provision",
    cls=Commands,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="From a bare Mac to its first SDXL-Turbo image in ComfyUI.",
    context_settings={"help_option_names": ["-h", "--help"]},
)
for _name, _about in COMMANDS.items():
    app.command(_name, help=_about)(lambda: None)


def load(name: str) -> Any:
    """A command with its flags."""
    command: Any = typer.main.get_command(import_module(f"provision.cli.commands.{name}").app)
    command.name, command.help = name, COMMANDS[name]
    return command


def version(value: bool) -> None:
    """Print the version and exit."""
    if value:
        typer.echo(f"provision {__version__}")
        raise typer.Exit


@app.callback()
def root(
    _: Annotated[bool, typer.Option("--version", callback=version, is_eager=True, help="Show the version.")] = False,
) -> None:
    """From a bare Mac to its first SDXL-Turbo image in ComfyUI."""


def command_line() -> Any:
    """All commands with their flags, for the manual."""
    whole: Any = typer.main.get_command(app)
    whole.commands = {name: load(name) for name in COMMANDS}
    return whole


def main() -> None:
    """The entry point. Usage errors are printed as any other error, with `--json` in an envelope."""
    guard()
    if COMPLETE in os.environ:
        typer.completion.completion_init()  # type: ignore[attr-defined]
    refused: type[Exception] = typer.BadParameter.__mro__[2]  # click's ClickException, wherever typer keeps click
    try:
        sys.exit(app(prog_name="provision", standalone_mode=False) or EXIT_OK)
    except (typer.Abort, KeyboardInterrupt):  # just before a command sees to it, or just after
        End().at_once()
    except OSError as error:  # help that goes to a disk that is full
        tell(ProvisionError(f"The output cannot be written ({error.strerror}).", hint=program("df", "-h", ".")))
        End().leave(EXIT_UNSATISFIED)
    except refused as error:
        sys.exit(refuse(error))
    except ProvisionError as error:  # refused before there was a session
        tell(error)
        sys.exit(error.exit_code)
