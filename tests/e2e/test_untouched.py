"""Every command that only looks, over a whole home and over an adopted install: nothing is changed but our own log."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from tests.e2e.conftest import Tool
from tests.support.foreign_install import clone, venv
from tests.support.forks import Forks
from tests.support.hostile_node import WAYS, install, wheel
from tests.support.untouched import differences, snapshot

LOOKS = (
    ("plan", "--rehearse"),
    ("check",),
    ("doctor",),
    ("doctor", "--deep"),
    ("status",),
    ("logs",),
    ("logs", "--tool"),
    ("report", "--output", "{out}"),
    ("doctor", "--report", "{out}"),
    ("uninstall",),
    ("download", "stabilityai/sdxl-turbo", "--inspect", "--rehearse"),
)
"""Commands that change nothing; `{out}` is a file elsewhere."""


def ours(name: str) -> bool:
    """What a look may write in a home of ours: logs, the lock, notes of children, what uv fetched to look at."""
    inside = ("logs/", "state/lock", "state/children", "state/cache", "state/looks", "state/rehearsal")
    return name in (".", "state", "logs", *TEMPORARY) or name.startswith((*inside, "ComfyUI/temp/"))


TEMPORARY = ("temp", "ComfyUI", "ComfyUI/temp")
"""Where a server that runs keeps a picture that was only looked at, and the folder that it lies in."""


def of_a_server(name: str) -> bool:
    """What a server that runs from an adopted install writes there when it is asked for a picture."""
    return name in TEMPORARY or name.startswith("temp/")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("untouched")


@pytest.fixture(scope="module")
def own(folder: Path, uv_cache: Path, loaded: Forks) -> Iterator[Tool]:
    """A home that is whole, with a node that meddles added to it while its server runs."""
    made = Tool(folder / "own", {"UV_CACHE_DIR": str(uv_cache)}, loaded=loaded)
    done = made.run("all", "--rehearse")
    assert done.code == 0, done.err
    give_node(made.home / "ComfyUI", folder)
    yield made
    made.text("stop")


@pytest.fixture(scope="module")
def adopting(folder: Path, uv_cache: Path, loaded: Forks) -> Iterator[tuple[Tool, Path]]:
    """A home that adopted a clone with its environment, and that clone, with the same node."""
    made = Tool(folder / "adopting", {"UV_CACHE_DIR": str(uv_cache)}, loaded=loaded)
    code = clone(folder / "theirs")
    venv(code / "venv")
    done = made.run("all", "--rehearse", "--comfyui", str(code), "--yes")
    assert done.code == 0, done.err
    give_node(code, folder)
    yield made, code
    made.text("stop")


def give_node(code: Path, folder: Path) -> None:
    wheel(folder / "wheels", "canary", "1.0")
    install(code, folder / "wheels", {name: way for name, way in WAYS.items() if "pip" not in name})


def every_look(tool: Tool, out: Path) -> Iterator[str]:
    """Run each of them, and pass its name."""
    for words in LOOKS:
        ended = tool.text(*(word.format(out=out / words[0]) for word in words))
        assert ended.returncode in (0, 1), (words, ended.stderr)
        yield " ".join(words)


@pytest.mark.parametrize("server", ["up", "down"])
def test_a_home_of_ours(own: Tool, tmp_path: Path, server: str) -> None:
    if server == "down":
        own.text("stop")
    before = snapshot(own.home, ours)
    for name in every_look(own, tmp_path):
        assert differences(before, snapshot(own.home, ours)) == [], name


@pytest.mark.parametrize("server", ["up", "down"])
def test_an_adopted_install(adopting: tuple[Tool, Path], tmp_path: Path, server: str) -> None:
    tool, code = adopting
    if server == "down":
        tool.text("stop")
    may = of_a_server if server == "up" else lambda name: False
    theirs, home = snapshot(code, may), snapshot(tool.home, ours)
    for name in every_look(tool, tmp_path):
        assert differences(theirs, snapshot(code, may)) == [], name
        assert differences(home, snapshot(tool.home, ours)) == [], name


def test_two_deep_looks_at_once(own: Tool) -> None:
    before = snapshot(own.home, ours)
    with ThreadPoolExecutor(2) as pool:
        ends = [each.result() for each in [pool.submit(own.run, "doctor", "--deep") for _ in range(2)]]
    assert differences(before, snapshot(own.home, ours)) == []
    assert [("imports-ready" in str(end.report), "image-proven" in str(end.report)) for end in ends] == [
        (True, True)
    ] * 2


def test_an_install_that_is_only_looked_at(adopting: tuple[Tool, Path], folder: Path) -> None:
    tool, code = adopting
    tool.text("stop")
    guest = replace(tool, home=folder / "no home")
    before = snapshot(code)
    ended = guest.run("doctor", "--deep", "--yes", "--comfyui", str(code))
    assert ended.code in (0, 1), ended.err
    assert differences(before, snapshot(code)) == []
    assert {"imports-ready", "torch-no-mps"} & {each["id"] for each in ended.step("requirements")["findings"]}
    assert not guest.home.exists()
