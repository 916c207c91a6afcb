"""Switching between generations of a real repository: a kill leaves the old one, or the new one is finished."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from provision.comfyui import database, git_revisions, switching
from provision.comfyui import git_checkout as git
from provision.comfyui.git_remote import find_revision
from provision.comfyui.git_revisions import GitRevisions
from provision.core.choices import choices_of
from provision.core.home import Home
from provision.core.receipt_kinds import ComfyReceipt, TorchReceipt
from provision.core.receipts import Receipts
from provision.environment import generations
from provision.environment.kept_edits import EDITS
from provision.rehearsal.git_repo import Commit, make_bare
from tests.support.hostile_git import git as git_of_a_person
from tests.support.killed import Killed, killed_at

WHEN = "2026-11-26T12:00:00+00:00"
LONG = "".join(f"line {number}\n" for number in range(30))
OLD = {"main.py": b"old\n", "nodes.py": LONG.encode(), "gone.py": b"old\n", "models/put_here": b""}
NEW = {
    "main.py": b"new\n",
    "nodes.py": LONG.replace("line 29", "line 29, new").encode(),
    "gone.py": b"old\n",
    "models/put_here": b"",
    "came/here.py": b"new\n",
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with two generations, the first in use, and a checkout at its revision."""
    folder = tmp_path_factory.mktemp("switching")
    bare, home = folder / "ComfyUI.git", Home(folder / "home")
    make_bare(bare, "master", [Commit("old", 1, OLD, "v1.0.0"), Commit("new", 2, NEW, "v2.0.0")])
    home.prepare()
    for number, tag in ((1, "v1.0.0"), (2, "v2.0.0")):
        revision = find_revision(str(bare), tag)
        commit = git.fetch(home.comfyui, str(bare), revision, lambda _: None)
        python = home.envs / str(number) / "bin" / "python"
        python.parent.mkdir(parents=True)
        python.touch()
        kept = Receipts(home.envs / str(number) / "set" / "receipts")
        kept.write("comfyui", ComfyReceipt(url=str(bare), ref=tag, name=tag, commit=commit))
        kept.write("torch", TorchReceipt(torch=f"{number}.0", wanted=f"{number}.0"))
        if number == 1:
            git.place(home.comfyui, commit, revision, ours=True)
    generations.enter(home, home.envs / "1", None)
    generations.restore(home, (*generations.SET_RECEIPTS, generations.REVISION))
    home.choices.write_text('comfyui.ref = "v1.0.0"\ntorch.channel = "1.0"\n', encoding="utf-8")
    return home.root


@pytest.fixture
def home(tmp_path: Path, whole: Path) -> Home:
    """A copy of it."""
    return Home(Path(shutil.copytree(whole, tmp_path / "home", symlinks=True)))


def look(home: Home) -> tuple[str, ...]:
    """What is in use: environment, revision of the files, of the receipt and of the choices."""
    files = (home.comfyui / "main.py").read_text(encoding="utf-8").strip()
    receipt, torch = Receipts(home.receipts).read("comfyui", ComfyReceipt), Receipts(home.receipts).read("torch")
    at = git.read_state(home.comfyui)
    assert (at.head, at.missing) == (receipt.commit, ())
    return generations.active(home).name, files, receipt.name, str(torch["torch"]), str(choices_of(home)["comfyui.ref"])


FIRST, SECOND = ("1", "old", "v1.0.0", "1.0", "v1.0.0"), ("2", "new", "v2.0.0", "2.0", "v2.0.0")


def edit(home: Home) -> None:
    """What a person does: an edit that fits both revisions, a link to another disk, files of their own."""
    nodes = home.comfyui / "nodes.py"
    nodes.write_text(nodes.read_text(encoding="utf-8").replace("line 2\n", "line 2, mine\n"), encoding="utf-8")
    (home.comfyui / "came").mkdir()
    (home.comfyui / "came" / "here.py").write_text("mine\n", encoding="utf-8")
    disk = home.root.parent / "disk"
    (home.comfyui / "models").rename(disk)
    (home.comfyui / "models").symlink_to(disk)


def carry(home: Home) -> None:
    """As an update does before it switches."""
    made = generations.left_with(home.envs / "2")
    revisions = GitRevisions(home.comfyui)
    carried = revisions.write_out(made.comfyui.commit, home.root / "tried", revisions.edits()).edits
    assert carried
    assert "line 29, new" in (home.root / "tried" / "nodes.py").read_text(encoding="utf-8")
    (home.envs / "2" / "set" / EDITS).write_bytes(carried)


def persons(home: Home) -> tuple[bool, str, bool]:
    """Whether the edit is in the files, the file in the way that is somewhere, and the link."""
    edited = "line 2, mine\n" in (home.comfyui / "nodes.py").read_text(encoding="utf-8")
    places = [home.comfyui / "came" / "here.py", *home.aside.rglob("here.py*")]
    mine = [path.read_text(encoding="utf-8") for path in places if path.exists()]
    return edited, "mine\n" if "mine\n" in mine else "", (home.comfyui / "models").is_symlink()


def test_there_and_back_with_what_a_person_changed(home: Home) -> None:
    assert look(home) == FIRST
    edit(home)
    carry(home)
    switching.switch(home, home.envs / "2", WHEN)
    assert (look(home), persons(home)) == (SECOND, (True, "mine\n", True))
    assert (home.comfyui / "came" / "here.py").read_bytes() == b"new\n"
    switching.switch(home, home.envs / "1", WHEN)
    assert (look(home), persons(home)) == (FIRST, (True, "mine\n", True))
    assert git.read_state(home.comfyui).modified == ("nodes.py",)


def test_edits_that_do_not_fit_are_told_and_the_files_are_the_revisions(home: Home) -> None:
    nodes = home.comfyui / "nodes.py"
    nodes.write_text(LONG.replace("line 29", "line 29, mine"), encoding="utf-8")
    made, tried = generations.left_with(home.envs / "2"), home.root / "tried"
    revisions = GitRevisions(home.comfyui)
    assert revisions.write_out(made.comfyui.commit, tried, revisions.edits()).edits is None
    assert (tried / "nodes.py").read_bytes() == NEW["nodes.py"]


def test_git_keeps_the_commits_that_can_be_gone_back_to_and_no_others(home: Home) -> None:
    switching.switch(home, home.envs / "2", WHEN)
    names = git_of_a_person(home.comfyui, "for-each-ref", "--format=%(refname)", "refs/remotes/provision")
    assert names.split() == ["refs/remotes/provision/1", "refs/remotes/provision/2"]
    GitRevisions(home.comfyui).let_go({2: ""})
    names = git_of_a_person(home.comfyui, "for-each-ref", "--format=%(refname)", "refs/remotes/provision")
    assert names.split() == ["refs/remotes/provision/2"]


POINTS = [
    (GitRevisions, "edits"),
    (GitRevisions, "hold"),
    (database, "keep"),
    (generations, "leave"),
    (switching, "write_json"),
    (generations, "enter"),
    (git_revisions, "restore"),
    (GitRevisions, "move_to"),
    (GitRevisions, "let_go"),
    (database, "put_back"),
    (generations, "restore"),
    (switching, "choices_of"),
    (switching, "write_text"),
    (switching, "forget"),
]


@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize(("module", "name"), POINTS)
def test_killed_anywhere_it_is_the_old_one_or_is_finished(home: Home, module: Any, name: str, before: bool) -> None:
    edit(home)
    carry(home)
    with killed_at(module, name, before=before):
        switching.switch(home, home.envs / "2", WHEN)
    generations.recover(home)
    switching.finish(home)
    assert not home.switching.exists()
    assert look(home) in (FIRST, SECOND)
    assert persons(home) == (True, "mine\n", True)
    switching.switch(home, home.envs / ("2" if look(home) == FIRST else "1"), WHEN)
    assert persons(home) == (True, "mine\n", True)


def test_killed_in_the_middle_of_gits_checkout(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    edit(home)
    carry(home)
    with monkeypatch.context() as patched:
        patched.setattr(GitRevisions, "move_to", _half)
        with pytest.raises(Killed):
            switching.switch(home, home.envs / "2", WHEN)
    switching.finish(home)
    assert (look(home), persons(home)) == (SECOND, (True, "mine\n", True))


def _half(revisions: GitRevisions, *_: object) -> None:
    """What git leaves when it is killed: its lock, and some files of the other revision."""
    folder = revisions.folder
    (folder / ".git" / "index.lock").touch()
    (folder / "main.py").write_bytes(NEW["main.py"])
    (folder / "gone.py").unlink()
    raise Killed
