"""Which folders are homes, and which are refused with what lies there and a place that will do."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from provision.core.home import Home
from provision.core.ownership import (
    LOG_NAME,
    MARKER,
    SHARED,
    beside_a_checkout,
    check_claim,
    is_home,
    is_state,
    read_marker,
    write_marker,
)
from provision.errors import UsageError
from tests.support.hints import said
from tests.support.paths import CHECKOUT, PACKAGE


def refusal(root: Path, person: Path) -> UsageError:
    with pytest.raises(UsageError) as refused:
        check_claim(root, {"HOME": str(person)})
    return refused.value


def accepted(root: Path, person: Path) -> bool:
    check_claim(root, {"HOME": str(person)})
    return True


@pytest.fixture
def person(tmp_path: Path) -> Path:
    folder = tmp_path / "person"
    folder.mkdir()
    return folder


def a_new_folder(root: Path) -> None: ...


def an_empty_folder(root: Path) -> None:
    root.mkdir()


def finders_leavings(root: Path) -> None:
    root.mkdir()
    (root / ".DS_Store").touch()
    (root / ".localized").touch()


def one_that_we_marked(root: Path) -> None:
    Home(root).prepare()
    (root / "thesis.md").touch()


def one_from_before_the_marker(root: Path) -> None:
    Home(root).prepare()
    (root / MARKER).unlink()
    (root / "state" / "receipts").mkdir()
    (root / "state" / "receipts" / "comfyui.json").write_text('{"commit": "1"}')
    (root / "thesis.md").touch()


def one_that_was_killed_early(root: Path) -> None:
    (root / "state" / "parts").mkdir(parents=True)
    (root / "state" / ".home.json.1.2").touch()
    (root / "logs").mkdir()


def one_that_a_server_wrote_its_log_into_as_it_was_removed(root: Path) -> None:
    (root / "logs").mkdir(parents=True)
    (root / "logs" / "comfyui.log").touch()


def one_killed_before_its_first_receipt(root: Path) -> None:
    Home(root).prepare()
    (root / MARKER).unlink()
    (root / "state" / "lock").touch()
    (root / "ComfyUI").mkdir()


@pytest.mark.parametrize(
    "make",
    [
        a_new_folder,
        an_empty_folder,
        finders_leavings,
        one_that_we_marked,
        one_from_before_the_marker,
        one_that_was_killed_early,
        one_that_a_server_wrote_its_log_into_as_it_was_removed,
        one_killed_before_its_first_receipt,
    ],
    ids=lambda make: make.__name__,
)
def test_these_may_be_homes(tmp_path: Path, person: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / "place")
    assert accepted(tmp_path / "place", person)


def photos(root: Path) -> None:
    (root / "photos").mkdir(parents=True)


def state_and_logs_of_another_program(root: Path) -> None:
    (root / "state").mkdir(parents=True)
    (root / "state" / "terraform.tfstate").touch()
    (root / "logs").mkdir()


def logs_of_another_program(root: Path) -> None:
    (root / "state").mkdir(parents=True)
    (root / "logs").mkdir()
    (root / "logs" / "nginx.log").touch()


def an_empty_folder_for_logs(root: Path) -> None:
    (root / "logs").mkdir(parents=True)


def a_comfyui(root: Path) -> None:
    (root / "ComfyUI").mkdir(parents=True)


def a_forged_marker(root: Path) -> None:
    photos(root)
    (root / "state").mkdir()
    (root / MARKER).write_text('{"id": ""}')


def a_hidden_file(root: Path) -> None:
    root.mkdir()
    (root / ".ssh").mkdir()


@pytest.mark.parametrize(
    "make",
    [
        photos,
        state_and_logs_of_another_program,
        logs_of_another_program,
        an_empty_folder_for_logs,
        a_comfyui,
        a_forged_marker,
        a_hidden_file,
    ],
    ids=lambda make: make.__name__,
)
def test_a_folder_that_holds_anything_else_is_refused(
    tmp_path: Path, person: Path, make: Callable[[Path], None]
) -> None:
    place = tmp_path / "a place"
    make(place)
    before = sorted(place.rglob("*"))
    refused = refusal(place, person)
    assert "not made by provision" in refused.message
    assert said(refused.hint) == f"provision all --home '{place}/provision'"
    assert accepted(place / "provision", person)
    with pytest.raises(UsageError):
        Home(place).prepare()
    assert sorted(place.rglob("*")) == before


def test_what_lies_there_is_named(tmp_path: Path, person: Path) -> None:
    place = tmp_path / "place"
    place.mkdir()
    for name in "abcde":
        (place / name).touch()
    assert "it holds a, b, c and 2 more, not made by provision" in refusal(place, person).message


def test_a_git_work_tree_is_refused_and_all_in_it(tmp_path: Path, person: Path) -> None:
    subprocess.run(["git", "init", "--quiet", tmp_path / "work"], check=True)
    for place in (tmp_path / "work", tmp_path / "work" / "new", tmp_path / "work" / "new" / "deep"):
        refused = refusal(place, person)
        assert f"{tmp_path / 'work'} is a git repository" in refused.message
        assert said(refused.hint) == f"provision all --home {person / 'provision'}"


def test_a_work_tree_with_the_person_in_it_has_no_other_folder_to_offer(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    person = tmp_path / "person"
    person.mkdir()
    assert said(refusal(tmp_path / "new", person).hint) == f"provision all --home {SHARED}/provision"


def test_the_usual_home_steps_aside_for_a_checkout_of_its_name(person: Path) -> None:
    usual, aside = person / "provision", person / "provision-home"
    assert beside_a_checkout(usual) == usual
    usual.mkdir()
    assert beside_a_checkout(usual) == usual
    (usual / "bin").mkdir()
    (usual / "bin" / "provision").touch()  # an unpacked zip
    assert beside_a_checkout(usual) == aside
    (usual / "bin" / "provision").unlink()
    (usual / ".git").touch()
    assert beside_a_checkout(usual) == aside
    assert accepted(aside, person)


def test_a_home_stays_the_usual_one_though_it_is_kept_in_git(person: Path) -> None:
    Home(person / "provision").prepare()
    (person / "provision" / ".git").mkdir()
    assert beside_a_checkout(person / "provision") == person / "provision"


def test_a_linked_work_tree_is_one(tmp_path: Path, person: Path) -> None:
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked" / ".git").write_text("gitdir: /elsewhere/.git/worktrees/linked\n")
    assert "is a git repository" in refusal(tmp_path / "linked" / "new", person).message


def test_dotfiles_in_the_persons_folder_are_in_nobodys_way(person: Path) -> None:
    subprocess.run(["git", "init", "--quiet", person], check=True)
    assert accepted(person / "provision", person)


def test_a_home_may_come_to_lie_in_a_work_tree(tmp_path: Path, person: Path) -> None:
    Home(tmp_path / "work" / "home").prepare()
    subprocess.run(["git", "init", "--quiet", tmp_path / "work"], check=True)
    assert accepted(tmp_path / "work" / "home", person)


def test_a_checkout_that_an_older_version_took_for_a_home_is_refused(tmp_path: Path, person: Path) -> None:
    one_from_before_the_marker(tmp_path / "checkout")
    subprocess.run(["git", "init", "--quiet", tmp_path / "checkout"], check=True)
    assert "is a git repository" in refusal(tmp_path / "checkout", person).message
    assert is_home(tmp_path / "checkout")


@pytest.mark.parametrize("place", ["/", "~", "~/.", CHECKOUT, CHECKOUT / "new", CHECKOUT / "provision"])
def test_these_are_never_homes(person: Path, place: str | Path) -> None:
    root = Path(str(place).replace("~", str(person)))
    refused = refusal(root, person)
    assert said(refused.hint) == f"provision all --home {person / 'provision'}"


def test_a_whole_volume_is_refused(person: Path) -> None:
    assert os.path.ismount("/dev")
    assert "it is an entire volume" in refusal(Path("/dev"), person).message


def test_a_home_within_a_home_is_refused(tmp_path: Path, person: Path) -> None:
    Home(tmp_path / "home").prepare()
    for place in ("new", "state/new", "ComfyUI/models"):
        assert "another install folder" in refusal(tmp_path / "home" / place, person).message


def test_a_link_is_as_what_it_leads_to(tmp_path: Path, person: Path) -> None:
    photos(tmp_path / "real")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert "photos" in refusal(tmp_path / "link", person).message
    (tmp_path / "to-person").symlink_to(person)
    assert "your home folder" in refusal(tmp_path / "to-person", person).message
    (tmp_path / "free").symlink_to(tmp_path / "nothing yet")
    assert accepted(tmp_path / "free", person)


def test_the_marker_is_written_once_and_is_a_homes_own(tmp_path: Path) -> None:
    for name in ("one", "other"):
        Home(tmp_path / name).prepare()
    one = read_marker(tmp_path / "one")
    assert one is not None
    write_marker(tmp_path / "one")
    Home(tmp_path / "one").prepare()
    assert read_marker(tmp_path / "one") == one
    assert read_marker(tmp_path / "other") != one


@pytest.mark.parametrize("text", ["", "[]", "{", '{"id": 3}', "[" * 100_000, '{"id": "\\ud800"}'])
def test_a_marker_that_cannot_be_read_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / MARKER).write_text(text)
    assert read_marker(tmp_path) is None
    Home(tmp_path).prepare()
    assert json.loads((tmp_path / MARKER).read_text())["id"]


def test_a_home_whose_marker_cannot_be_written_goes_on_by_its_receipts(tmp_path: Path) -> None:
    one_from_before_the_marker(tmp_path / "home")
    (tmp_path / "home" / MARKER / "in the way").mkdir(parents=True)
    Home(tmp_path / "home").prepare()
    assert is_home(tmp_path / "home")


def test_a_marker_that_is_a_fifo_is_none(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    os.mkfifo(tmp_path / MARKER)
    assert read_marker(tmp_path) is None


IN_STATE = re.compile(r'(?:state / |Place\("state", )"([^"{]+)"')
IN_LOGS = re.compile(r'''(?:"logs", |logs / |self\.look\) / )"([^"{]+\.log)"''')


def test_every_name_that_the_sources_put_into_a_home_is_known_as_ours() -> None:
    """What is not would be taken for a person's by `uninstall`, and kept."""
    text = "".join(path.read_text(encoding="utf-8") for path in PACKAGE.rglob("*.py") if "rehearsal" not in path.parts)
    state, logs = set(IN_STATE.findall(text)), set(IN_LOGS.findall(text))
    assert {"receipts", "switching.json", "trial"} <= state
    assert {"comfyui.log", "brief-server.log"} <= logs
    assert [name for name in state if not is_state(name)] == []
    assert [name for name in logs if not LOG_NAME.fullmatch(name)] == []
