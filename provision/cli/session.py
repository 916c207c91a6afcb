"""The session of a command: its home, manifest and context, each made once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from dataclasses import replace
from pathlib import Path

from provision.cli.chosen import go_by_home, in_order, is_kept, keep, keep_from_now, layers_of
from provision.cli.command import Session
from provision.cli.look import taking_long
from provision.cli.options import choose_options
from provision.cli.request import Request
from provision.cli.run_in_progress import kept
from provision.cli.which_home import check_rehearsal, choose_home, enter_world
from provision.comfyui.adoption import may_be_run, overrides_for, remember, words_for
from provision.command import ours
from provision.core.bundle import Bundle
from provision.core.choices import DEFAULT_MANIFEST, Source, of_manifest
from provision.core.home import Home
from provision.core.lockfile import Lock, load_lock, manifest_overrides
from provision.core.manifest import (
    License,
    Manifest,
    Model,
    ModelFile,
    check_manifest,
    load_manifest,
    manifest_names,
)
from provision.core.ownership import check_claim, is_home
from provision.core.patience import patience_of
from provision.core.receipts import home_lock
from provision.core.step import Context, Options
from provision.environment.generations import recover
from provision.errors import ConsentNeeded, DiskFull, HomeError, LockError, UsageError
from provision.output.console import Console
from provision.system.child_notes import end_leftovers
from provision.system.local_machine import LocalMachine
from provision.system.machine import Machine

RUNS_PYTHON = ("all", "plan", "doctor", "launch", "generate", "bench")
"""Commands that ask whether an adopted install's Python may be run; the others do without it."""
LOOKS = ("bundle", "check", "clean", "config", "inspect", "status", "logs", "report", "serve", "stop", "uninstall")
"""Commands that never make a folder a home, and need not write in one."""
ANYWHERE = ("check", "config", "doctor", "plan", "serve", "status", "stop")
"""Commands that have something to say even where the home's disk does not exist."""


@contextmanager
def open_session(request: Request, console: Console, machine: Machine, home: Home | None = None) -> Iterator[Session]:
    """Everything that a command needs, closed at its end; `home` where it was chosen before.

    Raises UsageError, LockError, ManifestError and HomeError before anything is written.
    """
    from provision.rehearsal.home_marker import recorded_overrides

    home = home or choose_home(request, machine)
    lock = load_lock(request.locked) if request.locked is not None else None
    bundle = None
    if request.source is not None:
        bundle, lock = _bundled(
            request, Context(machine, load_manifest(DEFAULT_MANIFEST), home, emit=console.emit), lock
        )
    typed, (request, decided) = request, _locked(request, lock)
    if request.command not in ANYWHERE:
        home.check_there()
    if request.to is None and request.command not in LOOKS:
        check_claim(home.root, machine.environ)
    if request.command not in LOOKS:
        _finish_switch(request, home, machine)
    asked, (request, draft, held) = request, go_by_home(request, home, machine.environ)
    options = _taking_from(bundle, choose_options(request, machine.environ))
    by = {Source.HOME: of_manifest(held), Source.LOCK: decided, Source.FLAG: request.manifest_keys()}
    given = in_order(by)
    with ExitStack() as stack:
        world = None
        if check_rehearsal(request, home):
            draft.manifest(given)  # refuse it before the world is made
            with taking_long(console, "rehearsal", "preparing local stand-ins"):
                world = enter_world(stack, request, home, machine)
        if world is not None:
            machine = LocalMachine({k: v for k, v in machine.environ.items() if k not in ("HF_TOKEN", "HF_ENDPOINT")})
            options = replace(options, endpoint=world.endpoint)
        served = world.overrides if world is not None else recorded_overrides(home)
        place = bundle.place if bundle is not None else ""
        console.invocation = replace(console.invocation, rehearsal=bool(served), install=words_for(home), bundle=place)
        by |= {Source.REHEARSAL: served, Source.ADOPTED: overrides_for(home, given, machine)}
        manifest = draft.manifest(in_order(by))
        if request.command not in (*LOOKS, "plan") and home.root.is_dir() and is_home(home.root):
            _keep_log(request, home, console, machine)
        may_run = _may_run(request, home, console)
        options = replace(
            options,
            locked=lock,
            rehearsal=bool(served),
            may_run=may_run,
            deep=options.deep and may_run,
            precision=request.precision or (manifest.usual_precision if request.repo is None else options.precision),
        )
        patience = patience_of(machine.environ)
        ctx = Context(machine, manifest, home, options, console.emit, console.consent, patience=patience)
        if request.repo is not None and not request.inspect:
            ctx = replace(ctx, manifest=_repo_manifest(ctx, request.repo, request.repo_file))
        keeping = keep_from_now(asked, home, by, draft, manifest) if is_kept(asked) else None
        yield Session(request, console, ctx, world, layers_of(typed, asked, by, held, machine.environ), keeping)


def _taking_from(bundle: Bundle | None, options: Options) -> Options:
    """The options with which everything comes from a bundle: it is an endpoint too where it is on a server."""
    if bundle is None:
        return options
    endpoints = options.endpoints if bundle.folder is not None else (*options.endpoints, bundle.place)
    return replace(options, source=bundle, endpoints=endpoints, backend="http")


def _finish_switch(request: Request, home: Home, machine: Machine) -> None:
    """End what an update or a rollback had begun before it was killed, as the home's settings are part of it.

    Raises HomeLocked, GitError, HomeError, DiskFull.
    """
    if not home.switching.exists():
        return
    from provision.comfyui.switching import finish

    machine.children_folder = home.children
    with home_lock(home.state / "lock", command=request.command):
        recover(home)
        finish(home)


def _bundled(request: Request, ctx: Context, lock: Lock | None) -> tuple[Bundle, Lock]:
    """The bundle of `--from`, and its lock for this machine, or the one that was given.

    Raises BundleError, LockError, ManifestError, NetworkError, HubRefused, UsageError.
    """
    from provision.download.bundle_source import open_bundle
    from provision.rehearsal.home_marker import is_rehearsal
    from provision.steps.lock.bundled import check_bundled, choose_lock

    ctx = replace(ctx, patience=patience_of(ctx.machine.environ))
    bundle = open_bundle(ctx, request.source or "", request.source_sha256 or "")
    if bundle.about.rehearsal != (request.rehearse or is_rehearsal(ctx.home)):
        is_one = "was made by a rehearsal" if bundle.about.rehearsal else "was not made by a rehearsal"
        again = ours(request.command, *(["--rehearse"] if bundle.about.rehearsal else []), "--from", bundle.place)
        raise UsageError(f"The bundle {bundle.place} {is_one}, unlike this install folder.", hint=again)
    if lock is None:
        named = load_manifest(request.manifest).name if request.manifest is not None else None
        return bundle, choose_lock(ctx, bundle, named)
    check_bundled(bundle, lock)
    return bundle, lock


def _locked(request: Request, lock: Lock | None) -> tuple[Request, list[str]]:
    """The request with the lock's manifest and precision, and the lock's keys; what was typed wins.

    Raises LockError, ManifestError.
    """
    if lock is None:
        return request, []
    name = request.manifest or (lock.manifest if lock.manifest in manifest_names() else DEFAULT_MANIFEST)
    manifest = load_manifest(name)
    if manifest.name != lock.manifest:
        raise LockError(
            f"The lock is for the manifest {lock.manifest!r}, not {manifest.name!r}.",
            hint=ours("all", "--locked", "FILE", "--manifest", "MANIFEST"),
        )
    precision = request.precision or next((model.precision for model in lock.models), None)
    decided = manifest_overrides(lock, manifest)
    if request.rehearse:  # its ComfyUI comes from the embedded world
        decided = [word for word in decided if not word.startswith("comfyui.url=")]
    return replace(request, manifest=name, precision=precision), decided


def _repo_manifest(ctx: Context, repo: str, path: str | None) -> Manifest:
    """The manifest with one file of another repository, by default the one of the precision, as its only model.

    Raises HubRefused, NetworkError, UsageError, ManifestError.
    """
    from provision.download.hub.listing import find_checkpoint

    precision = ctx.options.precision
    file = ModelFile(path or find_checkpoint(ctx, repo, precision), precision)
    terms = License("", f"{ctx.options.endpoint}/{repo}")
    chosen = replace(ctx.manifest, title=repo, models=(Model(repo, "checkpoints", (file,)),), license=terms)
    check_manifest(chosen)
    return chosen


def _may_run(request: Request, home: Home, console: Console) -> bool:
    """Whether the Python of an adopted install, which could do anything that the person can, may be run.

    The person agrees with --yes, by naming it with --python, or when asked; the home remembers it.
    """
    if home.venv_of_another is None or request.yes or request.python is not None or may_be_run(home):
        return True
    if request.command not in RUNS_PYTHON:
        return False
    with suppress(ConsentNeeded):
        return console.consent(f"{home.python} was not installed by provision. Run it?")
    return False


def _keep_log(request: Request, home: Home, console: Console, machine: Machine) -> None:
    """Keep the log and notes on children in the home, which only doctor can do without. Raises HomeError, DiskFull."""
    try:
        home.prepare()
    except (DiskFull, HomeError):
        if request.command != "doctor":
            raise
        return
    console.keep_log(home.tool_log)
    machine.children_folder = home.children


@contextmanager
def hold_home(at: Session, *, removing: bool = False) -> Iterator[None]:
    """Lock the home, made if need be, and end what a killed run left running.

    `removing` writes as little as possible: a full disk must not prevent a removal. Raises HomeError, DiskFull and
    HomeLocked.
    """
    home, machine = at.ctx.home, at.ctx.machine
    machine.children_folder = None if removing else home.children
    if not removing:
        home.prepare()
        at.console.keep_log(at.log)
    with home_lock(home.state / "lock", command=at.request.command, optional=removing):
        if not removing:
            remember(home, machine.timestamp(), may_run=at.ctx.options.may_run)
            at.console.invocation = replace(at.console.invocation, install=words_for(home))
            recover(home)
            if at.keeping is not None:
                keep(at.ctx, at.keeping)
        for argv in end_leftovers(machine, home.children):
            at.ctx.note(f"An interrupted run left {Path(argv[0]).name if argv else 'a program'} running; stopped it.")
        if not removing:
            from provision.cli.sweep import sweep_home

            sweep_home(at.ctx)
        with nullcontext() if removing else kept(home, machine, at.console):
            yield
