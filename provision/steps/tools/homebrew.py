"""Homebrew and the package managers of other systems: how a program that is missing comes."""

from __future__ import annotations

from pathlib import Path

from provision.command import Command, Fix, ours, program
from provision.core.finding import Finding, Kind
from provision.core.step import Context
from provision.errors import CommandMissing, ConsentNeeded

INSTALL_TIMEOUT_S = 1800
INTEL_BREW = Path("/usr/local/bin")
OWN_BREW = Path("/opt/homebrew/bin/brew")
INSTALL_CLT = program("xcode-select", "--install")
PACKAGE_MANAGERS = (
    ("apt-get", ("install", "-y")),
    ("dnf", ("install", "-y")),
    ("pacman", ("-S", "--noconfirm")),
    ("zypper", ("install", "-y")),
    ("apk", ("add",)),
)


def missing(ctx: Context, kind: Kind, formula: str, says: str) -> Finding:
    """FIXABLE where Homebrew can bring it; else BLOCKED, with the command of this machine."""
    only_of_a_backend = formula != "git"
    other = " Or take another way to download: --backend auto." if only_of_a_backend else ""
    if ctx.machine.system == "Darwin":
        brew = ctx.machine.which("brew")
        if is_of_intel(ctx, brew):
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


def is_of_intel(ctx: Context, brew: Path | None) -> bool:
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


def install_with_brew(ctx: Context, finding: Finding) -> None:
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
