"""Uninstall takes what the tool made and nothing else, whatever a person put beside, between or in the place of it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from provision.core.ownership import MARKER, is_home
from tests.e2e.conftest import Tool

PERSONS = {
    "ComfyUI/output/fox.png": "a picture",
    "ComfyUI/output/2026/owl.png": "a picture in a folder of mine",
    "ComfyUI/input/photo.jpg": "a photo",
    "ComfyUI/models/loras/mine.safetensors": "a model",
    "ComfyUI/models/checkpoints/other.safetensors": "another checkpoint",
    "ComfyUI/custom_nodes/my_node/__init__.py": "a node",
    "ComfyUI/custom_nodes/my_node/__pycache__/x.pyc": "what Python made of it",
    "ComfyUI/custom_nodes/provision_first_page/note.txt": "a note between our own files",
    "ComfyUI/user/default/workflows/mine.json": "{}",
    "ComfyUI/user/default/comfy.settings.json": '{"a": 1}',
    "ComfyUI/extra_model_paths.yaml": "a: {}",
    "envs/mine/bin/python": "an environment of mine",
    "logs/nginx.log": "a log of another program",
    "state/notes.txt": "notes",
    "moved-aside/old.safetensors": "what was moved out of the way",
    "thesis.md": "a thesis",
    ".hidden/key": "a hidden folder",
}


@pytest.fixture
def made(rehearsed: Tool) -> Iterator[Tool]:
    """A home that is made."""
    yield rehearsed
    for pid in alive(rehearsed.home):
        os.kill(pid, 9)


def alive(home: Path) -> list[int]:
    """The processes that run from a home."""
    found = subprocess.run(["pgrep", "-f", f"{home}/"], capture_output=True, text=True, check=False)
    return [int(pid) for pid in found.stdout.split()]


def add(home: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text(text)


def files_in(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): path.read_text(errors="replace")
        for path in folder.rglob("*")
        if path.is_file() and not path.name.startswith("provision_0")
    }


def test_nothing_of_a_persons_goes_and_the_server_ends(made: Tool) -> None:
    assert made.run("launch").code == 0
    add(made.home, PERSONS)
    nodes = made.home / "ComfyUI" / "nodes.py"
    nodes.write_text(nodes.read_text() + "# an edit of mine\n")
    edited = nodes.read_text()
    shown = made.text("uninstall")
    assert shown.returncode == 0
    assert made.home.is_dir()
    assert "To remove it: " in shown.stderr
    for name in ("thesis.md", "ComfyUI/custom_nodes/my_node", "ComfyUI/nodes.py"):
        assert f"  {name}\n" in shown.stdout

    gone = made.text("uninstall", "--yes")
    assert (gone.returncode, gone.stderr.count("Traceback")) == (0, 0)
    kept = made.home.with_name(f"{made.home.name}-kept")
    assert not made.home.exists()
    assert f"What you added is in {kept}." in gone.stdout
    assert files_in(kept) == {**PERSONS, "ComfyUI/nodes.py": edited}
    assert alive(made.home) == []

    assert made.run("all", "--rehearse").code == 0
    add(made.home, {"more.txt": "more"})
    assert made.run("uninstall", "--yes").report["kept_in"] == f"{kept}-1"
    assert files_in(Path(f"{kept}-1")) == {"more.txt": "more"}


def test_a_model_in_the_place_of_ours_is_a_persons(made: Tool) -> None:
    model = next((made.home / "ComfyUI" / "models" / "checkpoints").glob("*.safetensors"))
    model.unlink()
    model.write_text("mine, by the same name")
    assert made.run("uninstall", "--yes").code == 0
    kept = made.home.with_name(f"{made.home.name}-kept")
    assert files_in(kept) == {f"ComfyUI/models/checkpoints/{model.name}": "mine, by the same name"}


def test_commits_of_a_persons_stay(made: Tool) -> None:
    code = made.home / "ComfyUI"
    who = ("-c", "user.name=x", "-c", "user.email=x@localhost")
    (code / "nodes.py").write_text("# mine\n")
    subprocess.run(["git", *who, "commit", "--quiet", "--all", "--message", "mine"], cwd=code, check=True)
    assert made.run("uninstall", "--yes").code == 0
    kept = made.home.with_name(f"{made.home.name}-kept") / "ComfyUI"
    shown = subprocess.run(["git", "show", "HEAD:nodes.py"], cwd=kept, check=True, capture_output=True, text=True)
    assert shown.stdout == "# mine\n"


def test_a_home_that_is_a_link(tool: Tool) -> None:
    real = tool.home.with_name("real")
    real.mkdir()
    tool.home.symlink_to(real)
    assert tool.run("all", "--rehearse").code == 0
    add(real, {"thesis.md": "a thesis"})
    gone = tool.text("uninstall", "--yes")
    assert f"Removed {tool.home}, a link to {real}." in gone.stdout
    assert not os.path.lexists(tool.home)
    assert not real.exists()
    assert files_in(real.with_name("real-kept")) == {"thesis.md": "a thesis"}


def test_models_on_another_disk_stay_there(made: Tool) -> None:
    models, elsewhere = made.home / "ComfyUI" / "models", made.home.with_name("big disk")
    models.rename(elsewhere)
    models.symlink_to(elsewhere)
    gone = made.text("uninstall", "--yes")
    assert gone.returncode == 0
    model = next((elsewhere / "checkpoints").glob("*.safetensors"))
    assert f"Not removed: {made.home}/ComfyUI/models/checkpoints/{model.name}" in gone.stdout
    assert (made.home.with_name(f"{made.home.name}-kept") / "ComfyUI" / "models").readlink() == elsewhere


def test_sizes_count_once_and_say_what_is_not_freed(made: Tool) -> None:
    model = next((made.home / "ComfyUI" / "models" / "checkpoints").glob("*.safetensors"))
    os.link(model, made.home.with_name("elsewhere.safetensors"))
    shown = made.text("uninstall")
    assert "of it is also used elsewhere (hard links) and is not freed" in shown.stderr
    lines = [line.split() for line in shown.stdout.splitlines()]
    unit = {"B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9}
    sizes = [float(line[0]) * unit[line[1]] for line in lines]
    assert sum(sizes[:-1]) == pytest.approx(sizes[-1], rel=0.01)
    taken = subprocess.run(["du", "-s", "-B1", made.home], capture_output=True, text=True, check=True)
    assert sizes[-1] == pytest.approx(int(taken.stdout.split()[0]), rel=0.03)


def test_a_removal_that_was_killed_goes_on(made: Tool) -> None:
    add(made.home, PERSONS)
    for name in ("first-image.png", "provision.lock", "ComfyUI/main.py", "state/receipts/comfyui.json"):
        (made.home / name).unlink()
    assert is_home(made.home)
    assert made.run("uninstall", "--yes").code == 0
    assert not made.home.exists()
    kept = files_in(made.home.with_name(f"{made.home.name}-kept"))
    assert {name: kept[name] for name in PERSONS} == PERSONS


def test_a_home_from_before_the_marker_is_known(made: Tool) -> None:
    (made.home / MARKER).unlink()
    assert made.run("uninstall", "--yes").code == 0
    assert not made.home.exists()


def refuse(tool: Tool, *words: str) -> None:
    before = files_in(tool.home)
    ended = tool.run(*words)
    assert (ended.code, ended.report["error"]["code"]) == (2, "usage"), ended.err
    assert files_in(tool.home) == before


@pytest.mark.parametrize(
    "words",
    [
        ("all", "--rehearse"),
        ("all",),
        ("plan", "--rehearse"),
        ("doctor",),
        ("doctor", "--fix", "--yes"),
        ("launch",),
        ("generate", "x"),
        ("bench",),
        ("rollback",),
        ("download",),
        ("uninstall", "--yes"),
        ("uninstall",),
    ],
    ids=" ".join,
)
def test_a_folder_of_a_persons_is_no_home_for_any_command(tool: Tool, words: tuple[str, ...]) -> None:
    add(tool.home, {"photos/a.txt": "precious", "thesis.md": "x"})
    refuse(tool, *words)


@pytest.mark.parametrize("words", [("status",), ("logs",), ("stop",), ("report",), ("check",)], ids=" ".join)
def test_a_look_at_such_a_folder_writes_nothing(tool: Tool, words: tuple[str, ...]) -> None:
    add(tool.home, {"photos/a.txt": "precious"})
    ended = subprocess.run(
        [sys.executable, "-m", "provision", *words, "--home", tool.home],
        env=tool.env(),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert ended.returncode in (0, 1, 2), ended.stderr
    assert files_in(tool.home) == {"photos/a.txt": "precious"}


def crippled_git(code: Path) -> None:
    (code / ".git" / "HEAD").write_text("nonsense")


def no_git(code: Path) -> None:
    subprocess.run(["rm", "-rf", code / ".git"], check=True)


@pytest.mark.parametrize("break_it", [crippled_git, no_git], ids=lambda each: each.__name__)
def test_what_cannot_be_told_is_a_persons(made: Tool, break_it: Callable[[Path], None]) -> None:
    code = made.home / "ComfyUI"
    (code / "nodes.py").write_text("# mine\n")
    break_it(code)
    assert made.run("uninstall", "--yes").code == 0
    assert not made.home.exists()
    assert files_in(made.home.with_name(f"{made.home.name}-kept"))["ComfyUI/nodes.py"] == "# mine\n"
