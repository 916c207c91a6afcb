"""`all --locked FILE`: the packages of a lock, exactly, in an environment of their own, or a sentence why not."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from provision.command import Fix, ours
from provision.core.finding import Finding
from provision.core.lockfile import Lock, load_lock
from provision.core.step import Context
from provision.environment import packages, wheel_index
from provision.errors import LockError
from provision.steps.lock.step import file_tags, nightly_age
from provision.steps.python_env.step import make_environment
from provision.steps.requirements.install import packages_cost
from provision.steps.torch import kinds as torch_kinds
from provision.steps.torch.choice import Choice
from provision.steps.torch.download_size import set_cost
from provision.steps.torch.install import with_new
from provision.steps.torch.place import macos_version
from provision.steps.torch.proof import prove
from provision.system.disk_errors import unusable


def check_rebuildable(ctx: Context, lock: Lock) -> None:
    """Refuse a lock whose packages cannot be had for this machine, before anything is done. Raises LockError."""
    bare = [package.name for package in lock.packages if not package.sha256]
    if bare:
        raise LockError(
            f"The lock has no hash of {len(bare)} packages ({', '.join(bare[:3])}): they came from no index, and cannot"
            " be had again by it.", hint=Fix("Resolve anew:", ours("all")),
        )  # fmt: skip
    if not lock.comfyui.commit:
        raise LockError(
            "The lock names no commit of ComfyUI: it was made where ComfyUI is no checkout.", hint=ours("all")
        )
    made, here = lock.platform, ctx.machine
    minor = ".".join(made.python.split(".")[:2])
    macos = macos_version(ctx)
    tags = wheel_index.target_tags(minor, macos, "arm64" if macos else here.arch)
    files = {package.name: package.wheel for package in lock.packages if package.wheel.endswith(".whl")}
    alien = [name for name, file in files.items() if not file_tags(file) & tags]
    if alien:
        first = [name for name in ("torch",) if name in alien] + [name for name in alien if name != "torch"]
        this = f"macOS {'.'.join(map(str, macos))}" if macos else here.system
        raise LockError(
            f"This lock cannot be rebuilt here: it was made on {made.version} {made.arch} with Python {minor}, this is"
            f" {this} {here.arch}, and the wheels of {len(alien)} of its {len(lock.packages)} packages are not for it"
            f" ({', '.join(first[:3])}).", hint=Fix("Resolve for this machine:", ours("all")),
        )  # fmt: skip


def check_locked(ctx: Context, lock: Lock) -> Iterable[Finding]:
    """Are exactly the packages of the lock here?"""
    here, there = packages.installed_versions(ctx.home.venv), lock.versions
    wanted, known = _hashes(lock), _hashes_here(ctx)
    names = sorted(
        {name for name in {**here, **there} if here.get(name) != there.get(name)}
        | {name for name, version in wanted if known.get((name, version)) not in (None, wanted[name, version])}
    )
    if names:
        first = sorted(names, key=lambda name: (name != "torch", name))[:3]
        shown = ", ".join(f"{name} {there.get(name, 'none')}" for name in first)
        yield torch_kinds.LOCK_DIFFERS.fixable(
            "packages", f"{len(names)} packages are not as the lock has them ({shown}).",
            fix=Fix("They are installed by their hashes into an environment of their own, which is then put in use."),
            cost=set_cost(ctx) + packages_cost(ctx),
        )  # fmt: skip


def _hashes_here(ctx: Context) -> dict[tuple[str, str], str]:
    """Of the files from which packages were installed, as this home's own lock has them."""
    try:
        return _hashes(load_lock(ctx.home.lock_file))
    except LockError:
        return {}


def _hashes(lock: Lock) -> dict[tuple[str, str], str]:
    """The hash of each package's file, by name and version."""
    return {(package.name, package.version): package.sha256 for package in lock.packages if package.sha256}


def rebuild(ctx: Context, lock: Lock) -> None:
    """Install a lock's packages by their hashes, prove torch, and put them in use.

    Raises PackageError where one cannot be had, ProbeFailed, HomeError, DiskFull; what was in use then stays so.
    """
    with_new(ctx, lambda new: _fill(new, lock), make=make_environment)
    try:  # it speaks of what was in use before; the last step writes another
        ctx.home.lock_file.unlink(missing_ok=True)
    except OSError as error:
        raise unusable(ctx.home.lock_file, error) from error


def _fill(new: Context, lock: Lock) -> None:
    asked = new.home.state / "locked.txt"
    lines = (f"{each.name}=={each.version} --hash=sha256:{each.sha256}\n" for each in lock.packages)
    _write(asked, "".join(lines))
    source = ("--index", lock.torch.index, "--index-strategy", "unsafe-best-match") if lock.torch.index else ()
    if not new.options.rehearsal and (aged := nightly_age(lock, new.machine.timestamp())):
        new.note(f"{aged}.")
    new.note(f"Installing {len(lock.packages)} packages by their hashes ...", passing=True)
    ran = packages.pip_install(new, "--no-deps", "--require-hashes", *source, "-r", asked)
    if not ran.ok:
        raise packages.package_error("What the lock names", ran)
    torch = lock.torch
    prove(new, Choice(torch.channel, (), torch.index, torch.why, torch.passed_over), torch.wanted)


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise unusable(path, error) from error
