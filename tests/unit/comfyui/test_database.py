"""A database that a newer ComfyUI has changed: each generation has its copy, and none is lost."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from provision.comfyui import database
from provision.core.home import Home

SCRIPT = '"""Change tables"""\nrevision{0} = "{1}"\ndown_revision = None\n'


@pytest.fixture
def home(tmp_path: Path) -> Home:
    made = Home(tmp_path / "home")
    made.prepare()
    (made.base / "user").mkdir(parents=True)
    return made


def has(home: Home, *scripts: str) -> None:
    """Let ComfyUI have these scripts."""
    folder = home.comfyui / "alembic_db" / "versions"
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.iterdir():
        path.unlink()
    for place, name in enumerate(scripts):
        (folder / f"{name}.py").write_text(SCRIPT.format(": str" if place else "", name), encoding="utf-8")


def starts(home: Home, *, row: str = "") -> None:
    """What ComfyUI does at a start: bring the tables to its last script; a row for what it found."""
    with closing(sqlite3.connect(home.base / "user" / "comfyui.db")) as opened, opened:
        opened.execute("CREATE TABLE IF NOT EXISTS alembic_version (version_num VARCHAR(32))")
        opened.execute("CREATE TABLE IF NOT EXISTS assets (name TEXT)")
        opened.execute("DELETE FROM alembic_version")
        last = sorted(path.stem for path in (home.comfyui / "alembic_db" / "versions").iterdir())[-1]
        opened.execute("INSERT INTO alembic_version VALUES (?)", (last,))
        if row:
            opened.execute("INSERT INTO assets VALUES (?)", (row,))


def rows(place: Path) -> list[str]:
    with closing(sqlite3.connect(place)) as opened:
        return [str(name) for (name,) in opened.execute("SELECT name FROM assets")]


def test_what_an_older_one_refuses_is_kept_aside_and_its_copy_put_back(home: Home) -> None:
    place, env = home.base / "user" / "comfyui.db", home.envs / "1"
    has(home, "0001_assets")
    starts(home, row="old")
    database.keep(home, env)
    has(home, "0001_assets", "0002_more")
    assert database.put_back(home, home.envs / "2") is None  # a newer one can use it
    starts(home, row="new")
    has(home, "0001_assets")
    aside = database.put_back(home, env)
    assert aside is not None
    assert (aside.name, rows(aside), rows(place)) == ("comfyui.db of 0002_more", ["old", "new"], ["old"])
    assert database.put_back(home, env) is None
    assert database.version_of(place) == "0001_assets"


def test_two_newer_ones_are_both_kept(home: Home) -> None:
    has(home, "0001_assets", "0002_more")
    starts(home, row="first")
    has(home, "0001_assets")
    first = database.put_back(home, home.envs / "1")
    assert not (home.base / "user" / "comfyui.db").exists()  # there was no copy: ComfyUI makes one
    has(home, "0001_assets", "0002_more")
    starts(home, row="second")
    has(home, "0001_assets")
    second = database.put_back(home, home.envs / "1")
    assert first is not None
    assert second is not None
    assert (rows(first), rows(second)) == (["first"], ["second"])


def test_one_without_scripts_of_its_own_leaves_each_database_alone(home: Home) -> None:
    has(home, "0001_assets")
    starts(home, row="new")
    has(home)
    assert database.put_back(home, home.envs / "1") is None
    assert rows(home.base / "user" / "comfyui.db") == ["new"]


@pytest.mark.parametrize("content", [b"", b"no database at all", b"SQLite format 3\0 cut"])
def test_what_is_no_database_is_left_where_it_is(home: Home, content: bytes) -> None:
    place = home.base / "user" / "comfyui.db"
    place.write_bytes(content)
    has(home, "0001_assets")
    database.keep(home, home.envs / "1")
    assert database.put_back(home, home.envs / "1") is None
    assert place.read_bytes() == content


def test_a_copy_is_whole_while_comfyui_writes(home: Home) -> None:
    has(home, "0001_assets")
    starts(home, row="kept")
    with closing(sqlite3.connect(home.base / "user" / "comfyui.db")) as opened:
        opened.execute("PRAGMA journal_mode=WAL")
        opened.execute("INSERT INTO assets VALUES ('in the log')")
        opened.commit()
        database.keep(home, home.envs / "1")
    assert rows(home.envs / "1" / "set" / "comfyui.db") == ["kept", "in the log"]
