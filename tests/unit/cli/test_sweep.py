"""What killed runs left is swept by the next that holds the home; what is a person's, or at work, stays."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from provision.cli.sweep import sweep_home
from provision.comfyui.server_process import start_server, stop_server
from tests.support.engine_home import EngineHome, engine_home


@pytest.fixture
def home(tmp_path: Path) -> EngineHome:
    return engine_home(tmp_path)


def dead_pid() -> int:
    with subprocess.Popen(["true"]) as program:
        program.wait()
    return program.pid


def put(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x", encoding="utf-8")


def tree(home: EngineHome) -> set[str]:
    return {str(path.relative_to(home.ctx.home.root)) for path in home.ctx.home.root.rglob("*")}


def test_litter_goes_and_nothing_else(home: EngineHome) -> None:
    place, dead, mine = home.ctx.home, dead_pid(), os.getpid()
    before = tree(home)
    put(
        place.state / "locked.txt",
        place.state / f".write-{dead}",
        place.state / f".server.json.{dead}.140223",
        place.receipts / f".torch.json.{dead}",
        place.parts / f".ab12.json.{dead}.7",
        place.root / f".first-image.png.{dead}",
        place.root / f".provision.lock.{dead}",
        place.state / "quick-test" / "temp" / "x",
        place.trial / "ComfyUI" / "main.py",
    )
    sweep_home(home.ctx)
    assert tree(home) == before
    put(
        place.state / f".write-{mine}",
        place.state / f".server.json.{mine}.1",
        place.root / f".mine.{dead}",
        place.root / ".notes",
        place.root / f"first-image.png.{dead}",
        place.state / f".x.{'9' * 30}",
        place.comfyui / "output" / f".write-{dead}",
    )
    stays = tree(home)
    sweep_home(home.ctx)
    assert tree(home) == stays


def test_what_was_known_of_a_part_goes_with_it(home: EngineHome) -> None:
    parts = home.ctx.home.parts
    put(parts / "ab.json", parts / "cd.json", parts / "cd.part", parts / "ef.json", parts / "ef.lfs" / "store")
    sweep_home(home.ctx)
    assert sorted(path.name for path in parts.iterdir()) == ["cd.json", "cd.part", "ef.json", "ef.lfs"]


def test_the_folder_of_a_look_that_is_at_work_stays(home: EngineHome) -> None:
    place = home.ctx.home
    put(place.state / "quick-test" / "x", place.children / "123")
    sweep_home(home.ctx)
    assert (place.state / "quick-test" / "x").exists()


def test_what_cannot_be_removed_ends_nothing(home: EngineHome) -> None:
    place = home.ctx.home
    (place.state / "locked.txt").mkdir()
    (place.state / f".write-{dead_pid()}").mkdir()
    put(place.children)
    sweep_home(home.ctx)


# -- environments ---------------------------------------------------------------------------------------------------


def environments(home: EngineHome, *names: str) -> None:
    """The environment of the home becomes the first of several, of which the second was in use before."""
    place = home.ctx.home
    place.envs.mkdir()
    place.own_venv.rename(place.envs / names[0])
    place.own_venv.symlink_to(Path("envs") / names[0])
    for name in names[1:]:
        put(place.envs / name / "bin" / "python")
    put(place.envs / names[0] / "set" / "before.json")
    (place.envs / names[0] / "set" / "before.json").write_text(f'{{"name": "{names[1]}"}}', encoding="utf-8")


def left(home: EngineHome) -> set[str]:
    return {path.name for path in home.ctx.home.envs.iterdir()}


def test_a_third_environment_goes(home: EngineHome) -> None:
    environments(home, "3", "2", "1", "4")
    put(home.ctx.home.envs / "mine" / "x")
    sweep_home(home.ctx)
    assert left(home) == {"3", "2", "mine"}


def test_the_environment_of_a_server_that_runs_stays(home: EngineHome) -> None:
    environments(home, "3", "2", "4")
    place = home.ctx.home
    start_server(home.ctx)
    try:
        place.own_venv.unlink()
        place.own_venv.symlink_to("envs/4")
        sweep_home(home.ctx)
        assert left(home) == {"3", "4"}
        put(place.envs / "5" / "bin" / "python")
        (place.state / "server.json").unlink()
        sweep_home(home.ctx)
        assert left(home) == {"3", "4", "5"}, "it may run from any of them"
    finally:
        stop_server(home.ctx)
    sweep_home(home.ctx)
    assert left(home) == {"4"}
