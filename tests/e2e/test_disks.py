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


@pytest.fixture(params=["a link that leads nowhere", "a link above it", "a volume that is not mounted"])
def gone(request: pytest.FixtureRequest, tool: Tool, tmp_path: Path) -> tuple[Tool, str]:
    """A home that is not there, and what is."""
    if "volume" in request.param:
        return replace(tool, home=UNMOUNTED, folder=tmp_path), f"There is no disk at {UNMOUNTED.parent}"
    link = tmp_path / "my disk"
    link.symlink_to(tmp_path / "unplugged")
    home = link / "home" if "above" in request.param else link
    return replace(tool, home=home), f"{link} is a link to {tmp_path / 'unplugged'}, which is not there"


def hardware(ended: Ended) -> set[str]:
    return {finding["id"] for finding in ended.step("hardware")["findings"]}


def test_a_disk_that_is_not_there_is_named_and_nothing_is_made_in_its_place(gone: tuple[Tool, str]) -> None:
    tool, says = gone
    for words in (("all", "--rehearse", "--yes"), ("launch",), ("uninstall", "--yes")):
        ended = tool.run(*words)
        assert (ended.code, ended.report["error"]["code"]) == (1, "home"), words
        assert ended.report["error"]["message"].startswith(says), words
    assert says in tool.text("status").stdout
    looked = tool.run("doctor")
    assert "home-gone" in hardware(looked)
    assert not hardware(looked) & {"hw-disk", "disk-low"}, "of no other disk"
    assert looked.step("tools")["findings"][0]["id"] == "git-ready"
    assert {step["name"] for step in looked.report["steps"]} >= {"torch", "models", "lock"}
    assert not tool.home.exists()
    assert not UNMOUNTED.parent.exists()


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
    assert ended.report["error"]["message"].endswith("cannot be written: its disk is read-only.")
    for words in (("doctor",), ("check",)):
        looked = read_only.run(*words)
        assert "home-read-only" in hardware(looked), words
    found = {finding["id"] for step in read_only.run("doctor").report["steps"] for finding in step["findings"]}
    assert "perms-root" not in found, "it is the disk, not who may write"
    assert read_only.run("status").report["installed"]
