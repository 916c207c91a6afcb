"""Apple's Command Line Tools: how a person installs them, by Apple's window or where none can be shown."""

from __future__ import annotations

from provision.command import Command, Fix, program
from provision.system.machine import Machine

CLT = "/Library/Developer/CommandLineTools"
BY_WINDOW = program("xcode-select", "--install")
IN_PROGRESS = "/tmp/.com.apple.dt.CommandLineTools.installondemand.in-progress"  # noqa: S108  (Apple's name for it)
"""While this file is there, softwareupdate lists the tools too (as Homebrew's installer has it)."""
BY_SOFTWARE_UPDATE = (
    f'touch {IN_PROGRESS}; label=$(softwareupdate -l | sed -n "s/^.*Label: *\\(Command Line Tools.*\\)/\\1/p"'
    f' | sort -V | tail -n 1); softwareupdate -i "$label" --verbose; rm -f {IN_PROGRESS}'
)
DOWNLOADS = "https://developer.apple.com/download/all"
OVER_SSH = ("SSH_CONNECTION", "SSH_CLIENT", "SSH_TTY")


def installing(machine: Machine, first: str) -> Fix:
    """How the tools are installed on this Mac; `first` is what to do, without the way."""
    if any(machine.environ.get(name) for name in OVER_SSH):
        return Fix(f"{first} No window can be shown over SSH; this needs an administrator's password:", headless())
    return Fix(
        f"{first} A window opens, and it takes minutes; then run this again. If it says that the software is not"
        f" currently available from the Software Update server: {DOWNLOADS}",
        BY_WINDOW,
    )


def headless() -> Command:
    """Installs them without a window."""
    return program("sudo", "sh", "-c", BY_SOFTWARE_UPDATE)
