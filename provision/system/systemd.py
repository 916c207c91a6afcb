"""A unit of the person's own systemd (systemd.service(5)), and systemctl(1)."""

from __future__ import annotations

import json
import re
from pathlib import Path

from provision.command import Fix, ours
from provision.errors import CommandFailed, CommandMissing
from provision.system.login_item import OF, LoginItem
from provision.system.machine import Machine, Ran
from provision.system.strict import Unreadable, decode

SUFFIX = ".service"
ANY_NAME = ("/bin/sh", "-c", 'exec "$0" "$@"')
"""systemd starts no program with a quote or a backslash in its path."""
KNOWN = re.compile(r"^Item=(\{.*\})$", re.MULTILINE)


def folder(person: Path) -> Path:
    """Where a person's units are."""
    return person / ".config" / "systemd" / "user"


def written(item: LoginItem) -> bytes:
    """The unit's file. Only the main process is ended with it: ComfyUI is stopped by `stop` alone.

    systemd passes over sections that begin with X-.
    """
    known = {name: getattr(item, name) for name in ("program", "words", "home", "id", "log", "path")}
    return f"""\
[Unit]
Description=ComfyUI, started by provision

[Service]
Type=exec
ExecStart={" ".join(map(_argument, ANY_NAME + item.argv))}
Environment={_word(f"PATH={item.path}")} {_word(f"{OF}={item.id}")}
StandardOutput=append:{_path(item.log)}
StandardError=append:{_path(item.log)}
KillMode=process
Restart=on-abnormal
RestartSec=60

[Install]
WantedBy=default.target

[X-Provision]
Item={json.dumps(known)}
""".encode()


def _specifiers(text: str) -> str:
    return text.replace("%", "%%")


def _path(text: str) -> str:
    """A path behind which a line ends, so that it cannot have one in it."""
    return _specifiers(text).replace("\n", "")


def _word(text: str) -> str:
    """A word that systemd reads as it is (systemd.syntax(7), "Quoting")."""
    escaped = _specifiers(text).replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def _argument(text: str) -> str:
    """The same in a command line, where `$` is a variable's."""
    return _word(text).replace("$", "$$")


def read(data: bytes) -> LoginItem | None:
    """A unit of ours; None for anything else."""
    found = KNOWN.search(data.decode("utf-8", "replace"))
    try:
        return decode(found[1], LoginItem) if found else None
    except Unreadable:
        return None


def begin(machine: Machine, item: LoginItem, file: Path) -> None:
    """Enable a unit, which starts it now. Raises CommandFailed where the person has no systemd, Interrupted."""
    for words in (("daemon-reload",), ("enable", "--now", file.name)):
        ran = _systemctl(machine, *words)
        if ran is None or not ran.ok:
            why = "systemctl is missing" if ran is None else ran.tail(2) or ran.how
            raise CommandFailed(
                f"ComfyUI cannot start at login: no systemd runs for this user ({why}).",
                hint=Fix("Where a session has none, as in a container, start it there by:", ours("launch")),
            )


def end(machine: Machine, item: LoginItem, file: Path) -> None:
    """Disable a unit, as far as systemd runs, and remove it. Raises OSError, Interrupted."""
    _systemctl(machine, "disable", "--now", file.name)
    file.unlink(missing_ok=True)
    _systemctl(machine, "daemon-reload")


def _systemctl(machine: Machine, *words: str) -> Ran | None:
    try:
        return machine.run(["systemctl", "--user", *words], timeout_s=90)
    except CommandMissing:
        return None
