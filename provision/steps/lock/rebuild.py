"""`all --locked FILE`: install exactly the packages of a lock into a new environment, or say why that cannot be."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress

from provision.command import Fix, ours
from provision.core.finding import Finding
from provision.core.lockfile import Lock, load_lock
from provision.core.receipts import forget, write_text
from provision.core.step import Context
from provision.environment import packages, wheel_index
from provision.errors import LockError, PackageError
from provision.steps.lock.step import file_tags, nightly_age
from provision.steps.python_env.step import make_environment, on_apple_silicon
from provision.steps.requirements.install import packages_cost
from provision.steps.torch import kinds as torch_kinds
from provision.steps.torch.choice import Choice
from provision.steps.torch.download_size import set_cost
from provision.steps.torch.install import with_new
from provision.steps.torch.place import macos_version
from provision.steps.torch.proof import prove


def check_rebuildable(ctx: Context, lock: Lock) -> None:
    """Refuse a lock whose packages cannot be had for this machine, before anything is done. Raises LockError."""
    check_whole(lock)
    made, here = lock.platform, ctx.machine
    macos = macos_version(ctx)
    tags = wheel_index.target_tags(made.minor, macos, "arm64" if on_apple_silicon(ctx) else here.arch)
    files = {package.name: package.wheel for package in lock.packages if package.wheel.endswith(".whl")}
    alien = [name for name, file in files.items() if not file_tags(file) & tags]
    if alien:
        first = [name for name in ("torch",) if name in alien] + [name for name in alien if name != "torch"]
        this = f"macOS {'.'.join(map(str, macos))}" if macos else here.system
        raise LockError(
            f"This lock cannot be rebuilt here: it was made on {made.version} {made.arch} with Python {made.minor},"
            f" this is {this} {here.arch}, and the wheels of {len(alien)} of its {len(lock.packages)} packages are not"
            f" for it ({', '.join(first[:3])}).",
            hint=Fix("Resolve for this machine:", ours("all")),
        )


def check_whole(lock: Lock) -> None:
    """Refuse a lock that does not say what to install again. Raises LockError."""
    if unhashed := lock.unhashed:
        raise LockError(
            f"The lock has no hash of {len(unhashed)} packages ({', '.join(unhashed[:3])}): they came from no"
            " index, so the lock cannot install them again.",
            hint=Fix("Resolve again:", ours("all")),
        )
    if not lock.comfyui.commit:
        raise LockError("The lock has no commit of ComfyUI: it was made from a ComfyUI without git.", hint=ours("all"))


def check_locked(ctx: Context, lock: Lock) -> Iterable[Finding]:
    """Are exactly the packages of the lock here?"""
    here, there = packages.installed_versions(ctx.home.venv), lock.versions
    known: dict[tuple[str, str], str] = {}
    with suppress(LockError):  # of the files from which these were installed, as this home's own lock has them
        known = load_lock(ctx.home.lock_file).hashes
    other = {name for name in here.keys() | there.keys() if here.get(name) != there.get(name)}
    other |= {key[0] for key, sha256 in lock.hashes.items() if known.get(key, sha256) != sha256}
    if other:
        first = sorted(other, key=lambda name: (name != "torch", name))[:3]
        shown = ", ".join(f"{name} {there.get(name, 'none')}" for name in first)
        says = f"{len(other)} packages differ from the lock ({shown})."
        fix = Fix("Install them by their hashes into a new environment, then switch to it.")
        yield torch_kinds.LOCK_DIFFERS.fixable("packages", says, fix=fix, cost=set_cost(ctx) + packages_cost(ctx))


def rebuild(ctx: Context, lock: Lock) -> None:
    """Install a lock's packages by their hashes, prove torch, and put them in use.

    Raises PackageError where one cannot be had, ProbeFailed, HomeError, DiskFull; what was in use then stays so.
    """
    with_new(ctx, lambda new: _fill(new, lock), "rebuilt from a lock", make=make_environment)
    forget(ctx.home.lock_file)  # it speaks of what was in use before; the last step writes another


def _fill(new: Context, lock: Lock) -> None:
    asked = new.home.state / "locked.txt"
    lines = (f"{each.name}=={each.version} --hash=sha256:{each.sha256}\n" for each in lock.packages)
    write_text(asked, "".join(lines))
    source = packages.index_words(new, lock.torch.index)
    if not new.options.rehearsal and (aged := nightly_age(lock, new.machine.timestamp())):
        new.note(f"{aged}.")
    new.note(f"Installing {len(lock.packages)} packages by their hashes ...", passing=True)
    ran = packages.pip_install(new, "--no-deps", "--require-hashes", *source, "-r", asked)
    if not ran.ok:
        raise _refusal(new, packages.package_error("The lock's packages", ran))
    torch = lock.torch
    prove(new, Choice(torch.channel, (), torch.index, torch.why, torch.passed_over), torch.wanted)


def _refusal(ctx: Context, error: PackageError) -> PackageError:
    """The same, with the command that finds a damaged file where the packages came from a disk."""
    bundle = ctx.options.source
    if bundle is None or bundle.folder is None:
        return error
    check = Fix("A file of the bundle may be damaged. To find it:", ours("bundle", "--check", str(bundle.folder)))
    return PackageError(error.message, hint=check)
