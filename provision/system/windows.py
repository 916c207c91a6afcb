"""Whether a window that is opened from here is seen by the person: only in a session at the Mac's own screen."""

from __future__ import annotations

from provision.system.machine import Machine

OVER_SSH = ("SSH_CONNECTION", "SSH_CLIENT", "SSH_TTY")
MANAGER = ("/bin/launchctl", "managername")
AQUA = "Aqua"
"""What launchd calls a session with a screen; over SSH, in cron and for daemons it is another (launchctl(1))."""


def why_no_window(machine: Machine) -> str:
    """Why nobody would see a window of this Mac; empty where somebody does."""
    if any(machine.environ.get(name) for name in OVER_SSH):
        return "No window can be shown over SSH"
    if machine.said(MANAGER).strip() != AQUA:
        return "No window can be shown: this session has no screen"
    return "" if machine.attended() else "No window is opened without a terminal"
