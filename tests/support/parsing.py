"""What the tool's own parser makes of a command line that is not run."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from typing import Any

import typer

from provision.cli.app import command_line
from provision.errors import ProvisionError

PLACEHOLDER = re.compile(r"[A-Z][A-Z0-9_-]*")
"""A word that a person replaces: `N`, `DIR`."""
refusal: Any = typer.BadParameter.__mro__[2]  # click's ClickException, wherever typer keeps click


whole = cache(command_line)


def refused(words: Sequence[str]) -> str:
    """Why the parser refuses the words after the tool's name; empty where it takes them."""
    command, context, name = whole(), None, "provision"
    rest = ["1" if PLACEHOLDER.fullmatch(word) else word for word in words]
    try:
        while True:
            context = command.make_context(name, rest, parent=context)
            if not hasattr(command, "resolve_command"):
                return ""
            rest = [*context._protected_args, *context.args]
            if not rest:
                return ""
            name, command, rest = command.resolve_command(context, rest)
    except typer.Exit:  # --help, --version
        return ""
    except ProvisionError as error:
        return str(error)
    except refusal as error:
        return str(error.format_message() or error)
