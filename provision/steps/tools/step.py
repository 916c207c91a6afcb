"""The programs that the other steps call: git always, what a backend needs when that one is asked for."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from provision.comfyui.safetensors import POINTER
from provision.command import Command, Fix, ours, program
from provision.core.finding import Finding, Kind, Verdict
from provision.core.step import Context, Step
from provision.download import kinds as download_kinds
from provision.download.backend import Program
from provision.download.backends.registry import needed
from provision.download.model_files import wanted_files
from provision.download.source_archive import has_archives
from provision.errors import CommandMissing, ConsentNeeded
from provision.steps.tools import kinds
from provision.steps.tools.git_configuration import check_configuration
from provision.steps.tools.network import check_network, model_hosts, needed_hosts
from provision.system.git_program import environment
from provision.system.machine import Ran
from provision.system.parsers import GitTrouble, Version
from provision.system.strict import read_head
from provision.system.which_git import GIT_MIN, FoundGit, find_git

INSTALL_TIMEOUT_S = 1800
INTEL_BREW = Path("/usr/local/bin")
OWN_BREW = Path("/opt/homebrew/bin/brew")
CLT = "/Library/Developer/CommandLineTools"
INSTALL_CLT = program("xcode-select", "--install")
WITHOUT = (
    "There is no git here that works, and none is needed: ComfyUI comes as an archive. Custom nodes that are installed"
    " by git, and the backend git-lfs, would need it."
)
PACKAGE_MANAGERS = (
    ("apt-get", ("install", "-y")),
    ("dnf", ("install", "-y")),
    ("pacman", ("-S", "--noconfirm")),
    ("zypper", ("install", "-y")),
    ("apk", ("add",)),
)


def check_tools(ctx: Context) -> Iterable[Finding]:
    """Are the programs here, new enough, and the real ones?"""
    git = find_git(ctx.machine)
    lack = _check_git(ctx, git)
    yield lack
    if git.trouble is not None and lack.verdict is not Verdict.OK:
        return
    for each in _needed(ctx):
        if git.usable or not _by_git(each):
            yield _check_program(ctx, each, git)
    brew = ctx.machine.which("brew")
    if ctx.machine.system == "Darwin" and brew is None:
        yield kinds.BREW_MISSING.ok("Homebrew", "Homebrew is not here, and is not needed.")
    if _is_of_intel(ctx, brew):
        says = f"Homebrew at {brew} is for Intel, which Homebrew supports no longer: it installs nothing new."
        yield kinds.BREW_PREFIX.ok("Homebrew", says, detail=git.usable)
    if git.usable:
        yield from check_configuration(ctx, git)
        yield from _check_lfs_hooks(ctx, git)


def apply_tools(ctx: Context, finding: Finding) -> None:
    """Install what is missing with Homebrew, after a yes.

    Raises ConsentNeeded without one, CommandMissing when Homebrew went away, CommandFailed when it fails.
    """
    formula, brew = finding.subject, ctx.machine.which("brew")
    if brew is None:
        raise CommandMissing("Homebrew is not here any more.", hint=_hint(finding))
    if not (ctx.options.yes or finding.id in ctx.options.agreed or ctx.consent(_question(formula))):
        raise ConsentNeeded(f"{formula} was not installed.", hint=_hint(finding))
    ctx.machine.run(
        [brew, "install", formula],
        env={"NONINTERACTIVE": "1", "HOMEBREW_NO_AUTO_UPDATE": "1", "HOMEBREW_NO_ENV_HINTS": "1"},
        timeout_s=INSTALL_TIMEOUT_S,
        on_line=ctx.output,
    ).check()


def _question(formula: str) -> str:
    return f"Install {formula} with Homebrew?"


def _hint(finding: Finding) -> Fix | Command:
    return finding.fix or ours("plan")


# -- git ------------------------------------------------------------------------------------------------


def _check_git(ctx: Context, git: FoundGit) -> Finding:
    """What is said of git: whether it is here, and where it is not, whether that stands in the way."""
    if git.usable:
        seen = ".".join(map(str, git.version or ()))
        return kinds.GIT_READY.ok(str(git.path), f"git {seen}.", facts={"version": seen})
    lack = _trouble(git.trouble, git.selected) if git.trouble is not None else _no_git(ctx, git)
    return lack if needs_git(ctx) else lack.kind.ok(lack.subject, WITHOUT)


def needs_git(ctx: Context) -> bool:
    """Whether git must be here: for a repository, for a source that comes in no other way, or for a backend."""
    home, url = ctx.home, ctx.manifest.comfyui.url
    code = home.code_of_another or home.comfyui
    if os.path.lexists(code / ".git") or any(map(_by_git, _needed(ctx))):
        return True
    return home.code_of_another is None and not has_archives(url)


def _trouble(trouble: GitTrouble, path: str) -> Finding:
    match trouble:
        case "clt-missing":
            return kinds.CLT_MISSING.blocked(
                "Command Line Tools",
                "Apple's Command Line Tools, which bring git, are missing.",
                fix=Fix("Install them (a window opens; it takes minutes), then run this again.", INSTALL_CLT),
            )
        case "xcode-license":
            return kinds.XCODE_LICENSE.blocked(
                "Xcode",
                "Git refuses to work until you have agreed to Xcode's license.",
                fix=Fix("Read it and agree.", program("sudo", "xcodebuild", "-license")),
            )
        case "clt-stale":
            fix = Fix(f"Install them again; if it says that they are there, first: sudo rm -rf {CLT}", INSTALL_CLT)
            if ".app/" in path:  # a deleted Xcode leaves its path selected
                fix = Fix("Select the default place, then run this again.", program("sudo", "xcode-select", "--reset"))
            return kinds.CLT_STALE.blocked(
                "Command Line Tools",
                f"{path or 'A folder'} is selected as the place of Apple's tools, and they are not there any more (an"
                " upgrade of macOS removes them).",
                fix=fix,
            )


def _no_git(ctx: Context, git: FoundGit) -> Finding:
    if git.path is None:
        return _missing(ctx, download_kinds.GIT_MISSING, "git", "git is not on this machine; it brings ComfyUI.")
    if git.version is None:
        says = f"{git.path} does not answer as git does: {git.said}"
        return _missing(ctx, download_kinds.GIT_MISSING, "git", says)
    seen, needed = (".".join(map(str, version)) for version in (git.version, GIT_MIN))
    return _missing(ctx, kinds.GIT_OLD, "git", f"git is {seen}; {needed} or later is needed.")


# -- what a backend needs -------------------------------------------------------------------------------


def _needed(ctx: Context) -> tuple[Program, ...]:
    return tuple(each for backend in needed(ctx.options.backend) for each in backend.needs)


def _by_git(each: Program) -> bool:
    """Whether git runs it."""
    return each.ask[0] == "git"


def _check_program(ctx: Context, each: Program, git: FoundGit) -> Finding:
    name, asked = each.name, git.path if _by_git(each) else ctx.machine.which(each.ask[0])
    said = None if asked is None else _run(ctx, (str(asked), *each.ask[1:]), environment())
    version, path = None if said is None else _version(said, each.parse), ctx.machine.which(name)
    if version is None:
        why = "is not on this machine" if path is None else f"at {path} is not {each.is_not}"
        says = f"{name} {why}; the backend {ctx.options.backend} needs it."
        return _missing(ctx, each.missing, name, says)
    seen = ".".join(map(str, version))
    return each.ready.ok(str(path or name), f"{name} {seen}.", facts={"version": seen})


def _check_lfs_hooks(ctx: Context, git: FoundGit) -> Iterable[Finding]:
    """Why git left its note in a model's place: git-lfs was never set up for this person, or is told to do so."""
    if not any(_is_pointer(wanted.place) for wanted in wanted_files(ctx)):
        return
    skips = "GIT_LFS_SKIP_SMUDGE" in ctx.machine.environ
    asked = (str(git.path), "config", "--get", "filter.lfs.smudge")
    if skips or not _run(ctx, asked, environment(persons=ctx.machine.environ)).out.strip():
        why = "GIT_LFS_SKIP_SMUDGE is set" if skips else "git-lfs was never set up here"
        says = f"{why}: a clone by hand brings notes of 135 bytes in place of the models. This tool does without."
        fix = Fix(
            "For clones by hand.",
            program("unset", "GIT_LFS_SKIP_SMUDGE") if skips else program("git", "lfs", "install"),
        )
        yield kinds.LFS_UNINIT.warn("git-lfs", says, fix=fix)


def _is_pointer(path: Path) -> bool:
    return read_head(path, len(POINTER)) == POINTER


def _missing(ctx: Context, kind: Kind, formula: str, says: str) -> Finding:
    """FIXABLE where Homebrew can bring it; else BLOCKED, with the command of this machine."""
    only_of_a_backend = formula != "git"
    other = " Or take another way to download: --backend auto." if only_of_a_backend else ""
    if ctx.machine.system == "Darwin":
        brew = ctx.machine.which("brew")
        if _is_of_intel(ctx, brew):
            return kind.blocked(formula, says, fix=_past_intel(ctx, formula))
        if brew is not None:
            fix = Fix(f"Install {formula} with Homebrew.{other}", program("brew", "install", formula))
            return kind.fixable(formula, says, fix=fix, asks=_question(formula))
        if formula == "git":
            return kind.blocked(formula, says, fix=Fix("Install Apple's Command Line Tools.", INSTALL_CLT))
        if only_of_a_backend:
            fix = Fix(
                f"There is no Homebrew (https://brew.sh) to bring {formula}. Take another way to download.",
                ours("all", "--backend", "auto"),
            )
            return kind.blocked(formula, says, fix=fix)
    return kind.blocked(formula, says, fix=Fix(f"Install {formula}.{other}", _install_command(ctx, formula)))


def _past_intel(ctx: Context, formula: str) -> Fix:
    """What to do where Homebrew is the one for Intel.

    It ended in September 2026: no bottles are made any more, and its installer refuses (Homebrew/install, pull request
    1140).
    """
    own = ctx.machine.which(str(OWN_BREW))
    if own is not None:
        return Fix("Use the Homebrew for Apple silicon that is here too:", program(str(own), "install", formula))
    if formula == "git":
        return Fix("Install Apple's Command Line Tools, which have git.", INSTALL_CLT)
    return Fix(
        f"Homebrew for Intel has ended. For {formula}, install Homebrew for Apple silicon (https://brew.sh, in "
        f"{OWN_BREW.parent.parent}); or use another way to download:",
        ours("all", "--backend", "auto"),
    )


def _is_of_intel(ctx: Context, brew: Path | None) -> bool:
    """Whether a Homebrew is Intel's on Apple silicon, as one that was moved over from an older Mac."""
    return (
        brew is not None
        and ctx.machine.system == "Darwin"
        and brew.parent == INTEL_BREW
        and (ctx.machine.arch == "arm64")
    )


def _install_command(ctx: Context, package: str) -> Command | None:
    sudo = ("sudo",) if ctx.machine.which("sudo") is not None else ()
    for manager, words in PACKAGE_MANAGERS:
        if ctx.machine.which(manager) is not None:
            return program(*sudo, manager, *words, package)
    return None


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
    programs = _needed(ctx)
    if any(map(_by_git, programs)):
        yield from check_tools(ctx)
    else:
        yield from (_check_program(ctx, each, FoundGit()) for each in programs)
    yield from check_network(ctx, model_hosts(ctx))


TOOLS = Step(
    "tools",
    needs=("hardware",),
    check=check_tools_and_hosts,
    apply=apply_tools,
    about="git; git-lfs or wget for their backend; the hosts that are needed",
)
DOWNLOAD_TOOLS = Step("tools", needs=(), check=check_download_tools, apply=apply_tools)
