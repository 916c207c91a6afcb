"""The command line and its commands. A command's module is loaded only when it is called."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from provision import __version__
from provision.cli.contents import ABOUT, ALIASES, COMMANDS, EXAMPLES, GLOBAL, arranged, help_text, translated
from provision.cli.exit_codes import End, refuse, tell
from provision.command import Fix, ours, program
from provision.errors import EXIT_OK, EXIT_UNSATISFIED, ProvisionError, UsageError
from provision.output.safe_streams import guard, rest

COMPLETE = "_PROVISION_COMPLETE"
"""The variable by which a shell's script asks for completions."""


class Flagged(TyperGroup):
    """Commands whose shared flags may stand before their names."""

    def parse_args(self, ctx: Any, args: list[str]) -> Any:
        """Put them behind."""
        return super().parse_args(ctx, arranged(args) or args)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write each with its whole sentence."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, command.help or "") for name, command in self.commands.items()])
        write_examples(self.name or "", formatter)


class Commands(Flagged):
    """Commands by name and sentence, which is all that help and completion need."""

    def parse_args(self, ctx: Any, args: list[str]) -> Any:
        """Know the commands by their other names too."""
        return super().parse_args(ctx, translated(arranged(args)))

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Load the command that is called. Raises UsageError for one that there is not."""
        if args[0] not in self.commands and not args[0].startswith("-"):
            raise unknown(args[0])
        name, known, rest = super().resolve_command(ctx, args)
        return name, known and load(str(name)), rest

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """The one help that there is."""
        formatter.write(help_text() + "\n")


def unknown(name: str) -> UsageError:
    """What to say of a command that there is not; never that one which removes everything is meant."""
    from difflib import get_close_matches

    near = [each for each in get_close_matches(name, [*COMMANDS, *ALIASES], n=1) if each != "uninstall"]
    hint = Fix("Did you mean:", ours(ALIASES.get(near[0], near[0]))) if near else ours("--help")
    return UsageError(f"Unknown command {name!r}.", hint=hint)


class Manual(TyperCommand):
    """A command whose help has its own flags apart from those of all, and examples."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write them in groups."""
        shared = {flag for known in GLOBAL for flag in known.replace(",", "").split()}
        groups: dict[str, list[Any]] = {"Arguments": [], "Options": [], "Global options": []}
        for parameter in self.get_params(ctx):
            if (record := parameter.get_help_record(ctx)) is not None:
                own = "Options" if record[0].startswith("-") else "Arguments"
                groups["Global options" if shared & {*parameter.opts} else own].append(record)
        for title, records in groups.items():
            if records:
                with formatter.section(title):
                    formatter.write_dl(records)
        write_examples(self.name or "", formatter)


def write_examples(command: str, formatter: Any) -> None:
    """The examples of a command, where there are any."""
    if examples := EXAMPLES.get(command, ()):
        with formatter.section("Examples"):
            formatter.write("".join(f"  {example}\n" for example in examples))


app = typer.Typer(
    name="provision",
    cls=Commands,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help=ABOUT,
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
    _: Annotated[
        bool, typer.Option("-V", "--version", callback=version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """From a new Mac to its first SDXL-Turbo image in ComfyUI."""


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
    finally:
        rest()
