"""A home whose disk is not there, or takes no writing: each command names that, and what only looks still looks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.e2e.conftest import Ended, Tool
from tests.storms.small_disk import is_possible, small_disk

UNMOUNTED = Path("/Volumes/A disk of provision's tests/home")


@pytest.fixture
def tool(tool: Tool) -> Tool:
    tool.environ |= {"HF_ENDPOINT": "http://127.0.0.1:9", "UV_DEFAULT_INDEX": "http://127.0.0.1:9", "NO_COLOR": "1"}
    return tool


def hardware(ended: Ended) -> set[str]:
    return {finding["id"] for finding in ended.step("hardware")["findings"]}


def test_a_disk_that_is_not_there_is_named_and_nothing_is_made_in_its_place(tool: Tool, tmp_path: Path) -> None:
    gone = replace(tool, home=UNMOUNTED, folder=tmp_path)
    ended = gone.run("all", "--rehearse", "--yes")
    assert (ended.code, ended.report["error"]["code"]) == (1, "home")
    assert ended.report["error"]["message"].startswith(f"No disk at {UNMOUNTED.parent}")
    tool.home.symlink_to(tmp_path / "unplugged")
    assert f"is a link to {tmp_path / 'unplugged'}, which does not exist" in tool.text("status").stdout
    looked = tool.run("doctor")
    assert "home-gone" in hardware(looked)
    assert not hardware(looked) & {"hw-disk", "disk-low"}, "of no other disk"
    assert looked.step("tools")["findings"][0]["id"] == "git-ready"
    assert {step["name"] for step in looked.report["steps"]} >= {"torch", "models", "lock"}
    assert not UNMOUNTED.parent.exists()
    assert not tool.home.exists()


@pytest.fixture
def read_only(tool: Tool, tmp_path: Path) -> Iterator[Tool]:
    """A home that was begun, on a disk that takes no writing since."""
    if not is_possible():
        pytest.skip("only root of Linux can mount a disk")
    with small_disk(tmp_path / "disk", 10_000_000) as disk:
        home = disk.folder / "home"
        (home / "state").mkdir(parents=True)
        (home / "logs").mkdir()
        (home / "logs" / "provision.log").touch()
        for name in ("models", "output"):
            (home / "ComfyUI" / name).mkdir(parents=True)
        (home / "state" / "lock").touch()
        assert disk.remount("ro")
        yield replace(tool, home=home)


def test_a_disk_that_takes_no_writing_is_named_and_looked_at(read_only: Tool) -> None:
    ended = read_only.run("all", "--rehearse", "--yes")
    assert (ended.code, ended.report["error"]["code"]) == (1, "home")
    assert ended.report["error"]["message"].endswith("is not writable: its disk is read-only.")
    looked = read_only.run("doctor")
    assert "home-read-only" in hardware(looked)
    found = {finding["id"] for step in looked.report["steps"] for finding in step["findings"]}
    assert "ckpt-missing" in found
    assert "perms-root" not in found, "it is the disk, not who may write"
