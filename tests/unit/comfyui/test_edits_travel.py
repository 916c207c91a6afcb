"""What a person edited in ComfyUI's files goes with another revision, and back; what does not fit is kept and named."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from provision.comfyui import git_checkout, switching
from provision.comfyui.archived_revisions import ARCHIVES as KEPT
from provision.comfyui.archived_revisions import archive_of
from provision.comfyui.git_remote import Revision
from provision.comfyui.revisions import revisions_of
from provision.comfyui.source_tree import ARCHIVE, place, plan_change, unpack, write_listing
from provision.core.home import Home
from provision.core.receipt_kinds import ComfyReceipt
from provision.core.receipts import Receipts, write_bytes
from provision.environment import generations
from provision.environment.kept_edits import EDITS, edits_of
from provision.rehearsal.git_repo import ARCHIVES, Commit, make_bare, refs_of
from tests.support.hostile_git import git

WHEN = "2026-11-26T12:00:00+00:00"
LONG = "".join(f"line {number}\n" for number in range(30)).encode()
BINARY = bytes(range(256)) * 4
SAME = {
    "same.py": LONG,
    "crlf.txt": b"one\r\ntwo\r\n",
    "logo.png": BINARY,
    "latin.txt": b"\xe9t\xe9\n",
    "tool.sh": b"#!\n",
}
OLD, NEW = {**SAME, "main.py": b"old\n"}, {**SAME, "main.py": b"new\n", "came.py": b"came\n"}
Edit = Callable[[Path], object]


@pytest.fixture(params=["git", "archive"])
def home(tmp_path: Path, request: pytest.FixtureRequest) -> Home:
    """A home with two generations, the first in use."""
    bare, made = tmp_path / "ComfyUI.git", Home(tmp_path / "home")
    make_bare(bare, "master", [Commit("old", 1, OLD, "v1"), Commit("new", 2, NEW, "v2")])
    made.prepare()
    (made.state / KEPT).mkdir()
    for number, tag in ((1, "v1"), (2, "v2")):
        commit = refs_of(bare)[f"refs/tags/{tag}"]
        (made.envs / str(number) / "bin").mkdir(parents=True)
        (made.envs / str(number) / "bin" / "python").touch()
        source = ARCHIVE if request.param == "archive" else ""
        receipts = Receipts(made.envs / str(number) / "set" / "receipts")
        receipts.write("comfyui", ComfyReceipt(ref=tag, name=tag, commit=commit, source=source))
        revision = Revision(tag, "tag", commit)
        if request.param == "archive":
            shutil.copy(bare / ARCHIVES / f"{commit}.tar.gz", archive_of(made.state, commit))
        else:
            git_checkout.fetch(made.comfyui, str(bare), revision, lambda _: None)
        if number == 1 and request.param == "archive":
            listing = unpack(archive_of(made.state, commit), tmp_path / "new", commit)
            place(made.comfyui, tmp_path / "new", plan_change(made.comfyui, None, listing, keep=True))
            write_listing(made.state, listing)
        elif number == 1:
            git_checkout.place(made.comfyui, commit, revision, ours=True)
    generations.enter(made, made.envs / "1", None)
    generations.restore(made, (*generations.SET_RECEIPTS, generations.REVISION))
    return made


def update(home: Home) -> bool:
    """As an update does; returns whether the edits went with it."""
    commit, revisions = generations.left_with(home.envs / "2").comfyui.commit, revisions_of(home)
    home.trial.mkdir(parents=True)
    written = revisions.write_out(commit, home.trial / "ComfyUI", revisions.edits())
    shutil.rmtree(home.trial)
    write_bytes(home.envs / "2" / "set" / EDITS, written.edits or b"")
    to(home, 2)
    return written.edits is not None


def to(home: Home, number: int) -> None:
    switching.switch(home, home.envs / str(number), WHEN)


def back(home: Home) -> Path | None:
    kept = switching.take_along(home, home.envs / "1")
    to(home, 1)
    return kept


def at(home: Home) -> str:
    return (home.comfyui / "main.py").read_text(encoding="utf-8").strip()


def link(code: Path) -> None:
    (code / "same.py").unlink()
    (code / "same.py").symlink_to("tool.sh")


KINDS: dict[str, tuple[Edit, Callable[[Path], object]]] = {
    "changed": (
        lambda code: (code / "same.py").write_bytes(LONG.replace(b"line 3\n", b"mine\n")),
        lambda code: b"mine\n" in (code / "same.py").read_bytes(),
    ),
    "line ends": (
        lambda code: (code / "crlf.txt").write_bytes(b"one\r\nmine\r\n"),
        lambda code: (code / "crlf.txt").read_bytes() == b"one\r\nmine\r\n",
    ),
    "no UTF-8": (
        lambda code: (code / "latin.txt").write_bytes(b"\xe9t\xe9\n\xe8\n"),
        lambda code: (code / "latin.txt").read_bytes() == b"\xe9t\xe9\n\xe8\n",
    ),
    "without a last line end": (
        lambda code: (code / "same.py").write_bytes(LONG[:-1]),
        lambda code: (code / "same.py").read_bytes() == LONG[:-1],
    ),
    "emptied": (
        lambda code: (code / "same.py").write_bytes(b""),
        lambda code: (code / "same.py").read_bytes() == b"",
    ),
    "binary": (
        lambda code: (code / "logo.png").write_bytes(BINARY[::-1]),
        lambda code: (code / "logo.png").read_bytes() == BINARY[::-1],
    ),
    "mode": (
        lambda code: (code / "tool.sh").chmod(0o755),
        lambda code: os.access(code / "tool.sh", os.X_OK),
    ),
    "link": (link, lambda code: (code / "same.py").is_symlink() and (code / "same.py").readlink() == Path("tool.sh")),
    "new file": (
        lambda code: (code / "own.py").write_bytes(b"own\n"),
        lambda code: (code / "own.py").read_bytes() == b"own\n",
    ),
    "new file of git's list": (
        lambda code: (
            (code / "own.py").write_bytes(b"own\n"),
            (code / ".git").exists() and git(code, "add", "own.py"),
        ),
        lambda code: (code / "own.py").read_bytes() == b"own\n",
    ),
    "changed and on git's list": (
        lambda code: (
            (code / "same.py").write_bytes(LONG + b"mine\n"),
            (code / ".git").exists() and git(code, "add", "same.py"),
        ),
        lambda code: (code / "same.py").read_bytes() == LONG + b"mine\n",
    ),
}


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_of_edit_goes_there_and_back(home: Home, kind: str) -> None:
    edit, is_there = KINDS[kind]
    edit(home.comfyui)
    assert is_there(home.comfyui)
    assert update(home)
    assert (at(home), bool(is_there(home.comfyui))) == ("new", True)
    assert back(home) is None
    assert (at(home), bool(is_there(home.comfyui)), (home.comfyui / "came.py").exists()) == ("old", True, False)


def test_a_deleted_file_of_comfyui_is_written_again(home: Home) -> None:
    (home.comfyui / "same.py").unlink()
    assert update(home)
    assert (at(home), (home.comfyui / "same.py").read_bytes()) == ("new", LONG)


def test_an_edit_that_does_not_fit_stays_with_the_old_one(home: Home) -> None:
    (home.comfyui / "main.py").write_bytes(b"mine\n")
    assert not update(home)
    assert at(home) == "new"
    assert back(home) is None
    assert at(home) == "mine"


def test_what_was_edited_since_goes_back_too_where_it_fits(home: Home) -> None:
    assert update(home)
    (home.comfyui / "same.py").write_bytes(LONG + b"since\n")
    assert back(home) is None
    assert (at(home), (home.comfyui / "same.py").read_bytes()) == ("old", LONG + b"since\n")


@pytest.mark.parametrize("before", [b"", b"before\n"])
def test_what_was_edited_since_is_kept_where_it_does_not_fit(home: Home, before: bytes) -> None:
    """It changes what only the newer has, or the older has edits of its own."""
    if before:
        (home.comfyui / "same.py").write_bytes(LONG + before)
    assert update(home)
    (home.comfyui / "main.py").write_bytes(b"since\n")
    kept = back(home)
    assert kept is not None
    assert kept.is_relative_to(home.aside)
    texts = [path.read_bytes() for path in (kept.rglob("*") if kept.is_dir() else (kept,)) if path.is_file()]
    assert any(b"since\n" in text for text in texts)
    assert (at(home), (home.comfyui / "same.py").read_bytes()) == ("old", LONG + before)
    to(home, 2)
    assert at(home) == "since"


def test_edits_do_not_go_with_the_last_generation_that_has_them(home: Home) -> None:
    (home.comfyui / "main.py").write_bytes(b"mine\n")
    assert not update(home)
    mine = edits_of(home.envs / "1")
    generations.discard(home.envs / "1")
    assert not (home.envs / "1").exists()
    (kept,) = home.aside.iterdir()
    assert (kept.read_bytes(), bool(mine)) == (mine, True)


def test_edits_that_another_generation_has_too_are_not_kept_twice(home: Home) -> None:
    (home.comfyui / "same.py").write_bytes(LONG + b"mine\n")
    assert update(home)
    generations.discard(home.envs / "1")
    assert not home.aside.exists() or not list(home.aside.iterdir())
