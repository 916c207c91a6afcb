"""Disk space is freed only after a yes, only of what can go, and what stays works as before."""

from __future__ import annotations

import json
import os
import shutil

import pytest

from provision.core.receipts import file_identity, home_lock, write_json
from tests.e2e.conftest import Tool
from tests.support.untouched import differences, snapshot

MB = 1_000_000


@pytest.fixture
def full(rehearsed: Tool) -> Tool:
    """A home with something of every kind."""
    home = rehearsed.home
    used = home / "envs" / (home / "venv").readlink().name
    for number, before in ((8, None), (9, 8)):
        shutil.copytree(used, home / "envs" / str(number), symlinks=True, copy_function=os.link)
        (home / "envs" / str(number) / "own.so").write_bytes(os.urandom(MB))
        about = home / "envs" / str(number) / "set" / "before.json"
        about.unlink(missing_ok=True)
        write_json(about, {"name": before and str(before), "left": "2026-11-20T10:00:00+00:00"})
    write_json(used / "set" / "before.json", {"name": "9"})
    shutil.copytree(used / "lib", home / "state" / "cache" / "archive-v0", symlinks=True, copy_function=os.link)
    (home / "state" / "cache" / "wheel").write_bytes(os.urandom(2 * MB))
    (home / "state" / "parts" / f"{'a' * 64}.part").write_bytes(os.urandom(MB))
    (home / "logs" / "comfyui.log.1").write_text("old\n")
    (home / "moved-aside" / "mine").mkdir(parents=True)
    (home / "moved-aside" / "mine" / "thesis.md").write_text("a thesis")
    [model] = (home / "ComfyUI" / "models" / "checkpoints").glob("*.safetensors")
    [receipt] = (home / "state" / "receipts").glob("model-*.json")  # of the home that this one is a copy of
    write_json(receipt, {**json.loads(receipt.read_text()), **file_identity(model)})
    (home.parent / "other").mkdir()
    shutil.copyfile(model, home.parent / "other" / "turbo.safetensors")
    return rehearsed


def kinds(report: dict[str, object]) -> dict[str, int]:
    return {each["kind"]: each["frees_bytes"] for each in report["kinds"]}  # type: ignore[attr-defined,index]


def look_in(tool: Tool) -> tuple[str, str]:
    return "--look-in", str(tool.home.parent / "other")


@pytest.mark.parametrize("words", [("--dry-run",), ()])
def test_a_look_changes_nothing_and_tells_true_sizes(full: Tool, words: tuple[str, ...]) -> None:
    before = snapshot(full.home.parent)
    ended = full.run("clean", *look_in(full), *words)
    assert ended.code == 0
    assert differences(before, snapshot(full.home.parent)) == []
    found = kinds(ended.report)
    assert list(found) == ["cache", "parts", "generations", "logs", "doubles", "moved-aside"]
    for kind, least in (("cache", 2 * MB), ("parts", MB), ("generations", MB)):
        assert least <= found[kind] < least + 500_000, kind
    assert found["doubles"] > 20 * MB


def test_a_yes_frees_it_and_what_stays_works(full: Tool) -> None:
    other = snapshot(full.home.parent / "other")
    ended = full.run("clean", *look_in(full), "--yes")
    assert (ended.code, ended.report["changed"]) == (0, True)
    assert list(kinds(ended.report)) == ["cache", "parts", "generations", "logs", "doubles"]
    assert ended.report["freed_bytes"] > 24 * MB
    assert differences(other, snapshot(full.home.parent / "other")) == []
    assert (full.home / "moved-aside" / "mine" / "thesis.md").read_text() == "a thesis"
    assert sorted(path.name for path in (full.home / "envs").iterdir() if path.name != "8")[-1] == "9"
    assert not (full.home / "state" / "cache").exists()
    again = full.run("all", "--rehearse", "--stop")
    assert again.code == 0
    assert [step["name"] for step in again.report["steps"] if step["changed"]] == ["server"]
    assert full.run("rollback").code == 0


def test_what_is_yours_needs_a_yes_of_its_own(full: Tool) -> None:
    shown = full.text("clean", "--yes")
    assert "(thesis.md)" in shown.stdout
    assert "clean --only moved-aside --yes" in shown.stderr.replace(f" --home '{full.home}'", "")
    assert (full.home / "moved-aside" / "mine").exists()
    assert full.run("clean", "--only", "moved-aside", "--yes").code == 0
    assert list((full.home / "moved-aside").iterdir()) == []


def test_nothing_goes_while_another_command_works(full: Tool) -> None:
    before = snapshot(full.home, lambda name: name.startswith("logs/"))
    with home_lock(full.home / "state" / "lock", command="all"):
        ended = full.run("clean", "--yes")
    assert (ended.code, ended.report["error"]["code"]) == (1, "home_locked")
    gone = differences(before, snapshot(full.home, lambda name: name.startswith("logs/")))
    assert [each for each in gone if not each.startswith(("state/lock", "state:", "state/.write"))] == []


def test_a_folder_that_is_none_of_ours_stays_as_it_is(tool: Tool) -> None:
    (tool.home / "state" / "cache").mkdir(parents=True)
    (tool.home / "state" / "cache" / "mine").write_text("x")
    (tool.home / "thesis.md").write_text("a thesis")
    before = snapshot(tool.home)
    ended = tool.run("clean", "--yes")
    assert (ended.code, ended.report["kinds"]) == (0, [])
    assert differences(before, snapshot(tool.home)) == []


def test_an_unknown_kind_is_refused(tool: Tool) -> None:
    ended = tool.run("clean", "--only", "models")
    assert (ended.code, ended.report["error"]["code"]) == (2, "usage")
