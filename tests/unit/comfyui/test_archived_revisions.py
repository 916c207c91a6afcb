"""Switching between generations whose ComfyUI came as archives: edits travel, a kill is finished, no network."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from provision.comfyui import archived_revisions, switching
from provision.comfyui.archived_revisions import ArchivedRevisions, archive_of
from provision.comfyui.source_tree import ARCHIVE, compare, place, plan_change, read_listing, unpack, write_listing
from provision.core.home import Home
from provision.core.receipt_kinds import ComfyReceipt, TorchReceipt
from provision.core.receipts import Receipts
from provision.environment import generations
from provision.errors import GitError
from provision.rehearsal.git_repo import ARCHIVES, Commit, make_bare, refs_of
from tests.support.killed import killed_at

WHEN = "2026-11-26T12:00:00+00:00"
OLD = {"main.py": b"old\n", "same.py": b"same\n", "gone.py": b"old\n"}
NEW = {"main.py": b"new\n", "came/here.py": b"new\n"}


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A home with two generations, the first in use, and the archives of both."""
    bare, made = tmp_path / "ComfyUI.git", Home(tmp_path / "home")
    make_bare(bare, "master", [Commit("old", 1, OLD, "v1"), Commit("new", 2, NEW, "v2")])
    made.prepare()
    (made.state / archived_revisions.ARCHIVES).mkdir()
    for number, tag in ((1, "v1"), (2, "v2")):
        commit = refs_of(bare)[f"refs/tags/{tag}"]
        shutil.copy(bare / ARCHIVES / f"{commit}.tar.gz", archive_of(made.state, commit))
        python = made.envs / str(number) / "bin" / "python"
        python.parent.mkdir(parents=True)
        python.touch()
        kept = Receipts(made.envs / str(number) / "set" / "receipts")
        kept.write("comfyui", ComfyReceipt(ref=tag, name=tag, commit=commit, source=ARCHIVE))
        kept.write("torch", TorchReceipt(torch=f"{number}.0", wanted=f"{number}.0"))
        if number == 1:
            listing = unpack(archive_of(made.state, commit), tmp_path / "new", commit)
            place(made.comfyui, tmp_path / "new", plan_change(made.comfyui, None, listing, keep=True))
            write_listing(made.state, listing)
    generations.enter(made, made.envs / "1", None)
    generations.restore(made, (*generations.SET_RECEIPTS, generations.REVISION))
    return made


def text(home: Home, name: str) -> str:
    return (home.comfyui / name).read_text(encoding="utf-8")


def to(home: Home, number: int) -> None:
    switching.switch(home, home.envs / str(number), WHEN)


def test_there_and_back_with_what_a_person_changed(home: Home) -> None:
    (home.comfyui / "main.py").write_text("mine\n", encoding="utf-8")
    (home.comfyui / "own.py").write_text("own\n", encoding="utf-8")
    (home.comfyui / "came").write_text("in the way\n", encoding="utf-8")
    to(home, 2)
    assert (text(home, "main.py"), text(home, "came/here.py"), text(home, "own.py")) == ("new\n", "new\n", "own\n")
    assert [path.read_text(encoding="utf-8") for path in home.aside.rglob("came")] == ["in the way\n"]
    listing = read_listing(home.state)
    assert listing is not None
    assert compare(home.comfyui, listing).modified == ()
    assert Receipts(home.receipts).read("comfyui", ComfyReceipt).name == "v2"
    to(home, 1)
    assert (text(home, "main.py"), text(home, "gone.py")) == ("mine\n", "old\n")
    assert not (home.comfyui / "came").exists()
    assert len(list((home.state / archived_revisions.ARCHIVES).iterdir())) == 2


@pytest.mark.parametrize("at", ["unpack", "place", "write_listing", "write_edits"])
def test_a_kill_is_finished_by_the_next_command(home: Home, at: str) -> None:
    (home.comfyui / "main.py").write_text("mine\n", encoding="utf-8")

    with killed_at(archived_revisions, at, before=True):
        to(home, 2)
    assert switching.finish(home)
    assert (text(home, "main.py"), text(home, "came/here.py")) == ("new\n", "new\n")
    to(home, 1)
    assert text(home, "main.py") == "mine\n"


def test_an_edit_goes_with_another_revision_where_that_has_the_same_file(home: Home, tmp_path: Path) -> None:
    commit = generations.left_with(home.envs / "2").comfyui.commit
    revisions = ArchivedRevisions(home)
    (home.comfyui / "same.py").write_text("mine\n", encoding="utf-8")
    carried = revisions.write_out(commit, tmp_path / "out", revisions.edits()).edits
    assert carried is not None
    assert (tmp_path / "out/same.py").read_text(encoding="utf-8") == "mine\n"
    (home.comfyui / "main.py").write_text("mine\n", encoding="utf-8")
    assert revisions.write_out(commit, tmp_path / "again", revisions.edits()).edits is None
    assert (tmp_path / "again/main.py").read_text(encoding="utf-8") == "new\n"


def test_without_its_archive_there_is_no_way_back_and_nothing_is_touched(home: Home) -> None:
    commit = generations.left_with(home.envs / "2").comfyui.commit
    archive_of(home.state, commit).unlink()
    with pytest.raises(GitError, match="is missing or damaged"):
        ArchivedRevisions(home).write_out(commit, home.state / "out")
    assert text(home, "main.py") == "old\n"


def test_edits_that_lead_elsewhere_are_refused(home: Home, tmp_path: Path) -> None:
    with pytest.raises(GitError, match="leads elsewhere"):
        archived_revisions.write_edits(home.comfyui, b'{"../../evil": {"of": "", "text": ""}}')
    with pytest.raises(GitError, match="cannot be put back"):
        archived_revisions.write_edits(home.comfyui, b"[]")
    assert not list(tmp_path.rglob("evil"))
