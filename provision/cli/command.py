"""A command for typer: shared flags of a request, and its own, which are its function's parameters."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from inspect import Parameter, Signature, signature
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, get_args, get_origin, get_type_hints

import typer
from typer.models import ArgumentInfo

from provision.cli.app import Manual
from provision.cli.exit_codes import exit_codes, finish
from provision.cli.request import Request
from provision.command import Fix
from provision.errors import UsageError
from provision.output.result import Result

if TYPE_CHECKING:
    from provision.cli.chosen import Keeping
    from provision.core.choices import Layer
    from provision.core.step import Context
    from provision.output.console import Console
    from provision.output.outlet import Colour
    from provision.rehearsal.world import World

Run = Callable[..., Result]
Ask = Callable[..., Request]


@dataclass(frozen=True, slots=True)
class Session:
    """A command at work: its request, console, context and, in a rehearsal, the embedded world."""

    request: Request
    console: Console
    ctx: Context
    world: World | None = None
    layers: tuple[Layer, ...] = ()
    """Which source decides which keys."""
    keeping: Keeping | None = None
    """What the home will remember."""

    def typed(self, what: Fix) -> str:
        """A sentence with its command, as this person has to type it."""
        return self.console.invocation.text(what)

    @property
    def home_shown(self) -> str:
        """The home, with `~` for the person's folder."""
        from provision.output.amounts import with_tilde

        return with_tilde(self.ctx.home.root, self.ctx.machine.environ.get("HOME", ""))

    @property
    def log(self) -> Path:
        """The tool's own log."""
        return self.ctx.home.tool_log


@dataclass(frozen=True, slots=True)
class Alone:
    """A command at work that needs no home: its request and its console."""

    request: Request
    console: Console


def command(name: str, run: Run, flags: frozenset[str], ask: Ask | None = None, *, alone: bool = False) -> typer.Typer:
    """The command `run(at, ...)`, in an app of its own; see `function_of`."""
    app = typer.Typer(add_completion=False, rich_markup_mode=None)
    app.command(name, cls=Manual)(function_of(name, run, flags, ask, alone=alone))
    return app


def function_of(
    name: str, run: Run, flags: frozenset[str], ask: Ask | None = None, *, alone: bool = False
) -> Callable[..., None]:
    """What typer calls for `run(at, ...)`: with the `flags` of a request, and its own, its keyword parameters.

    `ask(request, ...)` puts more flags, its own keyword parameters, into the request before anything is done. With
    `alone` it needs no home: `at` is an Alone in place of a Session.
    """
    carry: Callable[..., None] = carry_out_here if alone else carry_out
    shared, asked, own = _shared(flags), _own(ask) if ask else [], _own(run)

    def called(**given: Any) -> None:
        typed = {flag: value for flag, value in given.items() if flag in flags and value is not None}
        request = Request(name, **typed)
        if ask is not None:
            request = ask(request, **{each.name: given[each.name] for each in asked})
        carry(name, request, lambda at: run(at, **{each.name: given[each.name] for each in own}))

    parameters = sorted([*shared, *asked, *own], key=lambda each: not _is_argument(each))
    called.__signature__ = Signature(parameters)  # type: ignore[attr-defined]
    called.__annotations__ = {each.name: each.annotation for each in parameters}
    return called


def carry_out_alone(name: str, run: Callable[[], Result], *, json: bool = False) -> NoReturn:
    """Run a command that needs no home, and none of the flags of all commands but one."""
    carry_out_here(name, Request(name, json=json), lambda _: run())


def carry_out_here(name: str, request: Request, run: Callable[[Alone], Result]) -> NoReturn:
    """Run a command that needs no home."""
    console = _console(name, request, os.environ)
    with exit_codes(console), console:
        result = run(Alone(request, console))
        console.answer(result)
        finish(result.ok)


def _console(name: str, request: Request, environ: Mapping[str, str]) -> Console:
    from provision.output.console import make_console
    from provision.output.hints import this_call

    console = make_console(
        name,
        json=request.json,
        verbose=request.verbose,
        yes=request.yes,
        plain=request.plain,
        quiet=request.quiet,
        colour=colour_of(request.color),
        environ=environ,
    )
    console.invocation = this_call(environ, request.home, rehearse=request.rehearse)
    return console


def carry_out(name: str, request: Request, run: Callable[[Session], Result]) -> NoReturn:
    """Run a command in a session: its console, its signals, its answer, its exit code."""
    from provision.cli.session import open_session
    from provision.cli.which_home import check_person, choose_home
    from provision.system.local_machine import LocalMachine
    from provision.system.proxies import with_system_proxies

    machine = LocalMachine()
    machine.environ = with_system_proxies(machine)
    console = _console(name, request, machine.environ)
    with exit_codes(console) as end, console:
        check_person(request.command, machine.environ)
        home = choose_home(request, machine)
        end.log = home.tool_log
        with open_session(request, console, machine, home) as at:
            result = run(at)
        console.answer(result)
        finish(result.ok)


def colour_of(when: str | None) -> Colour:
    """When there are colours. Raises UsageError."""
    from provision.output.outlet import Colour

    if when not in (None, *Colour):
        raise UsageError(f"Invalid --color {when!r}.", hint=Fix(f"Choose from: {', '.join(Colour)}"))
    return Colour(when or Colour.AUTO)


def _shared(flags: frozenset[str]) -> list[Parameter]:
    """The flags of a request, in its order; a repeatable one is a list to typer, and None by default."""
    hints = get_type_hints(Request, include_extras=True)
    return [_parameter(each.name, hints[each.name], each.default) for each in fields(Request) if each.name in flags]


def _parameter(name: str, hint: Any, default: object) -> Parameter:
    kind, *option = get_args(hint)
    if get_origin(kind) is Sequence:
        kind, default = list[get_args(kind)[0]] | None, None  # type: ignore[misc]
    return Parameter(name, Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[kind, *option])


def _is_argument(parameter: Parameter) -> bool:
    return isinstance(parameter.annotation.__metadata__[0], ArgumentInfo)


def _own(function: Callable[..., object]) -> list[Parameter]:
    """The keyword parameters of a function, with their options."""
    hints = get_type_hints(function, include_extras=True)
    found = signature(function).parameters.values()
    return [each.replace(annotation=hints[each.name]) for each in found if each.kind is Parameter.KEYWORD_ONLY]
