"""A LaunchAgent (launchd.plist(5)), and launchctl(1)."""

from __future__ import annotations

import os
import plistlib
from pathlib import Path
from typing import TypeVar
from xml.parsers.expat import ExpatError

from provision.command import Fix
from provision.errors import CommandFailed
from provision.system.login_item import OF, LoginItem, from_argv
from provision.system.machine import Machine, Ran

SUFFIX = ".plist"
THROTTLE_S = 60
TRIES = 6
AGAIN_S = 0.5
"""launchd removes a job in the background, and refuses the same one meanwhile (error 5)."""
T = TypeVar("T")


def folder(person: Path) -> Path:
    """Where a person's agents are."""
    return person / "Library" / "LaunchAgents"


def written(item: LoginItem) -> bytes:
    """The agent's file: started at login, and again only where it crashed; not slowed down as background work is."""
    return plistlib.dumps(
        {
            "Label": item.name,
            "ProgramArguments": list(item.argv),
            "RunAtLoad": True,
            "KeepAlive": {"Crashed": True},
            "ThrottleInterval": THROTTLE_S,
            "ProcessType": "Interactive",
            "WorkingDirectory": "/",
            "StandardOutPath": item.log,
            "StandardErrorPath": item.log,
            "EnvironmentVariables": {"PATH": item.path, OF: item.id},
        }
    )


def read(data: bytes) -> LoginItem | None:
    """An agent of ours; None for anything else."""
    try:
        found = plistlib.loads(data)
    except (ValueError, ExpatError, plistlib.InvalidFileException, RecursionError, OverflowError):
        return None
    argv, env = _get(found, "ProgramArguments", list), _get(found, "EnvironmentVariables", dict)
    words = [word for word in argv or () if isinstance(word, str)]
    id, path = (_get(env, key, str) or "" for key in (OF, "PATH"))
    return from_argv(words, id, _get(found, "StandardOutPath", str) or "", path)


def _get(table: object, key: str, kind: type[T]) -> T | None:
    value = table.get(key) if isinstance(table, dict) else None
    return value if isinstance(value, kind) else None


def begin(machine: Machine, item: LoginItem, file: Path) -> None:
    """Load an agent, which starts it now. Raises CommandFailed, CommandMissing, Interrupted."""
    _unload(machine, item)
    for _ in range(TRIES):
        ran = _launchctl(machine, "bootstrap", _domain(), str(file))
        if ran.ok or ran.code not in (5, 37):
            break
        machine.sleep(AGAIN_S)
    if not ran.ok:
        raise CommandFailed(
            f"launchctl did not load {file} ({ran.how}): {ran.tail(2) or 'it gave no reason'}",
            hint=Fix(
                "Run the command in Terminal on this Mac itself, not over ssh; and see System Settings, General,"
                " Login Items, whether it is allowed in the background."
            ),
        )


def end(machine: Machine, item: LoginItem, file: Path) -> None:
    """Unload an agent, if it is loaded, and remove it. Raises OSError, CommandMissing, Interrupted."""
    _unload(machine, item)
    file.unlink(missing_ok=True)


def _unload(machine: Machine, item: LoginItem) -> None:
    _launchctl(machine, "bootout", f"{_domain()}/{item.name}")


def _domain() -> str:
    """Where the agents of the person who is logged in at the screen run."""
    return f"gui/{os.getuid()}"


def _launchctl(machine: Machine, *words: str) -> Ran:
    return machine.run(["launchctl", *words], timeout_s=30)
