"""ComfyUI's source: brought at the revision asked for, repaired, never losing a local change.

By git it is a checkout; without git it comes as an archive (see `archived`).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

from provision.comfyui import git_checkout as git
from provision.comfyui.git_remote import Revision, find_revision, parse_receiving
from provision.comfyui.source_tree import drop_listing, is_archived
from provision.comfyui.switching import go_back
from provision.command import Fix, ours, program
from provision.core.finding import Cost, Finding
from provision.core.moved_aside import make_way
from provision.core.patience import ride_out
from provision.core.receipt_kinds import ComfyReceipt
from provision.core.sentences import dated
from provision.core.step import Context, Step
from provision.download.source_archive import by_archive
from provision.errors import CommandMissing, GitError, Passing
from provision.steps.comfyui import kinds
from provision.steps.comfyui.adopted import check_checkout, record_checkout, said_version
from provision.steps.comfyui.archived import apply_archived, check_archived
from provision.system.disk_errors import unusable
from provision.system.git_program import plain, says_of
from provision.system.which_git import find_git

CLONE_DOWNLOAD_BYTES, CLONE_DISK_BYTES = 10 * 10**6, 30 * 10**6  # one revision without history, measured: 5 and 21 MB
REHEARSAL_BYTES = 200_000
STALE_LOCK_S = 10


def check_comfyui(ctx: Context) -> Iterable[Finding]:
    """Is the checkout whole, at the revision asked for, and recorded?"""
    folder, wanted = ctx.home.comfyui, ctx.manifest.comfyui.ref
    if ctx.home.code_of_another is not None:
        yield from check_checkout(ctx, ctx.home.code_of_another)
        return
    if not os.path.lexists(folder / ".git"):
        here = is_archived(ctx) and _has_sources(folder)
        yield from check_archived(ctx, _cost(ctx)) if here else (_missing(ctx),)
        return
    _need_git(ctx)
    owner = git.stranger(folder, ctx.machine.environ)
    if owner is not None:
        yield kinds.GIT_OWNER.blocked(
            str(folder),
            f"{folder} belongs to user {owner}, not to you; git refuses to read it.",
            fix=Fix("Make it yours.", program("sudo", "chown", "-R", str(os.getuid()), str(folder))),
        )
        return
    ctx.doing("asking git which files of ComfyUI were changed")
    state = git.read_state(folder)
    if state.locks:
        yield kinds.GIT_LOCK.fixable(
            str(state.locks[0]),
            f"A killed git left {state.locks[0].name} behind, which blocks git.",
            fix=Fix("Remove the lock, if no git is running."),
        )
        return
    if state.head is None or _unfinished(ctx):
        why = state.trouble or "an earlier run was interrupted while writing files"
        yield kinds.CLONE_PARTIAL.fixable(
            str(folder),
            f"The checkout is broken ({why}).",
            fix=Fix("Download it again; models, custom nodes and changed files stay."),
            cost=_cost(ctx),
        )
        return
    if state.missing:
        yield kinds.CLONE_PARTIAL.fixable(
            str(folder),
            f"{len(state.missing)} files of ComfyUI are missing ({git.example(state.missing)}).",
            fix=Fix("Restore them from the repository; changed files stay."),
        )
        return
    yield from _check_revision(ctx, state.head, wanted)
    if state.modified:
        yield kinds.GIT_DIRTY.warn(
            str(folder),
            f"You changed {len(state.modified)} files of ComfyUI ({git.example(state.modified)}); they are kept.",
        )


def _missing(ctx: Context) -> Finding:
    comfy = ctx.manifest.comfyui
    fix = Fix("Download one revision, without history.", program("git", "clone", "--depth", "1", comfy.url))
    if ctx.options.source is not None:
        fix = Fix("Unpack it from the bundle.")
    elif by_archive(ctx, comfy.url):
        fix = Fix("Download one revision as an archive, without git.")
    return kinds.COMFYUI_MISSING.fixable(
        str(ctx.home.comfyui),
        f"ComfyUI is not installed; {comfy.ref} of {comfy.url} will be downloaded.",
        fix=fix,
        cost=_cost(ctx),
    )


def _need_git(ctx: Context) -> None:
    """A repository is read by git alone. Raises CommandMissing where none may be run."""
    found = find_git(ctx.machine)
    if found.path is None:
        says = f"ComfyUI's checkout cannot be looked at: {says_of(found.trouble)}"
        raise CommandMissing(says, hint=ours("doctor"))


def _cost(ctx: Context) -> Cost:
    return Cost(revision_bytes(ctx), _size(ctx, CLONE_DISK_BYTES))


def revision_bytes(ctx: Context) -> int:
    """About how many bytes come for one revision."""
    return _size(ctx, CLONE_DOWNLOAD_BYTES)


def _size(ctx: Context, size_bytes: int) -> int:
    return REHEARSAL_BYTES if ctx.options.rehearsal else size_bytes


def _check_revision(ctx: Context, head: str, wanted: str) -> Iterable[Finding]:
    folder, receipt = ctx.home.comfyui, ctx.receipts.read("comfyui", ComfyReceipt)
    if receipt.ref == wanted and receipt.commit == head:
        yield kinds.COMFYUI_READY.ok(
            str(folder),
            f"ComfyUI {receipt.name} ({head[:8]})" + dated(", checked out on", receipt.when, ctx.machine.timestamp()),
            facts={"commit": head},
        )
    elif ((receipt.ref or wanted) == wanted and wanted == "latest") or git.has_commit_of(folder, wanted) == head:
        yield kinds.COMFYUI_MOVED.fixable(
            str(folder),
            f"ComfyUI is at {head[:8]}, not checked out by provision; it will be used as is.",
            fix=Fix("Record the revision; no file changes."),
        )
    elif _is_recorded(folder, receipt, wanted):
        yield kinds.COMFYUI_REF.fixable(
            str(folder),
            f"ComfyUI is at {head[:8]}, not checked out by provision; {wanted} is wanted.",
            fix=Fix(f"Return to {receipt.name}, without a network; changes that do not fit it are kept as a patch."),
        )
    else:
        yield kinds.COMFYUI_REF.fixable(
            str(folder),
            f"ComfyUI is at {receipt.name or head[:8]}; {wanted} is wanted.",
            fix=Fix(f"{wanted} is downloaded and checked out; your changes are kept."),
            cost=Cost(revision_bytes(ctx), _size(ctx, CLONE_DISK_BYTES) // 4),
        )


def _is_recorded(folder: Path, receipt: ComfyReceipt, wanted: str) -> bool:
    """Whether what is wanted was checked out before, and git still has it."""
    return receipt.ref == wanted and git.has_commit_of(folder, receipt.commit) == receipt.commit


def apply_comfyui(ctx: Context, finding: Finding) -> None:
    """Bring, repair or move the checkout. Raises GitError."""
    folder, receipt = ctx.home.comfyui, ctx.receipts.read("comfyui", ComfyReceipt)
    if ctx.home.code_of_another is None and not os.path.lexists(folder / ".git") and _as_archive(ctx):
        apply_archived(ctx, finding)
    elif finding.kind == kinds.GIT_LOCK:
        _remove_locks(ctx)
    elif ctx.home.code_of_another is not None and finding.kind == kinds.COMFYUI_MOVED:
        record_checkout(ctx, folder)
    elif finding.kind == kinds.COMFYUI_MOVED:
        head = git.read_state(folder).head
        if head is None:
            raise GitError(f"{folder} changed while it was being checked.", hint=ours("all"))
        record(ctx, Revision(said_version(folder) or head[:8], "commit", head), head)
    elif finding.kind == kinds.COMFYUI_REF and _is_recorded(folder, receipt, ctx.manifest.comfyui.ref):
        _go_back(ctx, receipt)
    elif finding.kind != kinds.CLONE_PARTIAL or _unfinished(ctx) or not _restore(ctx):
        _bring(ctx)


def _go_back(ctx: Context, receipt: ComfyReceipt) -> None:
    """Return from what somebody checked out; its commits and changes are kept. Raises GitError, HomeError, DiskFull."""
    if branch := git.name_lost_commit(ctx.home.comfyui):
        ctx.note(f"Your commits to ComfyUI are kept as the branch {branch}.")
    if (kept := go_back(ctx.home, receipt)) is not None:
        ctx.note(f"Your changes to ComfyUI do not fit {receipt.name}: they are kept in {ctx.home.shown(kept)}.")


def _as_archive(ctx: Context) -> bool:
    """Whether what is no repository comes as an archive: it did so before, or there is no git."""
    here = is_archived(ctx) and _has_sources(ctx.home.comfyui)
    return here or by_archive(ctx, ctx.manifest.comfyui.url)


def _restore(ctx: Context) -> bool:
    """Write what is missing again from a repository that is whole; False where it is not. Raises GitError."""
    folder = ctx.home.comfyui
    if git.read_state(folder).head is None and not git.renew_index(folder):
        return False
    try:
        written = git.restore(folder)
    except GitError:
        if ctx.home.code_of_another is not None or not git.is_broken(folder):
            raise
        return False
    ctx.note(f"{len(written)} missing files of ComfyUI were restored.")
    if filters := git.filters_of(folder, written):
        names = plain(", ".join(sorted(filters)))
        ctx.note(f"Some use a git filter ({names}), which was not run: git -C {folder} checkout HEAD -- FILE")
    return True


def _bring(ctx: Context) -> None:
    """Fetch the revision and write its files; a repository that is broken is moved aside, and one is made anew."""
    folder = ctx.home.comfyui
    state = git.read_state(folder)
    revision = _revision(ctx, state)
    is_there = os.path.lexists(folder / ".git")
    if is_there and (state.head is None or git.is_broken(folder)):
        ctx.note(f"The broken .git was moved to {make_way(ctx, folder / '.git')}; nothing was deleted.")
        state = git.State(None)
    _write(ctx, revision, state)


def _revision(ctx: Context, state: git.State) -> Revision:
    """What is to be fetched: where sources are there whose repository is lost, the revision that they are of."""
    comfy, receipt = ctx.manifest.comfyui, ctx.receipts.read("comfyui")
    alive, environ = ctx.machine.check_interrupted, ctx.machine.environ
    revision = ride_out(ctx, lambda: find_revision(comfy.url, comfy.ref, alive, environ=environ))
    known = receipt.get("name"), receipt.get("commit")
    lost = state.head is None and _has_sources(ctx.home.comfyui) and not _unfinished(ctx)
    if lost and receipt.get("ref") == comfy.ref and isinstance(known[0], str) and known[1] != revision.commit:
        with suppress(GitError):  # it may be gone there
            before = find_revision(comfy.url, known[0], alive, environ=environ)
            revision = before if before.commit == known[1] else revision
    same = comfy.ref == revision.name
    ctx.note(f"Downloading ComfyUI {revision.name}." if same else f"ComfyUI {comfy.ref} is {revision.name}.")
    return revision


def _write(ctx: Context, revision: Revision, state: git.State) -> None:
    folder = ctx.home.comfyui
    ours = _unfinished(ctx) or not _has_sources(folder)
    url, alive, environ = ctx.manifest.comfyui.url, ctx.machine.check_interrupted, ctx.machine.environ
    if ctx.options.source is not None:
        commit = _already_here(ctx, revision)
    else:
        commit = ride_out(ctx, lambda: git.fetch(folder, url, revision, follow_fetch(ctx), alive, environ=environ))
    ctx.machine.check_interrupted()
    if state.head is not None and state.modified and not ours:
        git.stash(folder, f"provision: before {revision.name}")
        ctx.note(f"Your changes to ComfyUI are in git's stash: git -C {folder} stash pop")
    if ours or state.head is not None:
        _marker(ctx).touch()
        ours = True
    git.place(folder, commit, revision, ours=ours)
    record(ctx, revision, commit)
    _marker(ctx).unlink(missing_ok=True)


def _already_here(ctx: Context, revision: Revision) -> str:
    """The commit in the checkout: a bundle has archives, which no repository takes. Raises GitError."""
    folder = ctx.home.comfyui
    if revision.commit is None or git.has_commit_of(folder, revision.commit) != revision.commit:
        raise GitError(
            f"{folder} is a git checkout without {revision.name[:12]}, and a bundle holds ComfyUI as an archive.",
            hint=Fix("Use a new install folder:", ours("all", "--home", "DIR")),
        )
    return revision.commit


def record(ctx: Context, revision: Revision, commit: str) -> None:
    """Write the receipt of what is checked out."""
    comfy = ctx.manifest.comfyui
    receipt = ComfyReceipt(
        url=comfy.url,
        ref=comfy.ref,
        name=revision.name,
        commit=commit,
        date=git.commit_date(ctx.home.comfyui, commit),
        when=ctx.machine.timestamp(),
        tree=git.tree_of(ctx.home.comfyui, commit),
    )
    ctx.receipts.write("comfyui", receipt)
    drop_listing(ctx.home.state)


def _marker(ctx: Context) -> Path:
    """Stands while files of the checkout are being written by us: what is found then is not a person's work."""
    return ctx.home.state / "checkout-unfinished"


def _unfinished(ctx: Context) -> bool:
    return _marker(ctx).exists()


def _has_sources(folder: Path) -> bool:
    """Whether the folder holds more than the models folder that a download may have made and a repository."""
    names = (entry.name for entry in folder.iterdir()) if folder.is_dir() else ()
    return any(name not in (".git", "models") and not name.startswith(git.IN_THE_MAKING) for name in names)


def _remove_locks(ctx: Context) -> None:
    locks = git.find_locks(ctx.home.comfyui)
    fresh = [lock for lock in locks if _is_fresh(ctx, lock)]
    if fresh:
        ctx.wait(f"{fresh[0].name} is recent: another git may be running.", STALE_LOCK_S, Passing.BUSY)
    if any(_is_fresh(ctx, lock) for lock in git.find_locks(ctx.home.comfyui)):
        raise GitError(
            f"Another git is running in {ctx.home.comfyui}.", hint=Fix("Wait for it to finish, then:", ours("all"))
        )
    for lock in locks:
        try:
            lock.unlink(missing_ok=True)
        except OSError as error:
            raise unusable(lock, error) from error


def _is_fresh(ctx: Context, lock: Path) -> bool:
    """Whether a lock is of the last seconds; one of the future, as after a change of the clock, is not."""
    with suppress(OSError):
        return 0 <= ctx.machine.now() - lock.lstat().st_mtime < STALE_LOCK_S
    return False


def follow_fetch(ctx: Context) -> Callable[[str], None]:
    """Passes git's lines on, and what they tell of its progress. Raises Interrupted."""

    def on_progress(line: str) -> None:
        ctx.machine.check_interrupted()
        ctx.output(line)
        if progress := parse_receiving(line, "ComfyUI"):
            ctx.emit(progress)

    return on_progress


COMFYUI = Step(
    "comfyui",
    needs=("tools",),
    check=check_comfyui,
    apply=apply_comfyui,
    about="ComfyUI's source",
)
