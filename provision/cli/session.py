"""A command at work: what was wished, as a context to run steps in."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from provision.cli.chosen import KEEP, Chosen, Decided, check_held, filled, keep, keeping, layers_of
from provision.cli.sweep import sweep_home
from provision.comfyui.adoption import Asked, as_path, home_for, may_be_run, overrides_for, remember
from provision.core.choices import DEFAULT_MANIFEST, of_manifest
from provision.core.home import Home
from provision.core.lockfile import Lock, load_lock, manifest_overrides
from provision.core.manifest import License, Manifest, Model, ModelFile, check_manifest, load_manifest, manifest_names
from provision.core.ownership import check_claim, is_home
from provision.core.receipts import home_lock
from provision.core.step import Context, Options
from provision.environment.generations import recover
from provision.errors import ConsentNeeded, DiskFull, HomeError, HomeLocked, LockError, UsageError
from provision.output.console import Console
from provision.output.hints import REHEARSAL_HOME
from provision.system.machine import Machine

if TYPE_CHECKING:
    from provision.rehearsal.world import World

HUB = "https://huggingface.co"
BACKENDS = ("auto", "hf", "wget", "git-lfs", "http")
BACKEND_NAMES = {"huggingface-cli": "hf", **{name: name for name in BACKENDS}}
PRECISIONS = ("fp16", "bf16", "fp32")
CONNECTIONS_MAX = 32
RATE_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9}
REHEARSED = "sdxl-turbo"
"""The manifest whose repository the embedded world has, and that which is taken where none is named."""
RUNS_PYTHON = ("all", "plan", "doctor", "launch", "generate", "bench")
"""The commands that ask whether an adopted install's Python may be run; the others then do without."""
TOOL_LOG = "provision.log"
LOOKS = ("check", "config", "inspect", "status", "logs", "report", "stop", "uninstall")
"""The commands that make no home of a folder, and need to write nothing in one."""


@dataclass(frozen=True, slots=True)
class Moving:
    """How the model's bytes may come, as it was typed."""

    endpoints: Sequence[str] = ()
    limit_rate: str | None = None
    connections: int | None = None
    look_in: Sequence[Path] = ()
    copy: bool | None = None
    share_cache: bool | None = None


@dataclass(frozen=True, slots=True)
class Wish:
    """What the command line asks for, not yet looked at; None is what was not said."""

    home: Path | None = None
    manifest: str | None = None
    overrides: list[str] = field(default_factory=list)
    comfyui: str | None = None
    """`--comfyui`: a git revision, or the folder of a ComfyUI that is to be adopted."""
    python: str | None = None
    """`--python`: the Python of an adopted ComfyUI, or `own`."""
    backend: str | None = None
    precision: str | None = None
    yes: bool = False
    deep: bool = False
    rehearse: bool = False
    repo: str | None = None
    """`download OWNER/NAME`: a repository in the place of the manifest's models."""
    repo_file: str | None = None
    to: Path | None = None
    """`download --to`: the folder for the file, outside of any home."""
    inspect: bool = False
    """`download --inspect`: look at the file or the repository, and move nothing."""
    locked: Path | None = None
    """`--locked`: the lock to rebuild from."""
    reset: bool = False
    """`all --reset`: what the home remembers is forgotten."""
    passing: bool = False
    """Nothing of it is remembered."""
    moving: Moving = Moving()


@dataclass(frozen=True, slots=True)
class Session:
    """A command, its console, its context and, in a rehearsal, the embedded world."""

    command: str
    console: Console
    ctx: Context
    world: World | None = None
    chosen: Chosen | None = None

    @property
    def log(self) -> Path:
        """The tool's own log."""
        return tool_log(self.ctx.home)


def tool_log(home: Home) -> Path:
    """The tool's own log in a home."""
    return home.logs / TOOL_LOG


def choose_home(command: str, wish: Wish, machine: Machine) -> Home:
    """The home, and the install that it goes by. Raises HomeError, UsageError; nothing is written."""
    usual = usual_home(wish, machine.environ)
    usual.check_usable()
    named = wish.home or (Path(given) if (given := machine.environ.get("PROVISION_HOME")) else None)
    return home_for(usual.root, Asked(command, wish.comfyui, wish.python, named), machine)


def usual_home(wish: Wish, environ: Mapping[str, str]) -> Home:
    """The home: `--home`, PROVISION_HOME, else `~/provision`; a rehearsal has its own unless told otherwise."""
    if wish.to is not None and wish.home is None:  # on the disk of the file itself, so that a rename can place it
        return Home(wish.to.expanduser().absolute() / ".provision")
    given = wish.home or (Path(environ["PROVISION_HOME"]) if environ.get("PROVISION_HOME") else None)
    if given is None:
        given = Path(REHEARSAL_HOME if wish.rehearse else "~/provision")
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
    lock = load_lock(wish.locked) if wish.locked is not None else None
    typed = wish
    wish, decided = locked_wish(wish, lock) if lock is not None else (wish, [])
    home = choose_home(command, wish, machine)
    home.check_usable()
    if wish.to is None and command not in LOOKS:
        check_claim(home.root, machine.environ)
    held = check_held(command, home, wish, machine.environ)
    asked, wish = wish, filled(wish, held, machine.environ)
    name = wish.manifest or DEFAULT_MANIFEST
    options = choose_options(wish, machine.environ)
    flags = [*(_revision(wish) if command != "doctor" else []), *wish.overrides]
    given = [*of_manifest(held), *decided, *flags]
    load_manifest(name, given)
    with ExitStack() as stack:
        world, overrides = _enter_world(stack, command, wish, home, machine)
        if world is not None:
            machine = Machine({k: v for k, v in machine.environ.items() if k not in ("HF_TOKEN", "HF_ENDPOINT")})
            options = replace(options, endpoint=world.endpoint, rehearsal=True)
        elif overrides:
            options = replace(options, rehearsal=True)
        console.invocation = replace(console.invocation, rehearsal=options.rehearsal)
        if command not in (*LOOKS, "plan") and home.root.is_dir() and is_home(home.root):
            _keep_log(command, home, console, machine)
        by = Decided(overrides, overrides_for(home, given, machine), of_manifest(held), decided, flags)
        manifest = load_manifest(name, by.all())
        options = replace(options, locked=lock)
        if not _may_run(command, wish, home, console):
            options = replace(options, may_run=False, deep=False)
        if wish.precision is None and wish.repo is None:
            options = replace(options, precision=manifest.usual_precision)
        ctx = Context(machine, manifest, home, options, console.emit, console.consent)
        if wish.repo is not None and not wish.inspect:
            ctx = replace(ctx, manifest=repo_manifest(ctx, wish))
        kept = keeping(command, home, asked, by, manifest, name) if command in KEEP and not wish.passing else None
        chosen = Chosen(name, layers_of(typed, asked, by, held, machine.environ), kept)
        yield Session(command, console, ctx, world, chosen)


def _may_run(command: str, wish: Wish, home: Home, console: Console) -> bool:
    """Whether the Python of an adopted install may be run: it could do anything that the person can.

    The person says so with --yes, by naming it with --python, or when asked; the home remembers it.
    """
    if home.venv_of_another is None or wish.yes or wish.python is not None or may_be_run(home):
        return True
    if command not in RUNS_PYTHON:
        return False
    with suppress(ConsentNeeded):
        return console.consent(f"{home.python} was not installed by provision. Run it?")
    return False


def _keep_log(command: str, home: Home, console: Console, machine: Machine) -> None:
    """Have the log and the notes on children in the home; on a full disk doctor does without, which is to say so.

    Raises HomeError, DiskFull.
    """
    try:
        home.prepare()
    except DiskFull:
        if command != "doctor":
            raise
        return
    console.keep_log(tool_log(home))
    machine.children_folder = home.children


def _revision(wish: Wish) -> list[str]:
    """`--comfyui REF` is a manifest key like any other; `--set` wins."""
    return [] if wish.comfyui is None or as_path(wish.comfyui) is not None else [f"comfyui.ref={wish.comfyui}"]


def locked_wish(wish: Wish, lock: Lock) -> tuple[Wish, list[str]]:
    """The wish with the lock's manifest and precision, and the keys that it decides; what was typed wins.

    Raises LockError, ManifestError.
    """
    name = wish.manifest or (lock.manifest if lock.manifest in manifest_names() else DEFAULT_MANIFEST)
    manifest = load_manifest(name)
    if manifest.name != lock.manifest:
        raise LockError(
            f"The lock was made from the manifest {lock.manifest!r}, and {manifest.name!r} is given.",
            hint="provision all --locked FILE --manifest MANIFEST",
        )
    precision = wish.precision or next((model.precision for model in lock.models), None)
    decided = manifest_overrides(lock, manifest)
    if wish.rehearse:  # its ComfyUI comes from the embedded world
        decided = [word for word in decided if not word.startswith("comfyui.url=")]
    return replace(wish, manifest=name, precision=precision), decided


def repo_manifest(ctx: Context, wish: Wish) -> Manifest:
    """The manifest with one file of another repository as its only model.

    Without a file, the one whose name or header says the precision.
    Raises HubRefused, NetworkError, UsageError, ManifestError.
    """
    from provision.download.hub.listing import find_checkpoint

    assert wish.repo is not None
    precision = ctx.options.precision
    path = wish.repo_file or find_checkpoint(ctx, wish.repo, precision)
    model = Model(wish.repo, "checkpoints", (ModelFile(path, precision),))
    terms = License("", f"{ctx.options.endpoint}/{wish.repo}")
    chosen = replace(ctx.manifest, title=wish.repo, models=(model,), license=terms)
    check_manifest(chosen)
    return chosen


def choose_options(wish: Wish, environ: Mapping[str, str]) -> Options:
    """Options that hold together. Raises UsageError."""
    backend = wish.backend or "auto"
    if backend not in BACKEND_NAMES:
        raise UsageError(f"There is no backend {backend!r}.", hint=f"--backend {'|'.join(BACKENDS)}")
    if wish.precision not in (None, *PRECISIONS):
        raise UsageError(f"There is no precision {wish.precision!r}.", hint=f"--precision {'|'.join(PRECISIONS)}")
    moving = wish.moving
    endpoint = environ.get("HF_ENDPOINT", "").strip() or HUB
    if wish.rehearse and wish.manifest in manifest_names() and wish.manifest != REHEARSED:
        raise UsageError(
            f"The rehearsal has the model of {REHEARSED} alone, not that of {wish.manifest}.",
            hint="provision all --rehearse",
        )
    if wish.rehearse and moving.endpoints:
        raise UsageError("A rehearsal has a hub of its own.", hint="Leave out --endpoint, or --rehearse.")
    if moving.connections is not None and not 1 <= moving.connections <= CONNECTIONS_MAX:
        raise UsageError(
            f"--connections {moving.connections} is not between 1 and {CONNECTIONS_MAX}.", hint="--connections 4"
        )
    return Options(
        backend=BACKEND_NAMES[backend],
        precision=wish.precision or "fp16",
        deep=wish.deep,
        yes=wish.yes,
        endpoint=_address("HF_ENDPOINT", endpoint, "unset HF_ENDPOINT"),
        endpoints=tuple(dict.fromkeys(_address("--endpoint", each, f"--endpoint {HUB}") for each in moving.endpoints)),
        limit_rate=parse_rate(moving.limit_rate) if moving.limit_rate is not None else 0,
        connections=moving.connections or 0,
        look_in=tuple(moving.look_in),
        copy=bool(moving.copy),
        share_cache=bool(moving.share_cache),
    )


def _address(name: str, text: str, hint: str) -> str:
    address = text.strip()
    if "://" not in address:
        address = f"https://{address}"
    if not re.fullmatch(r"https?://[^\s/?#]+(/[^\s?#]*)?", address):
        raise UsageError(f"{name} is {text!r}, which is no http address.", hint=hint)
    return address.rstrip("/")


def parse_rate(text: str) -> int:
    """Bytes a second: `5M`, `500k`, `1.5 MB/s` or a plain number; units are decimal. Raises UsageError."""
    found = re.fullmatch(r"(\d{1,9}(?:\.\d{1,9})?)\s*([kmg]?)(?:b?/s|b)?", text.strip().lower())
    rate = int(float(found[1]) * RATE_UNITS[found[2]]) if found else 0
    if rate < 1000:
        raise UsageError(f"--limit-rate {text!r} is no rate of at least 1k (bytes a second).", hint="--limit-rate 5M")
    return rate


def _enter_world(
    stack: ExitStack, command: str, wish: Wish, home: Home, machine: Machine
) -> tuple[World | None, list[str]]:
    from provision.rehearsal.home_marker import is_miniature, is_rehearsal, recorded_overrides

    code = home.code_of_another
    if wish.rehearse and home.adopted is not None and (code is None or not is_miniature(code)):
        raise UsageError(
            f"The ComfyUI in {home.base} is a real one; a rehearsal must not touch it.",
            hint=f"provision plan --comfyui {home.base}",
        )
    rehearsed = is_rehearsal(home)
    if not wish.rehearse:
        if rehearsed and command in ("all", "plan", "download"):
            raise UsageError(
                f"{home.root} is the home of a rehearsal; nothing real belongs there.",
                hint=f"provision {command} --home ~/provision   # or add --rehearse",
            )
        if rehearsed and command == "doctor":
            return _world_of_doctor(stack, home, machine)
        return None, recorded_overrides(home)
    if not rehearsed and (home.state / "receipts").is_dir() and any((home.state / "receipts").iterdir()):
        raise UsageError(
            f"{home.root} is a real home; a rehearsal must not touch it.",
            hint="provision all --rehearse --home DIR",
        )
    from provision.rehearsal.world import rehearsal

    home.prepare()
    world = stack.enter_context(rehearsal(home, machine, command))
    return world, world.overrides


def _world_of_doctor(stack: ExitStack, home: Home, machine: Machine) -> tuple[World | None, list[str]]:
    """The world of a rehearsal's home: the doctor brings it up again by itself, for what is mended comes from it.

    It looks without where another command serves it now, or where it cannot be written.
    """
    from provision.rehearsal.home_marker import recorded_overrides
    from provision.rehearsal.world import rehearsal

    try:
        world = stack.enter_context(rehearsal(home, machine, "doctor"))
    except (HomeLocked, HomeError, DiskFull):
        return None, recorded_overrides(home)
    return world, world.overrides


@contextmanager
def hold_home(at: Session, *, removing: bool = False) -> Iterator[None]:
    """The home, made and marked if need be, for this command alone; what a killed run left running is ended first.

    `removing` writes nothing that it can do without: a full disk must not keep a home from being removed.
    Raises HomeError, DiskFull and HomeLocked.
    """
    home, machine = at.ctx.home, at.ctx.machine
    machine.children_folder = None if removing else home.children
    if not removing:
        home.prepare()
        at.console.keep_log(at.log)
    with home_lock(home.state / "lock", command=at.command, optional=removing):
        if not removing:
            remember(home, machine.timestamp(), may_run=at.ctx.options.may_run)
            recover(home)
            if at.chosen is not None and at.chosen.keeping is not None:
                keep(at.ctx, at.chosen.keeping)
        for argv in machine.end_leftovers(home.children):
            at.ctx.note(
                f"An interrupted run had left {Path(argv[0]).name if argv else 'a program'} at work; it was ended."
            )
        if not removing:
            sweep_home(at.ctx)
        yield
