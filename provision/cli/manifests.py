"""`provision manifests`: list, show and validate them."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Annotated

import typer

from provision.cli.exit_codes import exit_codes
from provision.cli.options import DEFAULT_MANIFEST, JsonOption, SetOption, offer_manifests

manifests_app = typer.Typer(help="List, show and validate manifests.", no_args_is_help=False, rich_markup_mode=None)


@manifests_app.callback()
def manifests(ctx: typer.Context) -> None:
    """List, show and validate manifests."""
    if ctx.invoked_subcommand is None:
        list_manifests()


@manifests_app.command("list")
def list_manifests(json: JsonOption = False) -> None:
    """The manifests that come with the tool."""
    _manifests(lambda commands, console: commands.list_manifests(console), json)


@manifests_app.command("show")
def show_manifest(
    name: Annotated[str, typer.Argument(autocompletion=offer_manifests)] = DEFAULT_MANIFEST,
    set_: SetOption = None,
    json: JsonOption = False,
) -> None:
    """One manifest, with its overrides."""
    _manifests(lambda commands, console: commands.show_manifest(console, name, set_ or []), json)


@manifests_app.command("validate")
def validate_manifest(
    name: Annotated[str, typer.Argument(metavar="NAME|FILE", autocompletion=offer_manifests)],
    set_: SetOption = None,
    json: JsonOption = False,
) -> None:
    """Read a manifest by the strict loader and say what is wrong with it."""
    _manifests(lambda commands, console: commands.validate_manifest(console, name, set_ or []), json)


def _manifests(action: Callable[..., None], json: bool) -> None:
    from provision.cli.commands import commands
    from provision.output.console import make_console
    from provision.output.hints import this_call

    console = make_console(json_lines=json, verbose=False, yes=False, environ={})
    console.invocation = this_call(os.environ)
    with exit_codes(console):
        action(commands, console)
