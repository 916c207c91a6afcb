"""ComfyUI's database, `user/comfyui.db`, when its revision changes.

A newer ComfyUI changes the tables of the database at its first start, by the scripts of its `alembic_db/versions`
(app/database/db.py); an older one, which has not all of these scripts, does not work with it then: "Can't locate
revision identified by ...". So each generation that is left keeps a copy of the database, which takes the place of one
that its ComfyUI cannot use. The newer one is moved aside.
"""

from __future__ import annotations

import filecmp
import os
import re
import shutil
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from provision.core.home import Home
from provision.system.disk_errors import unusable
from provision.system.strict import read_text

if TYPE_CHECKING:
    import sqlite3

NAME = "comfyui.db"
BESIDE = ("-wal", "-shm", "-journal")
"""What SQLite writes next to a database (sqlite.org/tempfiles.html)."""
REVISION = re.compile(r"^revision(?:\s*:\s*\w+)?\s*=\s*[\"']([\w.-]{1,200})[\"']", re.MULTILINE)
BUSY_S = 2.0


def keep(home: Home, env: Path) -> None:
    """Copy the database as it is now to a generation that is being left. Raises HomeError, DiskFull."""
    place, found = env / "set" / NAME, _place(home)
    try:
        if not found.is_file() or not found.stat().st_size:
            place.unlink(missing_ok=True)
            return
        place.parent.mkdir(parents=True, exist_ok=True)
        _copy(found, place)
    except OSError as error:
        raise unusable(place, error) from error


def put_back(home: Home, env: Path) -> Path | None:
    """Put a generation's copy in place of a database that its ComfyUI cannot use; returns where that one is now.

    Without a copy ComfyUI makes a new one. None where it can use what is there. Can be killed anywhere and done again.
    Raises HomeError, DiskFull.
    """
    found, kept = _place(home), env / "set" / NAME
    if not is_refused(found, home.comfyui):
        return None
    try:
        home.aside.mkdir(exist_ok=True)
        aside = _copy_of_its_own(found, home.aside / f"{NAME} of {version_of(found)}")
        for end in BESIDE:
            found.with_name(f"{NAME}{end}").unlink(missing_ok=True)
        if kept.is_file() and not is_refused(kept, home.comfyui):
            _copy(kept, found)
        else:
            found.unlink()
    except OSError as error:
        raise unusable(found, error) from error
    return aside


def is_refused(database: Path, code: Path) -> bool:
    """Whether the ComfyUI in a folder has not the scripts that a database was changed by.

    One that has no scripts at all leaves every database alone.
    """
    known = set(_scripts(code / "alembic_db" / "versions"))
    version = version_of(database)
    return bool(known and version) and version not in known


def version_of(database: Path) -> str:
    """The last script that changed a database; empty where there is none, or it is not readable as one."""
    if not database.is_file():
        return ""
    import sqlite3

    with suppress(sqlite3.Error), closing(_open(database)) as opened:
        row = opened.execute("SELECT version_num FROM alembic_version").fetchone()
        found = str(row[0]) if row else ""
        return found if re.fullmatch(r"[\w.-]{1,200}", found) else ""
    return ""


def _scripts(folder: Path) -> list[str]:
    """The names of the changes that a ComfyUI knows, of its scripts' `revision = "0001_assets"`."""
    found: list[str] = []
    for path in sorted(folder.glob("*.py")):
        with suppress(OSError, ValueError):
            found += REVISION.findall(read_text(path))
    return found


def _place(home: Home) -> Path:
    return home.base / "user" / NAME


def _open(database: Path) -> sqlite3.Connection:
    import sqlite3

    return sqlite3.connect(f"file:{quote(str(database.absolute()))}?mode=ro", uri=True, timeout=BUSY_S)


def _copy_of_its_own(database: Path, place: Path) -> Path:
    """A copy under the first name of its kind that no other copy has. Raises OSError."""
    made = _copied(database, place)
    number, name = 1, place.name
    while os.path.lexists(place) and not filecmp.cmp(made, place, shallow=False):
        number += 1
        place = place.with_name(f"{name}.{number}")
    return made.replace(place)


def _copy(database: Path, place: Path) -> None:
    _copied(database, place).replace(place)


def _copied(database: Path, place: Path) -> Path:
    """A whole copy beside a place, also while ComfyUI writes; of what is no database its bytes. Raises OSError."""
    import sqlite3

    aside = place.with_name(f".{place.name}.{os.getpid()}")
    aside.unlink(missing_ok=True)
    try:
        with closing(_open(database)) as opened, closing(sqlite3.connect(aside)) as copy:
            opened.backup(copy)
    except sqlite3.Error:
        shutil.copyfile(database, aside)
    return aside
