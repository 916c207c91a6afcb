"""A command at work: what was wished, as a context to run steps in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from provision.console import Console
from provision.errors import HomeError, UsageError
from provision.home import Home
from provision.machine import Machine
from provision.manifest import License, Manifest, Model, ModelFile, check_manifest, load_manifest
from provision.receipts import home_lock
from provision.step import Context, Options

if TYPE_CHECKING:
    from provision.rehearsal.world import World

HUB = "https://huggingface.co"
BACKENDS = ("auto", "hf", "wget", "git-lfs", "http")
BACKEND_NAMES = {"huggingface-cli": "hf", **{name: name for name in BACKENDS}}
PRECISIONS = ("fp16", "fp32")
TOOL_LOG = "provision.log"


@dataclass(frozen=True, slots=True)
class Wish:
    """What the command line asks for, not yet looked at."""

    home: Path | None = None
    manifest: str = "sdxl-turbo"
    overrides: list[str] = field(default_factory=list)
    backend: str = "auto"
    precision: str = "fp16"
    yes: bool = False
    deep: bool = False
    rehearse: bool = False
    repo: str | None = None
    """`download OWNER/NAME`: a repository in the place of the manifest's models."""
    repo_file: str | None = None
    to: Path | None = None
    """`download --to`: the folder for the file, outside of any home."""


@dataclass(frozen=True, slots=True)
class Session:
    """A command, its console, its context and, in a rehearsal, the embedded world."""

    command: str
    console: Console
    ctx: Context
    world: World | None = None

    @property
    def log(self) -> Path:
        """The tool's own log."""
        return tool_log(self.ctx.home)


def tool_log(home: Home) -> Path:
    """The tool's own log in a home."""
    return home.logs / TOOL_LOG


def choose_home(wish: Wish, environ: Mapping[str, str]) -> Home:
    """The home: `--home`, PROVISION_HOME, else `~/provision`; a rehearsal has its own unless told otherwise."""
    if wish.to is not None and wish.home is None:  # on the disk of the file itself, so that a rename can place it
        return Home(wish.to.expanduser().absolute() / ".provision")
    given = wish.home or (Path(environ["PROVISION_HOME"]) if environ.get("PROVISION_HOME") else None)
    if given is None:
        given = Path("~/provision-rehearsal" if wish.rehearse else "~/provision")
    try:
        return Home(given.expanduser().absolute())
    except RuntimeError as error:
        raise HomeError(
            f"The home {given} is in the folder of a person who is not known here.",
            hint="provision all --home ~/provision",
        ) from error


@contextmanager
def open_session(command: str, wish: Wish, console: Console, machine: Machine) -> Iterator[Session]:
    """Everything that a command needs, closed again at its end.

    Raises UsageError, ManifestError and HomeError before anything is written.
    """
    options = choose_options(wish, machine.environ)
    home = choose_home(wish, machine.environ)
    home.check_usable()
    load_manifest(wish.manifest, wish.overrides)
    with ExitStack() as stack:
        world, overrides = _enter_world(stack, command, wish, home, machine)
        if world is not None:
            machine = Machine({k: v for k, v in machine.environ.items() if k not in ("HF_TOKEN", "HF_ENDPOINT")})
            options = replace(options, endpoint=world.endpoint, rehearsal=True)
        elif overrides:
            options = replace(options, rehearsal=True)
        if home.root.is_dir() and command not in ("plan", "check", "status", "logs", "uninstall"):
            home.prepare()
            console.keep_log(tool_log(home))
            machine.children_folder = home.children
        manifest = load_manifest(wish.manifest, overrides + wish.overrides)
        ctx = Context(machine, manifest, home, options, console.emit, console.consent)
        if wish.repo is not None:
            ctx = replace(ctx, manifest=repo_manifest(ctx, wish))
        yield Session(command, console, ctx, world)


def repo_manifest(ctx: Context, wish: Wish) -> Manifest:
    """The manifest with one file of another repository as its only model.

    Without a file, the one whose name says the precision. Raises HubRefused, NetworkError, UsageError, ManifestError.
    """
    from provision.backends.listing import checkpoint_of, list_files

    assert wish.repo is not None
    path = wish.repo_file or checkpoint_of(wish.repo, list_files(ctx, wish.repo), wish.precision)
    model = Model(wish.repo, "checkpoints", (ModelFile(path, wish.precision),))
    terms = License("", f"{ctx.options.endpoint}/{wish.repo}")
    chosen = replace(ctx.manifest, title=wish.repo, models=(model,), license=terms)
    check_manifest(chosen)
    return chosen


def choose_options(wish: Wish, environ: Mapping[str, str]) -> Options:
    """Options that hold together. Raises UsageError."""
    if wish.backend not in BACKEND_NAMES:
        raise UsageError(f"There is no backend {wish.backend!r}.", hint=f"--backend {'|'.join(BACKENDS)}")
    if wish.precision not in PRECISIONS:
        raise UsageError(f"There is no precision {wish.precision!r}.", hint=f"--precision {'|'.join(PRECISIONS)}")
    endpoint = environ.get("HF_ENDPOINT", "").strip() or HUB
    if "://" not in endpoint:
        endpoint = f"https://{endpoint}"
    if not endpoint.startswith(("https://", "http://")):
        raise UsageError(f"HF_ENDPOINT is {endpoint!r}, which is no http address.", hint="unset HF_ENDPOINT")
    return Options(BACKEND_NAMES[wish.backend], wish.precision, wish.deep, wish.yes, False, endpoint.rstrip("/"))


def _enter_world(
    stack: ExitStack, command: str, wish: Wish, home: Home, machine: Machine
) -> tuple[World | None, list[str]]:
    from provision.rehearsal.recorded import recorded_overrides

    recorded = recorded_overrides(home)
    if not wish.rehearse:
        if recorded is not None and command in ("all", "plan", "download"):
            raise UsageError(
                f"{home.root} is the home of a rehearsal; nothing real belongs there.",
                hint=f"provision {command} --home ~/provision   # or add --rehearse",
            )
        return None, recorded or []
    if recorded is None and (home.state / "receipts").is_dir() and any((home.state / "receipts").iterdir()):
        raise UsageError(
            f"{home.root} is a real home; a rehearsal must not touch it.",
            hint="provision all --rehearse --home DIR",
        )
    from provision.rehearsal.world import rehearsal

    home.prepare()
    world = stack.enter_context(rehearsal(home, machine))
    return world, world.overrides


@contextmanager
def hold_home(at: Session) -> Iterator[None]:
    """The home, made if need be, for this command alone; what a killed run left running is ended first.

    Raises HomeError, DiskFull and HomeLocked.
    """
    home, machine = at.ctx.home, at.ctx.machine
    home.prepare()
    at.console.keep_log(at.log)
    machine.children_folder = home.children
    with home_lock(home.state / "lock", command=at.command):
        for argv in machine.end_leftovers(home.children):
            at.ctx.note(
                f"An interrupted run had left {Path(argv[0]).name if argv else 'a program'} at work; it was ended."
            )
        yield
