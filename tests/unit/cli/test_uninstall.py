"""Removing by name, and moving what a person added, where the disk says no."""

from __future__ import annotations

from pathlib import Path

import pytest

from provision.cli.commands import uninstall
from provision.cli.commands.made_by_us import Sorted
from provision.cli.commands.uninstall import Removal, beside
from provision.core.home import Home
from provision.core.ownership import is_at_the_top, is_home
from provision.core.removing import remove, remove_empty, remove_temporary_home
from tests.support.killed import Killed


@pytest.fixture
def found(home: Home) -> Sorted:
    (home.root / "thesis.md").write_text("a thesis")
    (home.root / "venv").symlink_to("envs/1")
    return Sorted(ours=[home.root / "venv", home.parts, home.logs, home.state], theirs=[home.root / "thesis.md"])


def test_what_cannot_be_moved_stays_where_it_is(home: Home, found: Sorted, monkeypatch: pytest.MonkeyPatch) -> None:
    (home.root.parent / "a file").touch()
    monkeypatch.setattr(uninstall, "beside", lambda _: home.root.parent / "a file" / "kept")
    removal = Removal(home)
    removal.run(found)
    assert (removal.kept_in, removal.stayed, removal.failed) == (None, [home.root / "thesis.md"], [])
    assert [path.name for path in home.root.iterdir()] == ["thesis.md"]


def test_what_cannot_be_removed_keeps_the_marker(home: Home, found: Sorted, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(path: Path) -> None:
        if path == home.logs:
            raise PermissionError(1, "Operation not permitted", str(path))
        remove(path)

    monkeypatch.setattr("provision.core.removing.remove", fail)
    removal = Removal(home)
    removal.run(found)
    assert [error.filename for error in removal.failed] == [str(home.logs)]
    assert home.state.is_dir()
    assert (beside(home).parent / "home-kept" / "thesis.md").read_text() == "a thesis"


def test_half_an_environment_is_never_left_under_its_name(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    info = home.envs / "1" / "lib" / "attrs-26.1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").touch()
    (home.envs / "2").mkdir()

    def killed(path: Path) -> None:
        next(path.rglob("METADATA")).unlink()
        raise Killed

    monkeypatch.setattr("provision.core.removing.remove", killed)
    with pytest.raises(Killed):
        Removal(home).run(Sorted(ours=[home.envs / "1", home.envs / "2", home.state]))
    assert [path.name for path in home.envs.iterdir()] == ["2"]
    left = [path.name for path in home.root.iterdir() if path.name.startswith(".envs.")]
    assert [is_at_the_top(name) for name in left] == [True]


def test_the_marker_outlives_every_folder(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    (home.root / "ComfyUI" / "output").mkdir(parents=True)

    def killed(path: Path) -> None:
        raise Killed

    monkeypatch.setattr("provision.core.removing.remove", killed)
    with pytest.raises(Killed):
        Removal(home).run(Sorted(ours=[home.state]))
    assert [path.name for path in home.root.iterdir()] == ["state"]
    assert is_home(home.root)


def test_a_link_is_removed_and_not_what_it_leads_to(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "file").touch()
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "link").symlink_to(tmp_path / "real")
    remove(tmp_path / "folder")
    assert (tmp_path / "real" / "file").exists()


def test_empty_folders_go_with_what_finder_left_in_them(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / ".DS_Store").touch()
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "mine").touch()
    remove_empty(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["c"]


def test_the_folder_beside_is_a_new_one(home: Home) -> None:
    assert beside(home).name == "home-kept"
    beside(home).mkdir()
    assert beside(home).name == "home-kept-1"


def test_a_temporary_home_goes_and_what_is_a_persons_stays(home: Home) -> None:
    (home.root / "mine").touch()
    remove_temporary_home(home.root)
    assert [path.name for path in home.root.iterdir()] == ["mine"]
