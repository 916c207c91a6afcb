"""ComfyUI from its release's archive, where there is no git: brought, verified file by file, repaired and updated.

It stays so when git comes later. A person's changes are seen, and stay; where another revision takes their place, they
are moved aside.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from provision.comfyui.archived_revisions import UNPACKED, let_go
from provision.comfyui.git_checkout import example
from provision.comfyui.git_remote import Revision
from provision.comfyui.source_tree import (
    ARCHIVE,
    BadArchive,
    Listing,
    compare,
    place,
    plan_change,
    read_listing,
    unpack,
    write_listing,
)
from provision.command import Fix, ours
from provision.core.finding import Cost, Finding
from provision.core.moved_aside import make_way
from provision.core.patience import ride_out
from provision.core.receipt_kinds import ComfyReceipt
from provision.core.receipts import forget
from provision.core.step import Context
from provision.download.source_archive import find_revision, keep_archive
from provision.environment import generations
from provision.errors import GitError, LockError
from provision.steps.comfyui import kinds
from provision.system.disk_errors import unusable
from provision.system.git_program import plain


def check_archived(ctx: Context, cost: Cost) -> Iterable[Finding]:
    """Is the source whole, at the revision asked for? `cost` is that of bringing it."""
    folder, listing = ctx.home.comfyui, read_listing(ctx.home.state)
    if listing is None:
        yield kinds.CLONE_PARTIAL.fixable(
            str(folder),
            "The list of ComfyUI's files, which came as an archive, is gone.",
            fix=Fix("The archive is downloaded again; changed files stay."),
            cost=cost,
        )
        return
    ctx.doing("comparing ComfyUI's files with their list")
    state = compare(folder, listing)
    if state.missing:
        yield kinds.CLONE_PARTIAL.fixable(
            str(folder),
            f"{len(state.missing)} files of ComfyUI are missing ({example(state.missing)}).",
            fix=Fix("They are written again from the archive, which is downloaded again; changed files stay."),
            cost=cost,
        )
        return
    yield _revision_finding(ctx, listing, cost)
    if state.modified:
        yield kinds.GIT_DIRTY.warn(
            str(folder),
            f"You changed {len(state.modified)} files of ComfyUI ({example(state.modified)}); they stay as they are.",
        )


def _revision_finding(ctx: Context, listing: Listing, cost: Cost) -> Finding:
    folder, wanted = ctx.home.comfyui, ctx.manifest.comfyui.ref
    receipt = ctx.receipts.read("comfyui", ComfyReceipt)
    if receipt.ref == wanted and receipt.commit == listing.commit:
        return kinds.COMFYUI_READY.ok(
            str(folder),
            f"ComfyUI {receipt.name} ({listing.commit[:8]}), from an archive of {receipt.when[:10]}",
            facts={"commit": listing.commit, "tree": listing.tree, "source": ARCHIVE},
        )
    if wanted in (listing.commit, receipt.name) and receipt.commit == listing.commit:
        return kinds.COMFYUI_MOVED.fixable(
            str(folder),
            f"ComfyUI is at {receipt.name}, as {wanted} requires.",
            fix=Fix("Record the revision; no file changes."),
        )
    return kinds.COMFYUI_REF.fixable(
        str(folder),
        f"ComfyUI is at {receipt.name or listing.commit[:8]}; {wanted} is wanted.",
        fix=Fix(f"The archive of {wanted} is downloaded and takes its place; files that you changed are moved aside."),
        cost=cost,
    )


def apply_archived(ctx: Context, finding: Finding) -> None:
    """Bring, repair or move the source. Raises GitError, NetworkError, HubRefused, LockError, HomeError, DiskFull."""
    listing, receipt = read_listing(ctx.home.state), ctx.receipts.read("comfyui", ComfyReceipt)
    if finding.kind == kinds.COMFYUI_MOVED and listing is not None:
        record(ctx, Revision(receipt.name, "commit", listing.commit), listing)
    elif finding.kind == kinds.CLONE_PARTIAL and receipt.ref == ctx.manifest.comfyui.ref and receipt.commit:
        _bring(ctx, Revision(receipt.name, "commit", receipt.commit), listing, keep=True)
    else:
        comfy = ctx.manifest.comfyui
        revision = ride_out(ctx, lambda: find_revision(ctx, comfy.url, comfy.ref))
        how = "Downloading" if ctx.options.source is None else "Unpacking"
        ctx.note(f"{how} ComfyUI {revision.name} as an archive.")
        _bring(ctx, revision, listing, keep=listing is None)


def _bring(ctx: Context, revision: Revision, before: Listing | None, *, keep: bool) -> None:
    """Download and unpack an archive, then put its files in place; with `keep` a file that is there stays as it is."""
    folder, receipt = ctx.home.comfyui, ctx.receipts.read("comfyui", ComfyReceipt)
    with _unpacked(ctx, revision) as (unpacked, after):
        if revision.commit == receipt.commit and receipt.tree not in ("", after.tree):
            raise _other_content(revision, receipt.tree, after.tree)
        _check_lock(ctx, after)
        change = plan_change(folder, before, after, keep=keep)
        for name in change.persons:
            ctx.note(f"{plain(name)}, which is yours, was moved to {ctx.home.shown(make_way(ctx, folder / name))}.")
        try:
            folder.mkdir(parents=True, exist_ok=True)
            place(folder, unpacked, change)
        except OSError as error:
            raise unusable(folder, error) from error
        write_listing(ctx.home.state, after)
        record(ctx, revision, after)
        let_go(ctx.home, {after.commit, *(each.comfyui.commit for each in generations.kept(ctx.home))})


@contextmanager
def _unpacked(ctx: Context, revision: Revision) -> Iterator[tuple[Path, Listing]]:
    """The files of a revision in a folder that is gone afterwards, and their listing."""
    place = ctx.home.state / UNPACKED
    try:
        shutil.rmtree(place, ignore_errors=True)
        archive = keep_archive(ctx, revision)
        try:
            listing = unpack(archive, place, revision.commit or "")
        except BadArchive:  # it is not asked for again until it is gone
            forget(archive)
            raise
        yield place, listing
    except BadArchive as error:
        raise GitError(
            f"The archive of ComfyUI {revision.name} is not usable: {error}.", hint=Fix("Run the same command again.")
        ) from error
    except OSError as error:
        raise unusable(place, error) from error
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _check_lock(ctx: Context, after: Listing) -> None:
    """Refuse another content than the lock has that is being rebuilt. Raises LockError."""
    lock = ctx.options.locked
    if lock is not None and lock.comfyui.commit == after.commit and lock.comfyui.tree not in ("", after.tree):
        raise LockError(
            f"The archive of ComfyUI {after.commit[:8]} is not what the lock has: its tree is {after.tree[:12]}, not"
            f" {lock.comfyui.tree[:12]}.",
            hint=Fix("With git it is verified by its commit; or take what is there now:", ours("all")),
        )


def _other_content(revision: Revision, was: str, now: str) -> GitError:
    return GitError(
        f"The archive of ComfyUI {revision.name} has other content than when it was installed: its tree is {now[:12]},"
        f" not {was[:12]}.",
        hint=Fix("Take another revision:", ours("all", "--comfyui", "latest")),
    )


def record(ctx: Context, revision: Revision, listing: Listing) -> None:
    """Write the receipt of what is here."""
    comfy = ctx.manifest.comfyui
    receipt = ComfyReceipt(
        url=comfy.url,
        ref=comfy.ref,
        name=revision.name,
        commit=listing.commit,
        date=listing.date,
        when=ctx.machine.timestamp(),
        tree=listing.tree,
        source=ARCHIVE,
    )
    ctx.receipts.write("comfyui", receipt)
