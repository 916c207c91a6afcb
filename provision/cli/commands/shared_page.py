"""Pages that a person gives to others: where they may be written, and what of the person must not be in them."""

from __future__ import annotations

import os
import platform
import pwd
import re
import socket
from pathlib import Path

from provision.command import Command, Fix
from provision.core.step import Context
from provision.download.hub.token import token_of
from provision.errors import UsageError
from provision.output.report.redact import Person
from provision.system.disk_errors import unusable
from provision.system.strict import read_head

FIRST_NAME_LEAST = 3
SECRET_LEAST = 6
SECRET_NAMES = re.compile(r"(?i)token|secret|passw|passphrase|api_?key|credential|_(?:key|auth|pwd|pass|dsn|webhook)$")


def check_place(path: Path, mark: str, again: Command) -> None:
    """Refuse to overwrite what does not begin with `mark`, as our pages do. Raises UsageError."""
    if not path.parent.is_dir():
        raise UsageError(f"No such folder: {path.parent}.", hint=Fix("Choose another file:", again))
    if path.is_dir() or (path.exists() and read_head(path, len(mark)) != mark.encode()):
        raise UsageError(
            f"{path} already exists and is not a report of provision.", hint=Fix("Choose another file:", again)
        )


def write_page(path: Path, page: str) -> None:
    """Write a page. Raises HomeError, DiskFull."""
    try:
        path.write_text(page, encoding="utf-8")
    except OSError as error:
        raise unusable(path, error) from error


def person_of(ctx: Context) -> Person:
    """What this machine knows of the person who uses it."""
    given = ctx.machine.environ
    folders, names = [given.get("HOME", "")], [given.get(name, "") for name in ("USER", "LOGNAME", "SUDO_USER")]
    try:
        entry = pwd.getpwuid(os.getuid())
    except KeyError:  # a user without an entry, as in containers
        pass
    else:
        folders.append(entry.pw_dir)
        person = entry.pw_gecos.split(",")[0]
        names += [entry.pw_name, person, *(word for word in person.split() if len(word) >= FIRST_NAME_LEAST)]
    hosts = {socket.gethostname(), platform.node(), given.get("HOSTNAME", "")}
    secrets = [value for name, value in given.items() if SECRET_NAMES.search(name) and len(value) >= SECRET_LEAST]
    known = [folder for folder in folders if folder not in ("", "/")]
    return Person(
        folders=tuple(form for folder in known for form in (folder, os.path.realpath(folder))),
        names=tuple(name.strip() for name in names),
        hosts=tuple(hosts | {host.split(".")[0] for host in hosts}),
        secrets=(token_of(ctx) or "", *secrets),
    )
