"""A sandbox for a program under test: the system lets it, and all that it starts, write only below some folders.

Landlock on Linux, sandbox-exec(1) on macOS. Where the system has neither, untrusted code must not be started.
"""

from __future__ import annotations

import sys
from pathlib import Path

from provision.comfyui import sandbox_program
from provision.system.machine import Machine

SANDBOX = "/usr/bin/sandbox-exec"
PROFILE = """(version 1)(allow default)(deny file-write*)
(allow file-write* (subpath "/dev") (subpath (param "OPEN")) (subpath (param "CACHE")))"""
CACHE = ("/usr/bin/getconf", "DARWIN_USER_CACHE_DIR")
"""Where Metal keeps its compiled shaders."""


def can_fence(machine: Machine) -> bool:
    """Whether this system can: not within another sandbox on a Mac, nor on Linux before 6.2."""
    if machine.system != "Darwin":
        return sandbox_program.version() >= sandbox_program.LEAST
    return Path(SANDBOX).exists() and machine.run([SANDBOX, "-p", "(version 1)(allow default)", "/usr/bin/true"]).ok


def fenced(machine: Machine, argv: tuple[str, ...], folder: Path) -> tuple[str, ...]:
    """The command that runs `argv` with write access only below `folder` and to devices."""
    runner = (sys.executable, "-I", "-S", sandbox_program.__file__, str(folder), "/dev", "--")
    if machine.system != "Darwin":
        return (*runner, *argv)
    told = machine.run(CACHE)
    cache = Path(told.out.strip() if told.ok and told.out.strip() else folder).resolve()
    return (*runner, SANDBOX, "-D", f"OPEN={folder.resolve()}", "-D", f"CACHE={cache}", "-p", PROFILE, *argv)
