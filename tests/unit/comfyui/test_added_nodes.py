"""Custom nodes follow a switch of generations: a kill at any point leaves what was, or it is finished."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from provision.comfyui import added_nodes, git_checkout, git_revisions, switching
from provision.comfyui.git_remote import find_revision
from provision.core.home import Home
from provision.core.receipt_kinds import AddedNode, NodesReceipt, TorchReceipt
from provision.core.receipts import Receipts
from provision.environment import generations
from tests.support.killed import killed_at
from tests.support.node_repos import PURE, next_commit, node_repo

WHEN = "2026-11-26T12:00:00+00:00"
LONG = "".join(f"line {number}\n" for number in range(30))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with three generations: `moved` and `gone` in the first, in use; `moved` and `came` in the second."""
    folder = tmp_path_factory.mktemp("nodes")
    home = Home(folder / "home")
    home.prepare()
    repos = {name: node_repo(folder, name, {"look.txt": LONG}) for name in ("moved", "gone", "came")}
    first = {name: _fetched(home, name, repo) for name, repo in repos.items()}
    next_commit(repos["moved"], {"__init__.py": PURE, "look.txt": LONG.replace("line 29", "line 29, new")})
    second = _fetched(home, "moved", repos["moved"])
    sets = (
        NodesReceipt((first["gone"], first["moved"])),
        NodesReceipt((first["came"], second), ("mine.py",)),
        NodesReceipt((first["gone"], second)),
    )
    for number, nodes in enumerate(sets, 1):
        python = home.envs / str(number) / "bin" / "python"
        python.parent.mkdir(parents=True)
        python.touch()
        kept = Receipts(home.envs / str(number) / "set" / "receipts")
        kept.write("torch", TorchReceipt(torch="1.0"))
        kept.write("nodes", nodes)
        generations.write_about(home.envs / str(number), generations.About(left=WHEN))
    generations.enter(home, home.envs / "1", None)
    home.custom_nodes.mkdir(parents=True)
    (home.custom_nodes / "mine.py").write_text(PURE, encoding="utf-8")
    added_nodes.settle(home, home.envs / "1" / "set", NodesReceipt(), sets[0], lambda _: None)
    generations.restore(home)
    for name in ("moved", "gone"):
        (home.custom_nodes / name / "settings.json").write_text(f"of {name}", encoding="utf-8")
        look = home.custom_nodes / name / "look.txt"
        look.write_text(LONG.replace("line 2\n", "line 2, mine\n"), encoding="utf-8")
    return home.root


def _fetched(home: Home, name: str, repo: Path) -> AddedNode:
    store = added_nodes.store_of(home, name)
    commit = git_checkout.fetch(store, str(repo), find_revision(str(repo), "main"), lambda _: None)
    return AddedNode(name, str(repo), commit)


@pytest.fixture
def home(tmp_path: Path, whole: Path) -> Home:
    """A copy of it, with the edits merged for the second generation, as an update does before it switches."""
    home = Home(Path(shutil.copytree(whole, tmp_path / "home", symlinks=True)))
    now, then = Receipts(home.receipts).read("nodes", NodesReceipt), switching.nodes_of(home.envs / "2")
    for name, edits in added_nodes.lay_out(home, tmp_path / "trial", now, then).items():
        assert edits is not None
        added_nodes.write_edits(home.envs / "2" / "set", name, edits)
    assert sorted(path.name for path in (tmp_path / "trial" / "custom_nodes").iterdir()) == ["came", "moved"]
    return home


def look(home: Home) -> tuple[dict[str, str], str]:
    """The folders of nodes with their commit (by git, empty where there is none), and what `moved` says."""
    assert not list(home.custom_nodes.glob(".*"))
    found = {path.name: git_checkout.has_commit_of(path, "HEAD") or "" for path in home.custom_nodes.iterdir()}
    known = Receipts(home.receipts).read("nodes", NodesReceipt)
    assert {node.name: node.commit for node in known.added} == {name: it for name, it in found.items() if it}
    for node in known.added:
        assert git_checkout.read_state(home.custom_nodes / node.name).deleted == ()
    return found, (home.custom_nodes / "moved" / "look.txt").read_text(encoding="utf-8")


def is_first(home: Home) -> bool:
    found, text = look(home)
    names, lines = sorted(found), (home.custom_nodes / "gone" / "look.txt").exists()
    return names == ["gone", "mine.py", "moved"] and "line 29\n" in text and "line 2, mine" in text and lines


def is_second(home: Home) -> bool:
    found, text = look(home)
    return sorted(found) == ["came", "mine.py.disabled", "moved"] and "line 29, new" in text and "line 2, mine" in text


def persons(home: Home) -> list[str]:
    """The files that nodes wrote, wherever they are."""
    return sorted(path.read_text(encoding="utf-8") for path in home.root.rglob("settings.json"))


def test_there_and_back(home: Home) -> None:
    assert is_first(home)
    switching.switch(home, home.envs / "2", WHEN)
    assert is_second(home)
    aside = next((home.aside / "custom_nodes").iterdir())
    assert (aside.name.partition(".")[0], (aside / "settings.json").read_text(encoding="utf-8")) == ("gone", "of gone")
    switching.switch(home, home.envs / "1", WHEN)
    assert is_first(home)
    assert persons(home) == ["of gone", "of moved"]
    assert "line 2, mine" in (home.custom_nodes / "gone" / "look.txt").read_text(encoding="utf-8")


def test_what_was_moved_aside_and_deleted_is_written_again(home: Home) -> None:
    switching.switch(home, home.envs / "2", WHEN)
    shutil.rmtree(home.aside)
    switching.switch(home, home.envs / "1", WHEN)
    assert is_first(home)
    assert "line 2, mine" in (home.custom_nodes / "gone" / "look.txt").read_text(encoding="utf-8")


def test_a_folder_of_another_is_left_and_an_enabled_node_stays_enabled(home: Home) -> None:
    switching.switch(home, home.envs / "2", WHEN)
    (home.custom_nodes / "gone").mkdir()
    (home.custom_nodes / "gone" / "hers.py").write_text("hers", encoding="utf-8")
    (home.custom_nodes / "mine.py.disabled").rename(home.custom_nodes / "mine.py")
    switching.switch(home, home.envs / "3", WHEN)
    assert sorted(path.name for path in (home.custom_nodes / "gone").iterdir()) == ["hers.py"]
    assert (home.custom_nodes / "mine.py").is_file()


POINTS = [
    (added_nodes, "keep_edits"),
    (generations, "leave"),
    (switching, "write_json"),
    (generations, "enter"),
    (added_nodes, "_move"),
    (added_nodes, "_put"),
    (added_nodes, "_point"),
    (added_nodes, "_write_anew"),
    (added_nodes, "_rename"),
    (added_nodes, "hold"),
    (added_nodes, "let_go"),
    (git_revisions.GitRevisions, "move_to"),
    (git_revisions, "restore"),
    (generations, "restore"),
    (switching, "forget"),
]


@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize(("module", "name"), POINTS)
def test_killed_anywhere_it_is_as_before_or_is_finished(home: Home, module: Any, name: str, before: bool) -> None:
    with killed_at(module, name, before=before):
        switching.switch(home, home.envs / "2", WHEN)
    generations.recover(home)
    switching.finish(home)
    assert not home.switching.exists()
    assert is_first(home) if generations.active(home).name == "1" else is_second(home)
    assert persons(home) == ["of gone", "of moved"]
    switching.switch(home, home.envs / ("2" if generations.active(home).name == "1" else "1"), WHEN)
    assert persons(home) == ["of gone", "of moved"]
