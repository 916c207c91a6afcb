"""ComfyUI's checkout: brought at the revision asked for, repaired, never losing a local change."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path

from provision import git_checkout as git
from provision.aside import make_way
from provision.errors import GitError
from provision.finding import Finding, Fix, blocked, fixable, ok, warn
from provision.receipt_kinds import ComfyReceipt
from provision.step import Context, Step
from provision.steps.adopted_checkout import UNKNOWN, check_checkout, record_checkout, version_of

CLONE_DOWNLOAD_BYTES, CLONE_DISK_BYTES = 10 * 10**6, 30 * 10**6  # one revision without history, measured: 5 and 21 MB
REHEARSAL_BYTES = 200_000
STALE_LOCK_S = 10


def check_comfyui(ctx: Context) -> Iterable[Finding]:
    """Is the checkout whole, at the revision asked for, and recorded?"""
    folder, wanted = ctx.home.comfyui, ctx.manifest.comfyui.ref
    if ctx.home.code_of_another is not None:
        yield from check_checkout(ctx, ctx.home.code_of_another)
        return
    if not (folder / ".git").exists():
        yield _missing(ctx)
        return
    owner = folder.stat().st_uid
    if owner != os.getuid():
        yield blocked(
            "git-owner", str(folder), f"{folder} belongs to user {owner}, not to you; git refuses such a repository.",
            fix=Fix("Make it yours.", ("sudo", "chown", "-R", str(os.getuid()), str(folder))),
        )  # fmt: skip
        return
    ctx.doing("asking git which files of ComfyUI were changed")
    state = git.read_state(folder)
    if state.locks:
        yield fixable(
            "git-lock", str(state.locks[0]),
            f"A git that was killed left {state.locks[0].name} behind; git would refuse to work.",
            fix=Fix("The lock is removed when no git is at work."),
        )  # fmt: skip
        return
    if state.head is None or _unfinished(ctx):
        why = state.trouble or "an earlier run was interrupted while it wrote the files"
        yield fixable(
            "clone-partial", str(folder), f"The checkout is broken ({why}).",
            fix=Fix("It is fetched again; models, custom nodes and changed files stay."),
            download_bytes=_size(ctx, CLONE_DOWNLOAD_BYTES), disk_bytes=_size(ctx, CLONE_DISK_BYTES),
        )  # fmt: skip
        return
    if state.missing:
        yield fixable(
            "clone-partial", str(folder),
            f"{len(state.missing)} files of ComfyUI are missing ({state.missing[0]} ...).",
            fix=Fix("They are written again from the repository; changed files stay."),
        )  # fmt: skip
        return
    yield from _check_revision(ctx, state.head, wanted)
    if state.modified:
        yield warn(
            "git-dirty", str(folder),
            f"You changed {len(state.modified)} files of ComfyUI ({state.modified[0]} ...); they stay as they are.",
        )  # fmt: skip


def _missing(ctx: Context) -> Finding:
    comfy = ctx.manifest.comfyui
    return fixable(
        "comfyui-missing", str(ctx.home.comfyui), f"ComfyUI is not here; {comfy.ref} of {comfy.url} will be fetched.",
        fix=Fix("Fetch one revision without its history.", ("git", "clone", "--depth", "1", comfy.url)),
        download_bytes=_size(ctx, CLONE_DOWNLOAD_BYTES), disk_bytes=_size(ctx, CLONE_DISK_BYTES),
    )  # fmt: skip


def _size(ctx: Context, size_bytes: int) -> int:
    return REHEARSAL_BYTES if ctx.options.rehearsal else size_bytes


def _check_revision(ctx: Context, head: str, wanted: str) -> Iterable[Finding]:
    folder, receipt = ctx.home.comfyui, ctx.receipts.read("comfyui", ComfyReceipt)
    if receipt.ref == wanted and receipt.commit == head:
        yield ok(
            "comfyui-ready",
            str(folder),
            f"ComfyUI {receipt.name} ({head[:8]}), checked out {receipt.when[:10]}",
            commit=head,
        )
    elif ((receipt.ref or wanted) == wanted and wanted == "latest") or git.has_commit_of(folder, wanted) == head:
        yield fixable(
            "comfyui-moved", str(folder),
            f"ComfyUI is at {head[:8]}, which this tool did not check out; it will be taken as it is.",
            fix=Fix("The revision is recorded; no file changes."),
        )  # fmt: skip
    else:
        yield fixable(
            "comfyui-ref", str(folder),
            f"ComfyUI is at {receipt.name or head[:8]}; {wanted} is asked for.",
            fix=Fix(f"{wanted} is fetched and checked out; your changes go into git's stash first."),
            download_bytes=_size(ctx, CLONE_DOWNLOAD_BYTES), disk_bytes=_size(ctx, CLONE_DISK_BYTES) // 4,
        )  # fmt: skip


def apply_comfyui(ctx: Context, finding: Finding) -> None:
    """Bring, repair or move the checkout. Raises GitError."""
    folder = ctx.home.comfyui
    if finding.id == "git-lock":
        _remove_locks(ctx)
    elif ctx.home.code_of_another is not None and finding.id == "comfyui-moved":
        record_checkout(ctx, folder)
    elif finding.id == "comfyui-moved":
        head = git.read_state(folder).head
        assert head is not None
        record(ctx, git.Revision(git_name(folder, head), "commit", head), head)
    elif finding.id == "clone-partial" and not _unfinished(ctx) and git.read_state(folder).head is not None:
        ctx.note(f"{git.restore(folder)} missing files of ComfyUI were written again.")
    else:
        _bring(ctx)


def _bring(ctx: Context) -> None:
    folder, comfy = ctx.home.comfyui, ctx.manifest.comfyui
    revision = git.find_revision(comfy.url, comfy.ref)
    ctx.note(
        f"ComfyUI {comfy.ref} is {revision.name}."
        if comfy.ref != revision.name
        else f"Fetching ComfyUI {revision.name}."
    )
    state = git.read_state(folder)
    ours = _unfinished(ctx) or not _has_sources(folder)
    if (folder / ".git").exists() and state.head is None and not ours:
        ctx.note(f"The broken .git was moved to {make_way(ctx, folder / '.git')}.")
    commit = git.fetch(folder, comfy.url, revision, _on_progress(ctx))
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


def record(ctx: Context, revision: git.Revision, commit: str) -> None:
    """Write the receipt of what is checked out."""
    comfy = ctx.manifest.comfyui
    receipt = ComfyReceipt(
        url=comfy.url, ref=comfy.ref, name=revision.name, commit=commit,
        date=git.commit_date(ctx.home.comfyui, commit), when=ctx.machine.timestamp(),
    )  # fmt: skip
    ctx.receipts.write("comfyui", receipt)


def git_name(folder: Path, commit: str) -> str:
    """A commit's name for people: the version that the engine says of itself, else its first digits."""
    said = version_of(folder)
    return said if said != UNKNOWN else commit[:8]


def _marker(ctx: Context) -> Path:
    """Stands while files of the checkout are being written by us: what is found then is not a person's work."""
    return ctx.home.state / "checkout-unfinished"


def _unfinished(ctx: Context) -> bool:
    return _marker(ctx).exists()


def _has_sources(folder: Path) -> bool:
    """Whether the folder holds more than the models folder that a download may have made and an empty repository."""
    return folder.is_dir() and any(entry.name not in (".git", "models") for entry in folder.iterdir())


def _remove_locks(ctx: Context) -> None:
    for lock in git.read_state(ctx.home.comfyui).locks:
        age_s = ctx.machine.now() - lock.stat().st_mtime
        if age_s < STALE_LOCK_S:
            ctx.wait(f"{lock.name} is fresh: another git may be at work.", STALE_LOCK_S - age_s)
        if lock.exists() and ctx.machine.now() - lock.stat().st_mtime < STALE_LOCK_S:
            raise GitError(f"Another git works in {ctx.home.comfyui}.", hint="Wait for it to end, then: provision all")
        lock.unlink(missing_ok=True)


def _on_progress(ctx: Context) -> Callable[[str], None]:
    def on_progress(line: str) -> None:
        ctx.machine.check_interrupted()
        ctx.output(line)

    return on_progress


COMFYUI = Step(
    "comfyui",
    needs=("tools",),
    check=check_comfyui,
    apply=apply_comfyui,
    about="ComfyUI's own source, from git",
)
