"""`--from`: which lock of a bundle fits this machine and the manifest, or why none does."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace

from provision.command import Fix, ours
from provision.core.bundle import Bundle, BundledLock, lacks
from provision.core.lockfile import Lock, load_lock
from provision.core.step import Context
from provision.download.bundle_source import missing_here, read_lock
from provision.errors import BundleError, ConsentNeeded, LockError
from provision.steps.lock.rebuild import check_rebuildable, check_whole
from provision.steps.lock.step import differences
from provision.steps.python_env.step import local_python, on_apple_silicon
from provision.steps.torch.place import macos_version


def choose_lock(ctx: Context, bundle: Bundle, manifest: str | None) -> Lock:
    """The first lock that can be rebuilt on this machine, of the manifest that is named; all that it needs is there.

    Raises BundleError, LockError, and as `open_bundle`.
    """
    offered = _of_manifest(bundle, manifest)
    for each in offered:
        lock = read_lock(ctx, bundle, each.file)
        check_whole(lock)
        with suppress(LockError):
            check_rebuildable(ctx, lock)
            check_bundled(bundle, lock)
            return lock
    macos = macos_version(ctx)
    here = f"macOS {'.'.join(map(str, macos))}" if macos else ctx.machine.system
    raise BundleError(
        f"{bundle.place} is for {' and for '.join(dict.fromkeys(each.target for each in offered))}; this machine is"
        f" {here} {ctx.machine.arch}.",
        hint=Fix("With internet, make one for this machine:", ours("bundle", "DIR", "--for", "TARGET")),
    )


def _of_manifest(bundle: Bundle, manifest: str | None) -> Sequence[BundledLock]:
    locks = bundle.about.locks
    wanted = [each for each in locks if manifest in (None, each.manifest)]
    if not wanted:
        names = ", ".join(dict.fromkeys(each.manifest for each in locks)) or "nothing"
        raise BundleError(
            f"{bundle.place} holds {names}, not {manifest}.",
            hint=Fix("With internet, add it:", ours("bundle", "DIR", "--manifest", manifest or "NAME")),
        )
    return wanted


def check_bundled(bundle: Bundle, lock: Lock) -> None:
    """Refuse a bundle that lacks something of a lock, or a disk that lacks something of the bundle.

    Raises BundleError.
    """
    gone = lacks(bundle.about, lock) or missing_here(bundle)
    if gone:
        more = f" and {len(gone) - 1} more files" if len(gone) > 1 else ""
        raise BundleError(
            f"{bundle.place} lacks {gone[0]}{more}.",
            hint=Fix("To see what is wrong with it:", ours("bundle", "--check", bundle.place)),
        )


def check_python(ctx: Context, bundle: Bundle, lock: Lock) -> None:
    """Refuse a bundle without the Python of its lock where this machine has none. Raises BundleError."""
    minor = lock.platform.minor
    arch = "arm64" if on_apple_silicon(ctx) else ctx.machine.arch
    here = (each for each in bundle.pythons() if each.is_for(ctx.machine.system, arch))
    if any(each.version.startswith(f"{minor}.") for each in here) or local_python(ctx, minor):
        return
    raise BundleError(
        f"{bundle.place} has no Python {minor} for this machine, which has none either.",
        hint=Fix("With internet, make it again:", ours("bundle", "DIR")),
    )


def agree_to_replace(ctx: Context, lock: Lock) -> None:
    """Ask before a home's own lock is left for another. Raises ConsentNeeded."""
    changed = replaces(ctx, lock)
    if changed and not ctx.consent(f"This install differs from the bundle ({'; '.join(changed)}). Go by the bundle?"):
        raise ConsentNeeded("Nothing was changed.", hint=ours("status"))


def replaces(ctx: Context, lock: Lock) -> list[str]:
    """What a bundle would change in a home that has a lock of its own, in words."""
    try:
        kept = load_lock(ctx.home.lock_file) if ctx.home.lock_file.is_file() else lock
    except LockError:
        return []
    return differences(kept, replace(lock, nodes=kept.nodes))  # a bundle leaves custom nodes as they are
