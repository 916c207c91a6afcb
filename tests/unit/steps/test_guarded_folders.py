"""No look opens a folder for which macOS asks the person, unless they named it; an audit hook sees every opening."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from provision.core.runner import run
from provision.core.step import Context
from provision.download.known_folders import known_places
from provision.download.local_copies import find_copies
from provision.download.model_files import wanted_files
from provision.steps.registry import STEPS
from provision.system.guarded import closed_on
from tests.support.macs import mac_context

GUARDED = (
    "Documents",
    "Desktop",
    "Downloads",
    "Library/Application Support/Comfy Desktop",
    "Library/Application Support/ComfyUI",
    "Library/Application Support/comfy-cli",
    "Library/Application Support/StabilityMatrix",
    "Library/Containers/com.liuliu.draw-things/Data/Documents/Models",
)
SEEN: list[str] = []
WATCHING: list[Path] = []


def hook(event: str, given: tuple[Any, ...]) -> None:
    if WATCHING and event in ("open", "os.scandir", "os.listdir") and isinstance(given[0], str | bytes | os.PathLike):
        path = Path(os.fsdecode(given[0]))
        SEEN.extend(str(path) for folder in WATCHING if path.is_relative_to(folder))


sys.addaudithook(hook)  # for good: none can be taken away


@contextmanager
def watched(person: Path) -> Iterator[list[str]]:
    """What is opened or listed meanwhile in the folders that macOS guards."""
    SEEN.clear()
    WATCHING[:] = [person / name for name in GUARDED]
    yield SEEN
    WATCHING.clear()


@pytest.fixture
def person(tmp_path: Path) -> Path:
    """Somebody whose guarded folders are full of what would be worth a look."""
    folder = tmp_path / "person"
    for name in GUARDED:
        (folder / name / "ComfyUI/models/checkpoints").mkdir(parents=True)
        (folder / name / "ComfyUI/extra_model_paths.yaml").write_text("a:\n  checkpoints: /x\n", encoding="utf-8")
        for setting in ("installations.json", "settings.json", "config.json", "config.ini", "library.json"):
            (folder / name / setting).write_text("{}", encoding="utf-8")
    (folder / "ComfyUI/models").mkdir(parents=True)
    (folder / "ComfyUI/models/checkpoints").symlink_to(folder / "Documents/ComfyUI/models/checkpoints")
    return folder


def context(person: Path, tmp_path: Path) -> Context:
    ctx = mac_context("m5")
    ctx.machine.environ = {**ctx.machine.environ, "HOME": str(person)}
    return replace(ctx, home=replace(ctx.home, root=tmp_path / "home"))


@pytest.mark.parametrize(("planning", "deep"), [(False, False), (True, False), (False, True)])
def test_no_step_looks_there(person: Path, tmp_path: Path, planning: bool, deep: bool) -> None:
    ctx = context(person, tmp_path)
    with watched(person) as opened:
        report = run(STEPS, replace(ctx, options=replace(ctx.options, planning=planning, deep=deep)), apply=False)
    assert opened == []
    assert "models" in [step.name for step in report.steps]


def test_a_search_for_a_copy_stays_out_even_by_a_link(person: Path, tmp_path: Path) -> None:
    ctx = context(person, tmp_path)
    sought = wanted_files(ctx)[0].sought
    assert sought is not None
    (person / "Documents/ComfyUI/models/checkpoints/other.safetensors").write_bytes(b"x")
    with watched(person) as opened:
        find_copies(ctx, sought)
    assert opened == []


def test_what_the_person_names_is_read(person: Path, tmp_path: Path) -> None:
    ctx = context(person, tmp_path)
    sought = wanted_files(ctx)[0].sought
    assert sought is not None
    asked = replace(ctx, options=replace(ctx.options, look_in=(person / "Downloads",)))
    with watched(person) as opened:
        find_copies(asked, sought)
    assert opened
    assert all(Path(path).is_relative_to(person / "Downloads") for path in opened)


def test_on_linux_every_place_is_open(person: Path) -> None:
    folders = [place.folder for place in known_places({"HOME": str(person)}, closed_on("Linux", person))]
    assert person / "Downloads" in folders


@pytest.mark.parametrize("name", ["documents/x", "/Volumes/USB/models", "/Volumes/nas", "Library/Group Containers/a"])
def test_what_macos_guards_is_closed(person: Path, name: str) -> None:
    assert closed_on("Darwin", person)(person / name)


@pytest.mark.parametrize("name", ["", "Documentation", "ComfyUI/models", ".cache/huggingface", "/Applications"])
def test_the_rest_is_open(person: Path, name: str) -> None:
    assert not closed_on("Darwin", person)(person / name)
