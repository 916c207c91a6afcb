"""Somebody else's checkout, used as it is: with git or without, changed or not; no other revision is taken."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from provision.comfyui import git_checkout as git
from provision.comfyui.adoption import recorded
from provision.command import Fix, ours, program
from provision.core.finding import Finding
from provision.core.receipt_kinds import ComfyReceipt
from provision.core.step import Context
from provision.steps.comfyui import kinds
from provision.system.strict import Unreadable, read_text

VERSION = re.compile(r'"([\w.+-]{1,60})"', re.ASCII)
CHECKOUT = ours("all", "--comfyui", "DIR")


def check_checkout(ctx: Context, code: Path) -> Iterable[Finding]:
    """Somebody else's checkout, as it is: whole, or with what is missing in it."""
    if not (code / "main.py").is_file() and not (code / "comfy").is_dir():
        yield kinds.COMFYUI_GONE.blocked(
            str(code),
            f"The ComfyUI used by this install folder is no longer in {code}.",
            fix=Fix("Pass its new folder.", CHECKOUT),
        )
        return
    owner = git.stranger(code, ctx.machine.environ) if (code / ".git").exists() else None
    if owner is not None:
        yield _of_another_user(code, owner)
    state = _state(ctx, code)
    if state.locks:
        yield kinds.GIT_LOCK.fixable(
            str(state.locks[0]),
            f"A killed git left {state.locks[0]} behind, which blocks git.",
            fix=Fix("Remove the lock, if no git is running."),
        )
    yield _as_it_is(ctx, code, state)
    if state.head is None and owner is None:
        yield _without_git(code, state)
    elif state.missing:
        yield kinds.CLONE_PARTIAL.fixable(
            str(code),
            f"{len(state.missing)} files of ComfyUI are missing ({git.example(state.missing)}).",
            fix=Fix("Restore them from the repository; changed files stay."),
        )
    if state.modified:
        yield kinds.GIT_DIRTY.warn(
            str(code),
            f"{len(state.modified)} files of ComfyUI were changed ({git.example(state.modified)}); they are kept.",
        )


def _as_it_is(ctx: Context, code: Path, state: git.State) -> Finding:
    name, commit = version_of(code), commit_of(code, state)
    says = f"ComfyUI {name}{f' ({commit[:8]})' if state.head else ''} in {code}, not made by this tool"
    adopted = recorded(ctx.home.root) is not None
    if adopted and ctx.receipts.read("comfyui", ComfyReceipt).commit != commit:
        return kinds.COMFYUI_MOVED.fixable(
            str(code),
            f"{says}; it is used as is.",
            fix=Fix("Record the revision; no file changes."),
        )
    return kinds.COMFYUI_ADOPTED.ok(str(code), f"{says}{', used as is' if adopted else ''}", facts={"commit": commit})


def _without_git(code: Path, state: git.State) -> Finding:
    why = f"a .git that git cannot read ({state.trouble})" if state.trouble else "no .git (a zip download?)"
    return kinds.COMFYUI_NO_GIT.warn(
        str(code),
        f"{code} has {why}: ComfyUI runs, but changed files cannot be detected.",
        fix=Fix("To be able to update it, create a new checkout next to it; the model is kept.", ours("all")),
    )


def _of_another_user(code: Path, owner: int) -> Finding:
    return kinds.GIT_OWNER.warn(
        str(code),
        f"{code} belongs to user {owner}, not to you: git refuses to read it, so you cannot see which"
        " files were changed.",
        fix=Fix("If you trust it:", program("git", "config", "--global", "--add", "safe.directory", str(code))),
    )


def _state(ctx: Context, code: Path) -> git.State:
    """The checkout as git sees it; nothing where there is no git, or where git would refuse it for its owner."""
    if not (code / ".git").exists() or git.stranger(code, ctx.machine.environ) is not None:
        return git.State(None)
    return git.read_state(code)


def version_of(code: Path) -> str:
    """The version that a checkout says of itself (`v0.38.1`), `of an unknown version` where it says none."""
    return said_version(code) or "of an unknown version"


def said_version(code: Path) -> str:
    """The version that ComfyUI's source says of itself (`v0.38.1`), empty where it says none."""
    try:
        text = read_text(code / "comfyui_version.py")
    except (OSError, Unreadable):
        return ""
    found = VERSION.search(text)
    return f"v{found[1]}" if found else ""


def commit_of(code: Path, state: git.State) -> str:
    """What tells one state of a checkout from another: its commit, or version and day where there is no git."""
    return state.head or f"{version_of(code)} of {_day(code)[:10]}"


def _day(code: Path) -> str:
    """The newest change of its sources: a zip download has the day of its commit."""
    times = [path.stat().st_mtime for name in ("main.py", "nodes.py") if (path := code / name).is_file()]
    return datetime.fromtimestamp(max(times, default=0), UTC).isoformat(timespec="seconds")


def record_checkout(ctx: Context, code: Path) -> None:
    """Keep which revision was adopted, and of which day. Raises GitError, HomeError, DiskFull."""
    state = _state(ctx, code)
    commit = commit_of(code, state)
    date = git.commit_date(code, state.head) if state.head else _day(code)
    receipt = ComfyReceipt(
        ref="adopted", name=version_of(code), commit=commit, date=date, path=str(code), when=ctx.machine.timestamp()
    )
    ctx.receipts.write("comfyui", receipt)
