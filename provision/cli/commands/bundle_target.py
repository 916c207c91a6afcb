"""`bundle --for TARGET`: the lock of what `all` would install on a Mac that is not here."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from provision import __version__
from provision.cli.commands.bundle_models import locked_models
from provision.cli.commands.plan_target import choose_torch, resolve_requirements
from provision.comfyui.source_tree import BadArchive, unpack
from provision.command import Fix, ours
from provision.core.lockfile import (
    SCHEMA,
    Lock,
    LockedEngine,
    LockedPackage,
    LockedTorch,
    Platform,
    without_credentials,
)
from provision.core.step import Context
from provision.download.bundling.contents import bring_source
from provision.download.bundling.wheels import offered
from provision.download.source_archive import find_revision
from provision.environment.resolution import Resolved, Rules, Wheel, resolve
from provision.errors import GitError, PackageError
from provision.steps.requirements.asked import read_asked
from provision.system.target import Target, parse_target


def target_of(ctx: Context, words: str) -> Target:
    """The Mac that `words` name. Raises UsageError."""
    needs = ctx.manifest
    return parse_target(words, macos_min=needs.machine.macos_min, python=needs.python.version)


def lock_for(ctx: Context, target: Target) -> Lock:
    """The lock of what `all` would install there now.

    Raises PackageError where a package has no wheel for it, GitError, NetworkError, HubRefused, LockError.
    """
    asked = read_asked(ctx, None)
    ctx.note(f"Looking up packages for {target.says} ...")
    choice = choose_torch(ctx, target, audio=asked.audio)
    torch = resolve(ctx, target, choice.pins, Rules(index=choice.index))
    others = resolve_requirements(ctx, target, asked, torch)
    _must_be_whole(target, torch, others)
    packages = [*_locked(ctx, target, torch.wheels, choice.index), *_locked(ctx, target, others.wheels, "")]
    return Lock(
        schema=SCHEMA,
        tool=__version__,
        made=ctx.machine.timestamp(),
        manifest=ctx.manifest.name,
        platform=Platform("Darwin", target.arch, f"macOS {'.'.join(map(str, target.macos))}", target.python),
        torch=LockedTorch(
            ctx.manifest.torch.channel,
            choice.channel,
            without_credentials(choice.index),
            choice.why,
            choice.passed_over,
        ),
        comfyui=_comfyui(ctx),
        models=locked_models(ctx.manifest, ctx.options.precision),
        packages=tuple(sorted(packages, key=lambda package: package.name)),
    )


def _must_be_whole(target: Target, *found: Resolved) -> None:
    if lacks := [lack for each in found for lack in each.lacks]:
        raise PackageError(
            f"{lacks[0].asked} has no wheel for {target.says}.",
            hint=Fix("To see what would work:", ours("plan", "--for", target.name)),
        )


def _locked(ctx: Context, target: Target, wheels: Sequence[Wheel], index: str) -> list[LockedPackage]:
    """The wheels with their hashes, which their index tells."""
    lines = [f"{wheel.name}=={wheel.version}" for wheel in wheels]
    known = {each.name: each.sha256 for each in offered(ctx, target, lines, index)} if lines else {}
    if bare := next((wheel for wheel in wheels if wheel.filename not in known), None):
        raise PackageError(
            f"The index has no sha256 of {bare.filename}: a bundle needs it.",
            hint=Fix("Use another index: export UV_DEFAULT_INDEX=URL"),
        )
    source = without_credentials(index)
    return [LockedPackage(each.name, each.version, source, each.filename, known[each.filename]) for each in wheels]


def _comfyui(ctx: Context) -> LockedEngine:
    """The revision that is wanted, with the tree of its files."""
    comfy = ctx.manifest.comfyui
    revision = find_revision(ctx, comfy.url, comfy.ref)
    with tempfile.TemporaryDirectory(prefix="provision-bundle-", ignore_cleanup_errors=True) as folder:
        archive = Path(folder) / "source.tar.gz"
        bring_source(ctx, comfy.url, str(revision.commit), archive)
        try:
            listing = unpack(archive, Path(folder) / "unpacked", str(revision.commit))
        except BadArchive as error:
            raise GitError(f"ComfyUI's archive is not usable: {error}.", hint=ours("plan")) from error
    return LockedEngine(without_credentials(comfy.url), str(revision.commit), comfy.args, listing.tree)
