"""git: whether it is here, whether it must be, and what stands in its way."""

from __future__ import annotations

import os

from provision.command import Fix, program
from provision.core.finding import Finding
from provision.core.step import Context
from provision.download import kinds as download_kinds
from provision.download.backend import Program
from provision.download.backends.registry import needed
from provision.download.source_archive import has_archives
from provision.steps.tools import kinds
from provision.steps.tools.command_line_tools import installing, question
from provision.steps.tools.homebrew import missing
from provision.system.parsers import GitTrouble
from provision.system.which_git import GIT_MIN, FoundGit, find_git

WITHOUT = (
    "No working git, and none is needed: ComfyUI is downloaded as an archive. Custom nodes that are installed"
    " with git, and the git-lfs backend, would need it."
)


def check_git(ctx: Context, git: FoundGit) -> Finding:
    """What is said of git: whether it is here, and where it is not, whether that stands in the way."""
    if git.usable:
        seen = ".".join(map(str, git.version or ()))
        return kinds.GIT_READY.ok(str(git.path), f"git {seen}.", facts={"version": seen})
    lack = _trouble(ctx, git.trouble, git.selected) if git.trouble is not None else _no_git(ctx, git)
    return lack if needs_git(ctx) else lack.kind.ok(lack.subject, WITHOUT)


def lost_git(ctx: Context) -> Finding | None:
    """What stands in git's way where ComfyUI is a repository, which runs without git and is not updated."""
    if not _is_repository(ctx):
        return None
    found = find_git(ctx.machine)
    return None if found.usable else check_git(ctx, found)


def needs_git(ctx: Context) -> bool:
    """Whether git must be here: for a repository, for a source that comes in no other way, or for a backend."""
    if _is_repository(ctx) or any(map(by_git, needed_programs(ctx))):
        return True
    return ctx.home.code_of_another is None and not has_archives(ctx.manifest.comfyui.url)


def _is_repository(ctx: Context) -> bool:
    code = ctx.home.code_of_another or ctx.home.comfyui
    return os.path.lexists(code / ".git")


def _trouble(ctx: Context, trouble: GitTrouble, path: str) -> Finding:
    match trouble:
        case "clt-missing":
            return kinds.CLT_MISSING.fixable(
                "Command Line Tools",
                "Apple's Command Line Tools, which contain git, are missing.",
                fix=installing(ctx.machine, "Install Apple's Command Line Tools."),
                asks=question(ctx.machine),
            )
        case "xcode-license":
            return kinds.XCODE_LICENSE.blocked(
                "Xcode",
                "Git refuses to work until you have agreed to Xcode's license.",
                fix=Fix("Read it and agree.", program("sudo", "xcodebuild", "-license")),
            )
        case "clt-stale":
            says = (
                f"{path or 'A folder'} is selected as the place of Apple's tools, and they are not there any more (an"
                " upgrade of macOS removes them)."
            )
            if ".app/" in path:  # a deleted Xcode leaves its path selected
                reset = program("sudo", "xcode-select", "--reset")
                fix = Fix("Select the default folder, then run the same command again.", reset)
                return kinds.CLT_STALE.blocked("Command Line Tools", says, fix=fix)
            fix = installing(ctx.machine, "Install Apple's Command Line Tools again.")
            return kinds.CLT_STALE.fixable("Command Line Tools", says, fix=fix, asks=question(ctx.machine))


def _no_git(ctx: Context, git: FoundGit) -> Finding:
    if git.path is None:
        return missing(
            ctx, download_kinds.GIT_MISSING, "git", "git is not installed; it is needed to download ComfyUI."
        )
    if git.version is None:
        says = f"{git.path} does not answer as git does: {git.said}"
        return missing(ctx, download_kinds.GIT_MISSING, "git", says)
    seen, least = (".".join(map(str, version)) for version in (git.version, GIT_MIN))
    return missing(ctx, kinds.GIT_OLD, "git", f"git is {seen}; {least} or later is required.")


def needed_programs(ctx: Context) -> tuple[Program, ...]:
    """The programs that the backend asked for cannot do without."""
    return tuple(each for backend in needed(ctx.options.backend) for each in backend.needs)


def by_git(each: Program) -> bool:
    """Whether git runs it."""
    return each.ask[0] == "git"
