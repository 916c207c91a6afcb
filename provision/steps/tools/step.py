"""The programs that the other steps call: git where it is needed, what a backend needs when that one is asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from provision.comfyui.safetensors import POINTER
from provision.command import Fix, program
from provision.core.finding import Finding, Verdict
from provision.core.step import Context, Step
from provision.download.backend import Program
from provision.download.model_files import wanted_files
from provision.errors import CommandMissing
from provision.steps.tools import kinds
from provision.steps.tools.command_line_tools import install_tools
from provision.steps.tools.git import by_git, check_git, needed_programs
from provision.steps.tools.git_configuration import check_configuration
from provision.steps.tools.homebrew import install_with_brew, is_of_intel, missing
from provision.steps.tools.network import check_network, model_hosts, needed_hosts
from provision.system.git_program import environment
from provision.system.machine import Ran
from provision.system.parsers import Version
from provision.system.strict import read_head
from provision.system.which_git import FoundGit, find_git


def check_tools(ctx: Context) -> Iterable[Finding]:
    """Are the programs here, new enough, and the real ones?"""
    git = find_git(ctx.machine)
    lack = check_git(ctx, git)
    yield lack
    if git.trouble is not None and lack.verdict is not Verdict.OK:
        return
    for each in needed_programs(ctx):
        if git.usable or not by_git(each):
            yield _check_program(ctx, each, git)
    brew = ctx.machine.which("brew")
    if ctx.machine.system == "Darwin" and brew is None:
        yield kinds.BREW_MISSING.ok("Homebrew", "Homebrew is not installed (optional).")
    if is_of_intel(ctx, brew):
        says = f"Homebrew at {brew} is for Intel, which Homebrew no longer supports: it cannot install anything new."
        yield kinds.BREW_PREFIX.ok("Homebrew", says, detail=git.usable)
    if git.usable:
        yield from check_configuration(ctx)
        yield from _check_lfs_hooks(ctx, git)


# -- what a backend needs -------------------------------------------------------------------------------


def _check_program(ctx: Context, each: Program, git: FoundGit) -> Finding:
    name, asked = each.name, git.path if by_git(each) else ctx.machine.which(each.ask[0])
    said = None if asked is None else _run(ctx, (str(asked), *each.ask[1:]), environment())
    version, path = None if said is None else _version(said, each.parse), ctx.machine.which(name)
    if version is None:
        why = "is not on this machine" if path is None else f"at {path} is not {each.is_not}"
        says = f"{name} {why}; the {ctx.options.backend} backend needs it."
        return missing(ctx, each.missing, name, says)
    seen = ".".join(map(str, version))
    return each.ready.ok(str(path or name), f"{name} {seen}.", facts={"version": seen})


def _check_lfs_hooks(ctx: Context, git: FoundGit) -> Iterable[Finding]:
    """Why git left its note in a model's place: git-lfs was never set up for this person, or is told to do so."""
    if not any(_is_pointer(wanted.place) for wanted in wanted_files(ctx)):
        return
    skips = "GIT_LFS_SKIP_SMUDGE" in ctx.machine.environ
    asked = (str(git.path), "config", "--get", "filter.lfs.smudge")
    if skips or not _run(ctx, asked, environment(persons=ctx.machine.environ)).out.strip():
        why = "GIT_LFS_SKIP_SMUDGE is set" if skips else "git-lfs is not set up"
        says = f"{why}: cloning by hand gets 135-byte pointers instead of the models. provision does not need it."
        fix = Fix(
            "For cloning by hand.",
            program("unset", "GIT_LFS_SKIP_SMUDGE") if skips else program("git", "lfs", "install"),
        )
        yield kinds.LFS_UNINIT.warn("git-lfs", says, fix=fix)


def _is_pointer(path: Path) -> bool:
    return read_head(path, len(POINTER)) == POINTER


# -- running --------------------------------------------------------------------------------------------


def _run(ctx: Context, argv: tuple[str, ...], env: Mapping[str, str] | None = None) -> Ran:
    try:
        return ctx.machine.run(argv, env=env, timeout_s=20)
    except CommandMissing as error:
        return Ran(argv, 127, "", error.message)


def _version(said: Ran, parse: Callable[[str], Version]) -> Version | None:
    """What a program that ended well calls itself; None when it is not the one that was looked for."""
    if not said.ok:
        return None
    try:
        return parse(said.out)
    except ValueError:
        return None


def check_tools_and_hosts(ctx: Context) -> Iterable[Finding]:
    """The programs, then the hosts from which something that is missing would come."""
    yield from check_tools(ctx)
    yield from check_network(ctx, needed_hosts(ctx))


def check_download_tools(ctx: Context) -> Iterable[Finding]:
    """What a download alone needs: the program of its backend, and the hub."""
    programs = needed_programs(ctx)
    if any(map(by_git, programs)):
        yield from check_tools(ctx)
    else:
        yield from (_check_program(ctx, each, FoundGit()) for each in programs)
    yield from check_network(ctx, model_hosts(ctx))


def apply_tools(ctx: Context, finding: Finding) -> None:
    """Install what is missing, after a yes. Raises what `install_tools` and `install_with_brew` raise."""
    by_apple = finding.kind in (kinds.CLT_MISSING, kinds.CLT_STALE)
    (install_tools if by_apple else install_with_brew)(ctx, finding)


TOOLS = Step(
    "tools",
    needs=("hardware",),
    check=check_tools_and_hosts,
    apply=apply_tools,
    about="git and the network",
)
DOWNLOAD_TOOLS = Step("tools", needs=(), check=check_download_tools, apply=apply_tools)
