"""The command line: parse, and hand on. With `options`, `exits` and `manifests_cli` the only place that knows typer."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from provision import __version__
from provision.cli.exit_codes import End, exit_codes, finish, refuse, session, tell
from provision.cli.manifests import manifests_app
from provision.cli.options import (
    BackendOption,
    ComfyOption,
    ConnectionsOption,
    CopyOption,
    EndpointOption,
    ForOption,
    HomeOption,
    InstallOption,
    JsonOption,
    LockedOption,
    LookInOption,
    ManifestOption,
    PlainOption,
    PrecisionOption,
    PythonOption,
    RateOption,
    RehearseOption,
    RequirementsOption,
    SetOption,
    ShareOption,
    TorchOption,
    VerboseOption,
    YesOption,
    offer,
    offer_findings,
    offer_manifests,
)
from provision.errors import EXIT_OK, EXIT_UNSATISFIED, ProvisionError, UsageError
from provision.output.safe_streams import guard

app = typer.Typer(
    name="provision", no_args_is_help=True, add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False,
    help="A Mac, from nothing to its first SDXL-Turbo image in ComfyUI.",
    context_settings={"help_option_names": ["-h", "--help"]},
)  # fmt: skip
app.add_typer(manifests_app, name="manifests", invoke_without_command=True)

COMPLETE = "_PROVISION_COMPLETE"
"""How a shell asks for completions: the variable that its script sets."""


@app.command(name="all")
def all_(
    home: HomeOption = None, manifest: ManifestOption = None, set_: SetOption = None,
    json: JsonOption = False, yes: YesOption = False, verbose: VerboseOption = False, plain: PlainOption = False,
    backend: BackendOption = None, precision: PrecisionOption = None, torch: TorchOption = None,
    comfyui: ComfyOption = None, python: PythonOption = None, rehearse: RehearseOption = False,
    endpoint: EndpointOption = None, limit_rate: RateOption = None, connections: ConnectionsOption = None,
    look_in: LookInOption = None, copy: CopyOption = None, share_cache: ShareOption = None,
    locked: LockedOption = None,
    reset: Annotated[bool, typer.Option("--reset", help="Forget what the home remembers of flags.")] = False,
    stop: Annotated[bool, typer.Option("--stop", help="Stop the server when done.")] = False,
    open_: Annotated[bool, typer.Option("--open", help="Open ComfyUI's page when done.")] = False,
) -> None:  # fmt: skip
    """From whatever is here to a validated first image; run again, repair or say that nothing is left."""
    from provision.cli.commands import commands
    from provision.cli.session import Moving, Wish

    moving = Moving(endpoint or (), limit_rate, connections, look_in or (), copy, share_cache)
    wish = Wish(
        home, manifest, wishes(set_, torch), comfyui, python, backend, precision, yes=yes, rehearse=rehearse,
        moving=moving, locked=locked, reset=reset,
    )  # fmt: skip
    with session("all", wish, json=json, verbose=verbose, plain=plain) as at:
        finish(commands.provision_all(at, stop=stop, open_page=open_))


@app.command()
def plan(
    home: HomeOption = None, manifest: ManifestOption = None, set_: SetOption = None,
    json: JsonOption = False, yes: YesOption = False, verbose: VerboseOption = False, plain: PlainOption = False,
    backend: BackendOption = None, precision: PrecisionOption = None, torch: TorchOption = None,
    comfyui: ComfyOption = None, python: PythonOption = None, rehearse: RehearseOption = False,
    endpoint: EndpointOption = None, limit_rate: RateOption = None, connections: ConnectionsOption = None,
    look_in: LookInOption = None, copy: CopyOption = None, share_cache: ShareOption = None,
    for_: ForOption = None, requirements: RequirementsOption = None, locked: LockedOption = None,
    commands_: Annotated[
        bool, typer.Option("--commands", help="Print it as a shell script that a person can run.")
    ] = False,
) -> None:  # fmt: skip
    """What `all` would do, with bytes over the network and on the disk; changes nothing."""
    from provision.cli.commands import commands
    from provision.cli.session import Moving, Wish

    moving = Moving(endpoint or (), limit_rate, connections, look_in or (), copy, share_cache)
    wish = Wish(
        home, manifest, wishes(set_, torch), comfyui, python, backend, precision, yes=yes, rehearse=rehearse,
        moving=moving, locked=locked,
    )  # fmt: skip
    with session("plan", wish, json=json, verbose=verbose, plain=plain) as at:
        finish(commands.plan(at, for_, requirements, commands=commands_))


@app.command()
def check(
    home: HomeOption = None, manifest: ManifestOption = None, set_: SetOption = None,
    json: JsonOption = False, yes: YesOption = False, verbose: VerboseOption = False, plain: PlainOption = False,
) -> None:  # fmt: skip
    """Is this machine good enough? Chip, system, memory, disk."""
    from provision.cli.commands import commands
    from provision.cli.session import Wish

    with session("check", Wish(home, manifest, set_ or [], yes=yes), json=json, verbose=verbose, plain=plain) as at:
        finish(commands.check(at))


@app.command()
def download(
    what: Annotated[
        str | None, typer.Argument(
            metavar="MANIFEST | REPO[/FILE]", help="A manifest, or a repository on the hub.",
            autocompletion=offer_manifests,
        )
    ] = None,
    home: HomeOption = None, manifest: ManifestOption = None, set_: SetOption = None,
    json: JsonOption = False, yes: YesOption = False, verbose: VerboseOption = False, plain: PlainOption = False,
    backend: BackendOption = None,
    precision: PrecisionOption = None, rehearse: RehearseOption = False,
    endpoint: EndpointOption = None, limit_rate: RateOption = None, connections: ConnectionsOption = None,
    look_in: LookInOption = None, copy: CopyOption = None, share_cache: ShareOption = None,
    to: Annotated[Path | None, typer.Option("--to", metavar="DIR", help="Put the file here, not into ComfyUI.")] = None,
    inspect: Annotated[bool, typer.Option("--inspect", help="Show what it is by its header; move nothing.")] = False,
) -> None:  # fmt: skip
    """The model alone, verified before it appears under its name."""
    from provision.cli.commands import commands
    from provision.cli.session import Moving, Wish

    moving = Moving(endpoint or (), limit_rate, connections, look_in or (), copy, share_cache)
    wish = Wish(
        home, manifest, set_ or [], backend=backend, precision=precision, yes=yes, rehearse=rehearse, to=to,
        moving=moving, passing=what is not None or to is not None,
    )  # fmt: skip
    wish = commands.wish_for_download(replace(wish, inspect=inspect), what)
    if inspect:
        from provision.cli.commands import inspect as inspection

        with session("inspect", wish, json=json, verbose=verbose, plain=plain) as at:
            finish(inspection.inspect(at, wish.repo, wish.repo_file))
    with session("download", wish, json=json, verbose=verbose, plain=plain) as at:
        finish(commands.download(at, to))


@app.command()
def doctor(
    logfile: Annotated[
        Path | None, typer.Argument(metavar="LOGFILE", help="Say what this log means, ComfyUI's or ours.")
    ] = None,
    home: HomeOption = None, manifest: ManifestOption = None, set_: SetOption = None,
    json: JsonOption = False, yes: YesOption = False, verbose: VerboseOption = False, plain: PlainOption = False,
    backend: BackendOption = None, precision: PrecisionOption = None,
    comfyui: InstallOption = None, python: PythonOption = None,
    fix: Annotated[bool, typer.Option("--fix", help="Mend what can be mended, said beforehand.")] = False,
    deep: Annotated[bool, typer.Option("--deep", help="Prove it all again: hash, torch, imports, image.")] = False,
    only: Annotated[list[str] | None, typer.Option("--only", metavar="ID", help="This finding alone.",
                                            autocompletion=offer_findings)] = None,
    list_: Annotated[bool, typer.Option("--list", help="What is checked.")] = False,
    report: Annotated[
        Path | None, typer.Option("--report", metavar="FILE", help="Write a report for an issue, without secrets.")
    ] = None,
) -> None:  # fmt: skip
    """Check everything; `--fix` mends what can be mended; with LOGFILE say what a log means."""
    from provision.cli.commands import doctor as checkup
    from provision.cli.session import Wish

    wish = Wish(home, manifest, set_ or [], comfyui, python, backend, precision, yes=yes, deep=deep)
    with session("doctor", wish, json=json, verbose=verbose, plain=plain) as at:
        if list_:
            finish(checkup.list_checks(at))
        if logfile is not None:
            finish(checkup.explain_log(at, logfile))
        finish(checkup.doctor(at, fix=fix, only=only or [], report_file=report))


@app.command()
def launch(
    home: HomeOption = None, manifest: ManifestOption = None, set_: SetOption = None,
    json: JsonOption = False, yes: YesOption = False, verbose: VerboseOption = False, plain: PlainOption = False,
    open_: Annotated[bool, typer.Option("--open", help="Open ComfyUI's page.")] = False,
) -> None:  # fmt: skip
    """Start ComfyUI, detached, and wait until it answers."""
    from provision.cli.commands import serve as serving
    from provision.cli.session import Wish

    with session("launch", Wish(home, manifest, set_ or [], yes=yes), json=json, verbose=verbose, plain=plain) as at:
        finish(serving.launch(at, open_page=open_))


@app.command()
def stop(
    home: HomeOption = None, manifest: ManifestOption = None, set_: SetOption = None,
    json: JsonOption = False, verbose: VerboseOption = False, plain: PlainOption = False,
) -> None:  # fmt: skip
    """Stop the ComfyUI that was started from this home."""
    from provision.cli.commands import serve as serving
    from provision.cli.session import Wish

    with session("stop", Wish(home, manifest, set_ or []), json=json, verbose=verbose, plain=plain) as at:
        finish(serving.stop(at))


@app.command()
def status(
    home: HomeOption = None, manifest: ManifestOption = None, set_: SetOption = None,
    json: JsonOption = False, verbose: VerboseOption = False, plain: PlainOption = False,
) -> None:  # fmt: skip
    """What is installed and what runs, at a glance."""
    from provision.cli.commands.status import status as show_status
    from provision.cli.session import Wish

    with session("status", Wish(home, manifest, set_ or []), json=json, verbose=verbose, plain=plain) as at:
        finish(show_status(at))


@app.command()
def rollback(
    home: HomeOption = None, manifest: ManifestOption = None, set_: SetOption = None,
    json: JsonOption = False, verbose: VerboseOption = False,
) -> None:  # fmt: skip
    """Return to the torch and packages from before the last change of torch."""
    from provision.cli.commands.rollback import rollback as go_back
    from provision.cli.session import Wish

    with session("rollback", Wish(home, manifest, set_ or []), json=json, verbose=verbose) as at:
        finish(go_back(at))


@app.command()
def logs(
    home: HomeOption = None, manifest: ManifestOption = None, set_: SetOption = None,
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Go on as it grows.")] = False,
    lines: Annotated[int, typer.Option("-n", "--lines", help="How many of the last lines.")] = 60,
    tool: Annotated[bool, typer.Option("--tool", help="The tool's own log, not ComfyUI's.")] = False,
) -> None:  # fmt: skip
    """What ComfyUI said last."""
    from provision.cli.commands import serve as serving
    from provision.cli.session import Wish

    with session("logs", Wish(home, manifest, set_ or []), json=False, verbose=False) as at:
        finish(serving.logs(at, follow=follow, lines=lines, tool=tool))


@app.command()
def generate(
    prompt: Annotated[str, typer.Argument(help="What to paint; - reads a prompt a line from standard input.")],
    home: HomeOption = None, manifest: ManifestOption = None, set_: SetOption = None,
    json: JsonOption = False, yes: YesOption = False, verbose: VerboseOption = False, plain: PlainOption = False,
    precision: PrecisionOption = None,
    output: Annotated[Path | None, typer.Option("-o", "--output", metavar="FILE", help="Where the PNG goes.")] = None,
    steps: Annotated[int | None, typer.Option("--steps", min=1, max=100, help="1 to 4 for SDXL-Turbo.")] = None,
    seed: Annotated[int | None, typer.Option("--seed", min=0, max=2**63)] = None,
    size: Annotated[str | None, typer.Option("--size", metavar="N|WxH", help="Pixels, multiples of 8.")] = None,
    count: Annotated[int, typer.Option("--count", min=1, max=1000, help="How many pictures of each prompt.")] = 1,
    open_: Annotated[bool, typer.Option("--open", help="Open each picture in the system's viewer too.")] = False,
) -> None:  # fmt: skip
    """Paint pictures with the running server; it is started when it is down."""
    from provision.cli.commands import generate as generating
    from provision.cli.session import Wish

    wish = Wish(home, manifest, generating.image_wishes(set_ or [], steps, size), precision=precision, yes=yes)
    with session("generate", wish, json=json, verbose=verbose, plain=plain) as at:
        finish(generating.generate(at, generating.Wanted(prompt, output, seed, count, open_)))


@app.command()
def bench(
    home: HomeOption = None, manifest: ManifestOption = None, set_: SetOption = None,
    json: JsonOption = False, yes: YesOption = False, verbose: VerboseOption = False, plain: PlainOption = False,
    count: Annotated[int, typer.Option("--count", min=1, max=50, help="How many warm images of each kind.")] = 3,
    size: Annotated[list[int] | None, typer.Option("--size", min=64, max=2048, help="This size alone: 512.")] = None,
    steps: Annotated[list[int] | None, typer.Option("--steps", min=1, max=100, help="So many steps alone.")] = None,
) -> None:  # fmt: skip
    """Cold, first and warm seconds an image at 512 and 768 for 1 to 4 steps, beside published figures."""
    from provision.cli.commands import bench as benching
    from provision.cli.session import Wish

    kinds = benching.Measured(count, tuple(size or benching.SIZES), tuple(steps or benching.STEPS))
    with session("bench", Wish(home, manifest, set_ or [], yes=yes), json=json, verbose=verbose, plain=plain) as at:
        finish(benching.bench(at, kinds))


@app.command()
def report(
    home: HomeOption = None, manifest: ManifestOption = None, set_: SetOption = None,
    json: JsonOption = False, verbose: VerboseOption = False, plain: PlainOption = False,
    output: Annotated[Path | None, typer.Option("-o", "--output", metavar="FILE", help="Where the page goes.")] = None,
) -> None:  # fmt: skip
    """The last run as one page: picture, what is installed from where, a timeline, seconds, findings."""
    from provision.cli.commands import report as run_report
    from provision.cli.session import Wish

    with session("report", Wish(home, manifest, set_ or []), json=json, verbose=verbose, plain=plain) as at:
        finish(run_report.report(at, output))


@app.command()
def config(
    home: HomeOption = None, manifest: ManifestOption = None, set_: SetOption = None,
    json: JsonOption = False, verbose: VerboseOption = False, plain: PlainOption = False,
    backend: BackendOption = None, precision: PrecisionOption = None, torch: TorchOption = None,
    comfyui: ComfyOption = None, python: PythonOption = None, locked: LockedOption = None,
    endpoint: EndpointOption = None, limit_rate: RateOption = None, connections: ConnectionsOption = None,
    look_in: LookInOption = None, copy: CopyOption = None, share_cache: ShareOption = None,
) -> None:  # fmt: skip
    """By which values every command goes, and where each is from: flag, environment, lock, home, manifest."""
    from provision.cli.commands.config import config as show_config
    from provision.cli.session import Moving, Wish

    moving = Moving(endpoint or (), limit_rate, connections, look_in or (), copy, share_cache)
    wish = Wish(
        home, manifest, wishes(set_, torch), comfyui, python, backend, precision, moving=moving, locked=locked
    )  # fmt: skip
    with session("config", wish, json=json, verbose=verbose, plain=plain) as at:
        finish(show_config(at))


@app.command()
def uninstall(
    home: HomeOption = None,
    json: JsonOption = False,
    yes: YesOption = False,
    verbose: VerboseOption = False,
    plain: PlainOption = False,
) -> None:
    """Remove what provision made, after a yes; what you added is kept, and said where."""
    from provision.cli.commands.uninstall import uninstalling
    from provision.cli.session import Wish

    with session("uninstall", Wish(home, yes=yes), json=json, verbose=verbose, plain=plain) as at:
        finish(uninstalling.uninstall(at))


@app.command()
def completion(
    shell: Annotated[
        str, typer.Argument(metavar="bash|zsh|fish", help="Whose.", autocompletion=offer("bash", "zsh", "fish"))
    ],
) -> None:
    """Print what makes a shell complete commands, flags and names; for zsh: >~/.zfunc/_provision"""
    from provision.output.console import Console

    console = Console()
    with exit_codes(console):
        if shell not in ("bash", "zsh", "fish"):
            raise UsageError(f"There is no completion for {shell!r}.", hint="provision completion bash|zsh|fish")
        console.data(
            typer.completion.get_completion_script(  # type: ignore[attr-defined]
                prog_name="provision", complete_var=COMPLETE, shell=shell
            )
        )


def version(value: bool) -> None:
    """Print the version and end."""
    if value:
        typer.echo(f"provision {__version__}")
        raise typer.Exit


@app.callback()
def root(
    _: Annotated[bool, typer.Option("--version", callback=version, is_eager=True, help="Show the version.")] = False,
) -> None:
    """A Mac, from nothing to its first SDXL-Turbo image in ComfyUI."""


def wishes(set_: list[str] | None, torch: str | None) -> list[str]:
    """`--torch` is a manifest key like any other; `--set` wins."""
    return [f"torch.channel={torch}"] * (torch is not None) + (set_ or [])


def command_line() -> object:
    """All commands with their flags, for whoever writes the manual (see `manual`)."""
    return typer.main.get_command(app)


def main() -> None:
    """The entry point: words that cannot be used are told as any other error, with `--json` in an envelope."""
    guard()
    if COMPLETE in os.environ:
        typer.completion.completion_init()  # type: ignore[attr-defined]
    refused: type[Exception] = typer.BadParameter.__mro__[2]  # click's ClickException, wherever typer keeps click
    try:
        sys.exit(app(prog_name="provision", standalone_mode=False) or EXIT_OK)
    except (typer.Abort, KeyboardInterrupt):  # just before a command sees to it, or just after
        End().at_once()
    except OSError as error:  # help that goes to a disk that is full
        tell(ProvisionError(f"The output cannot be written ({error.strerror}).", hint="df -h ."))
        End().leave(EXIT_UNSATISFIED)
    except refused as error:
        sys.exit(refuse(error))
    except ProvisionError as error:  # refused before there was a session
        tell(error)
        sys.exit(error.exit_code)
