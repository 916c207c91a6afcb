"""Apple's Command Line Tools: installed after a yes, in a window of Apple's or, without one, by softwareupdate."""

from __future__ import annotations

import re

from provision.command import Command, Fix, program
from provision.core.finding import Finding
from provision.core.step import Context
from provision.errors import CommandFailed, ConsentNeeded, NotSatisfied
from provision.system.machine import Machine, Ran
from provision.system.which_git import lack_of_tools
from provision.system.windows import why_no_window

CLT = "/Library/Developer/CommandLineTools"
BY_WINDOW = program("xcode-select", "--install")
INSTALLER = "Install Command Line Developer Tools"
"""The program whose window it is; it ends with the installation, with what stops it, and where a person cancels."""
IN_PROGRESS = "/tmp/.com.apple.dt.CommandLineTools.installondemand.in-progress"  # noqa: S108  (Apple's name for it)
"""While this file is there, softwareupdate lists the tools too (as Homebrew's installer has it)."""
UNAVAILABLE = "not currently available from the Software Update server"
"""Apple's words, in the window."""
BY_SOFTWARE_UPDATE = (
    f'touch {IN_PROGRESS}; trap "rm -f {IN_PROGRESS}" EXIT; label=$(softwareupdate -l'
    ' | sed -n "s/^.*Label: *\\(Command Line Tools.*\\)/\\1/p" | sort -V | tail -n 1);'
    f' [ -n "$label" ] || {{ echo "The tools are {UNAVAILABLE}."; exit 1; }};'
    ' softwareupdate -i "$label" --verbose'
)
WITH_A_SIGN = '(while sleep 60 >/dev/null 2>&1; do echo; done) & sign=$!; "$@"; code=$?; kill "$sign"; exit "$code"'
"""Runs what may be silent for long while the system works for it: what says nothing is ended (see `listening`)."""
DOWNLOADS = "https://developer.apple.com/download/all"
BY_HAND = Fix(f"Download them from Apple (an Apple ID is needed): {DOWNLOADS}, then run the same command again.")
LIMIT_S, START_S, LOOK_S, SAY_S = 3600.0, 30.0, 2.0, 300.0
"""For the whole installation, for the window to open, between two looks, and between two notes that it goes on."""
FAILURES = (
    (rf"{UNAVAILABLE}|No such update|No updates are available", "Apple's server does not have them now.", BY_HAND),
    (
        r"(?i)can't connect to|appears to be offline|network connection was lost|timed out",
        "Apple's Software Update server cannot be reached.",
        Fix("Connect to the internet, then run the same command again."),
    ),
    (r"(?i)not enough (?:free )?(?:disk )?space|insufficient space", "The disk is full.", program("df", "-h", "/")),
)
"""What softwareupdate says where it fails, the sentence for it, and what to do."""
ASKS = r"sudo: a (?:password|terminal) is required"


def installing(machine: Machine, first: str) -> Fix:
    """How the tools are installed on this Mac; `first` is what to do, without the way."""
    if why := why_no_window(machine):
        return Fix(f"{first} {why}; this needs an administrator's password:", headless())
    return Fix(f"{first} A window of Apple's opens, and it takes minutes. If it fails: {DOWNLOADS}", BY_WINDOW)


def question(machine: Machine) -> str:
    """What is asked before."""
    how = "with softwareupdate and sudo" if why_no_window(machine) else "in a window of Apple's"
    return f"Install Apple's Command Line Tools, {how}?"


def headless() -> Command:
    """Installs them without a window."""
    return program("sudo", "sh", "-c", BY_SOFTWARE_UPDATE)


def install_tools(ctx: Context, finding: Finding) -> None:
    """Install them after a yes, and wait until they are there.

    Raises ConsentNeeded without one, NotSatisfied where the tools did not come in time, CommandFailed with the reason,
    CommandMissing, Interrupted.
    """
    if not (ctx.options.yes or finding.id in ctx.options.agreed or ctx.consent(question(ctx.machine))):
        raise ConsentNeeded("The Command Line Tools were not installed.", hint=finding.fix or BY_WINDOW)
    if why_no_window(ctx.machine):
        _by_software_update(ctx)
    else:
        _by_window(ctx)


def _by_window(ctx: Context) -> None:
    asked = ctx.machine.run([f"/usr/bin/{BY_WINDOW.argv[0]}", *BY_WINDOW.argv[1:]])
    if "already installed" in asked.tail():
        again = program("sudo", "rm", "-rf", CLT)
        raise CommandFailed(f"{CLT} is there, but damaged.", hint=Fix("Remove it, then run this again:", again))
    asked.check()
    ctx.note("Waiting for Apple's installer: click Install in its window ...", passing=True)
    begun = said = ctx.machine.clock()
    while (lack := lack_of_tools(ctx.machine)) is not None and lack.trouble != "xcode-license":
        now = ctx.machine.clock()
        if now - begun > LIMIT_S:
            raise NotSatisfied(f"Apple's installer was not done after {LIMIT_S / 60:.0f} minutes.", hint=BY_WINDOW)
        if now - begun > START_S and not ctx.machine.said(("/usr/bin/pgrep", "-f", INSTALLER)):
            says = f"the software is {UNAVAILABLE}, Apple's page has it"
            raise NotSatisfied(f"Apple's installer ended without the tools. If it said that {says}.", hint=BY_HAND)
        if now - said >= SAY_S:
            said = now
            minutes = f"{(now - begun) / 60:.0f} of at most {LIMIT_S / 60:.0f} minutes"
            ctx.note(f"Waiting for Apple's installer ({minutes}) ...", passing=True)
        ctx.machine.sleep(LOOK_S)


def _by_software_update(ctx: Context) -> None:
    ctx.note("Waiting for softwareupdate, which downloads and installs the tools ...", passing=True)
    sudo, *words = headless().argv
    argv = ("/bin/sh", "-c", WITH_A_SIGN, "sh", f"/usr/bin/{sudo}", "-n", *words)
    ran = ctx.machine.run(argv, timeout_s=LIMIT_S, on_line=ctx.output)
    if not ran.ok or lack_of_tools(ctx.machine) is not None:
        raise _failure(ran)


def _failure(ran: Ran) -> CommandFailed:
    """Why they did not come, from all that was said."""
    told = f"{ran.out}\n{ran.err}"
    if re.search(ASKS, told):
        says = "Installing Apple's tools needs an administrator's password, which provision does not read."
        return CommandFailed(says, hint=Fix("Run this yourself:", headless()))
    for pattern, says, fix in FAILURES:
        if re.search(pattern, told):
            return CommandFailed(f"softwareupdate did not install Apple's tools. {says}", hint=fix)
    how = ran.how if not ran.ok else "ended well, and the tools are not there"
    return CommandFailed(f"softwareupdate {how}:\n{ran.tail()}", hint=BY_HAND)
