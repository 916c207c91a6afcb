"""Packages that an install which was cut short left half there.

uv lays down a package file by file, its metadata among them, and whoever is killed, or is refused one file, leaves some
of them. uv then takes the package for installed. So while it works a note lies in the home, and where the note is found
again each package whose list of files (RECORD) is missing or names one that is not there loses its metadata: it is not
installed, and is laid down anew over what is left of it.
"""

from __future__ import annotations

import csv
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from provision.core.home import Home
from provision.environment.generations import active
from provision.environment.packages import package_folders
from provision.system.strict import STATE_MAX_BYTES, Unreadable, read_file


def forget_torn(home: Home) -> None:
    """Take what a cut install left half there for not installed, in an environment of our own."""
    with suppress(OSError, Unreadable):
        env = read_file(home.installing).decode("utf-8", "replace")
        if home.venv_of_another is None and env == str(active(home)):
            for info in torn(active(home)):
                shutil.rmtree(info)
        home.installing.unlink()


def torn(venv: Path) -> Iterator[Path]:
    """The `*.dist-info` folders of packages that are not whole."""
    for folder in package_folders(venv):
        yield from [info for info in folder.glob("*.dist-info") if not _is_whole(info)]


def _is_whole(info: Path) -> bool:
    try:
        text = read_file(info / "RECORD", max_bytes=STATE_MAX_BYTES).decode("utf-8")
        names = [row[0] for row in csv.reader(text.splitlines()) if row]
    except (OSError, ValueError, csv.Error):
        return False
    return bool(names) and all((info.parent / name).exists() for name in names if not name.endswith(".pyc"))
