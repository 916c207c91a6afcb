"""The programs that the other steps call: git always, what a backend needs when that one is asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from provision.comfyui.safetensors import POINTER
from provision.command import Command, Fix, ours, program
from provision.core.finding import Finding, Kind
from provision.core.step import Context, Step
from provision.download import kinds as download_kinds
from provision.download.backend import Program
from provision.download.backends.registry import needed
from provision.download.model_files import wanted_files
from provision.errors import CommandMissing, ConsentNeeded
from provision.steps.tools import kinds
from provision.steps.tools.git_configuration import check_configuration
from provision.steps.tools.network import check_network, model_hosts, needed_hosts
from provision.system import parsers
from provision.system.git_program import environment
from provision.system.machine import Ran
from provision.system.parsers import GitTrouble, Version
from provision.system.strict import read_head

GIT_MIN: Version = (2, 32)
"""From it on git can be told to leave the person's own configuration out (GIT_CONFIG_GLOBAL; its release notes)."""
INSTALL_TIMEOUT_S = 1800
INTEL_BREW = Path("/usr/local/bin")
OWN_BREW = Path("/opt/homebrew/bin/brew")
STUB_FOLDER = Path("/usr/bin")
XCODE_SELECT = ("/usr/bin/xcode-select", "-p")
CLT = "/Library/Developer/CommandLineTools"
INSTALL_CLT = program("xcode-select", "--install")
PACKAGE_MANAGERS = (
    ("apt-get", ("install", "-y")),
    ("dnf", ("install", "-y")),
    ("pacman", ("-S", "--noconfirm")),
    ("zypper", ("install", "-y")),
    ("apk", ("add",)),
)


def check_tools(ctx: Context) -> Iterable[Finding]:
    """Are the programs here, new enough, and the real ones?"""
    git = ctx.machine.which("git")
    trouble = _apple_trouble(ctx, git)
    if trouble is not None:
        yield trouble
        return
    found = _check_git(ctx, git)
    yield from found
    works = all(finding.kind == kinds.GIT_READY for finding in found)
    for each in _needed(ctx):
        if works or not _by_git(each):
            yield _check_program(ctx, each)
    brew = ctx.machine.which("brew")
    if ctx.machine.system == "Darwin" and brew is None:
        yield kinds.BREW_MISSING.ok("Homebrew", "Homebrew is not here, and is not needed.")
    if _is_of_intel(ctx, brew):
        says = f"Homebrew at {brew} is for Intel, which Homebrew supports no longer: it installs nothing new."
        yield kinds.BREW_PREFIX.ok("Homebrew", says, detail=works)
    if works:
        yield from check_configuration(ctx)
        yield from _check_lfs_hooks(ctx)


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


def _apple_trouble(ctx: Context, git: Path | None) -> Finding | None:
    """What is wrong with Apple's tools, where git is only their stub.

    Looked at before git is ever run: without the tools the stub opens a dialog instead of answering.
    """
    if ctx.machine.system != "Darwin" or git is None or git.parent != STUB_FOLDER:
        return None
    said = _run(ctx, XCODE_SELECT)
    try:
        tools = parsers.parse_xcode_select(said.code, said.out, said.err)
    except ValueError:
        return _trouble("clt-missing", "")
    if tools.state == "missing" or tools.path is None:
        return _trouble("clt-missing", "")
    if tools.state == "stale" or ctx.machine.which(f"{tools.path}/usr/bin/xcrun") is None:
        return _trouble("clt-stale", tools.path)
    return None


def _trouble(trouble: GitTrouble, path: str) -> Finding:
    if trouble == "clt-missing":
        return kinds.CLT_MISSING.blocked(
            "Command Line Tools",
            "Apple's Command Line Tools, which bring git, are missing.",
            fix=Fix("Install them (a window opens; it takes minutes), then run this again.", INSTALL_CLT),
        )
    if trouble == "xcode-license":
        return kinds.XCODE_LICENSE.blocked(
            "Xcode",
            "Git refuses to work until you have agreed to Xcode's license.",
            fix=Fix("Read it and agree.", program("sudo", "xcodebuild", "-license")),
        )
    fix = Fix(f"Install them again; if it says that they are there, first: sudo rm -rf {CLT}", INSTALL_CLT)
    if ".app/" in path:  # a deleted Xcode leaves its path selected
        fix = Fix("Select the default place, then run this again.", program("sudo", "xcode-select", "--reset"))
    return kinds.CLT_STALE.blocked(
        "Command Line Tools",
        f"{path or 'A folder'} is selected as the place of Apple's tools, and "
        "they are not there any more (an upgrade of macOS removes them).",
        fix=fix,
    )


def _check_git(ctx: Context, git: Path | None) -> list[Finding]:
    if git is None:
        return [_missing(ctx, download_kinds.GIT_MISSING, "git", "git is not on this machine; it brings ComfyUI.")]
    said = _run(ctx, (str(git), "--version"), environment())
    trouble = parsers.parse_git_trouble(said.code, said.err) if ctx.machine.system == "Darwin" else None
    if trouble is not None:
        return [_trouble(trouble, "")]
    version = _version(said, parsers.parse_git_version)
    if version is None:
        return [_missing(ctx, download_kinds.GIT_MISSING, "git", f"{git} does not answer as git does: {_first(said)}")]
    seen = ".".join(map(str, version))
    if version < GIT_MIN:
        needed = ".".join(map(str, GIT_MIN))
        return [_missing(ctx, kinds.GIT_OLD, "git", f"git is {seen}; {needed} or later is needed.")]
    return [kinds.GIT_READY.ok(str(git), f"git {seen}.", facts={"version": seen})]


# -- what a backend needs -------------------------------------------------------------------------------


def _needed(ctx: Context) -> tuple[Program, ...]:
    return tuple(each for backend in needed(ctx.options.backend) for each in backend.needs)


def _by_git(each: Program) -> bool:
    """Whether git runs it."""
    return each.ask[0] == "git"


def _check_program(ctx: Context, each: Program) -> Finding:
    name, asked = each.name, ctx.machine.which(each.ask[0])
    said = None if asked is None else _run(ctx, (str(asked), *each.ask[1:]), environment())
    version, path = None if said is None else _version(said, each.parse), ctx.machine.which(name)
    if version is None:
        why = "is not on this machine" if path is None else f"at {path} is not {each.is_not}"
        says = f"{name} {why}; the backend {ctx.options.backend} needs it."
        return _missing(ctx, each.missing, name, says)
    seen = ".".join(map(str, version))
    return each.ready.ok(str(path or name), f"{name} {seen}.", facts={"version": seen})


def _check_lfs_hooks(ctx: Context) -> Iterable[Finding]:
    """Why git left its note in a model's place: git-lfs was never set up for this person, or is told to do so."""
    if not any(_is_pointer(wanted.place) for wanted in wanted_files(ctx)):
        return
    git = str(ctx.machine.which("git") or "git")
    skips = "GIT_LFS_SKIP_SMUDGE" in ctx.machine.environ
    asked = (git, "config", "--get", "filter.lfs.smudge")
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


def _first(said: Ran) -> str:
    lines = said.tail().splitlines()
    return lines[0] if lines else f"it said nothing and ended with {said.code}."


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
        yield from (_check_program(ctx, each) for each in programs)
    yield from check_network(ctx, model_hosts(ctx))


TOOLS = Step(
    "tools",
    needs=("hardware",),
    check=check_tools_and_hosts,
    apply=apply_tools,
    about="git; git-lfs or wget for their backend; the hosts that are needed",
)
DOWNLOAD_TOOLS = Step("tools", needs=(), check=check_download_tools, apply=apply_tools)
