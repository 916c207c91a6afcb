"""What status tells: disk by part, the last image, what is old; and how the picture stands beside it."""

from __future__ import annotations

import os
from datetime import date
from pathlib import Path

import pytest

from provision.cli.commands.overview import disk_parts, last_image, nightly_age
from provision.core.home import Home
from tests.support.hints import said


def write(path: Path, size: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(os.urandom(size))
    return path


def test_each_part_of_the_disk_counts_once(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    model = write(home.models / "checkpoints" / "m.safetensors", 400_000)
    write(home.comfyui / "main.py", 50_000)
    write(home.comfyui / "output" / "a.png", 100_000)
    wheel = write(home.state / "cache" / "torch.so", 300_000)
    (home.own_venv / "lib").mkdir(parents=True)
    os.link(wheel, home.own_venv / "lib" / "torch.so")
    (home.root / "elsewhere").symlink_to(model)
    parts = disk_parts(home)
    assert list(parts)[:4] == ["models", "images", "ComfyUI", "environments"]
    least = {"models": 400_000, "images": 100_000, "ComfyUI": 50_000, "environments": 300_000}
    assert all(size <= parts[part] < size + 60_000 for part, size in least.items()), parts
    assert parts["caches"] < 60_000
    assert sum(parts.values()) < 1_100_000


def test_the_last_picture_is_the_newest_that_was_saved(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    assert last_image(home) is None
    first = write(home.first_image, 10)
    assert last_image(home) == first
    for n, age in enumerate((50, 10, 90)):
        os.utime(write(home.comfyui / "output" / f"{n}.png", 10), (1_000 - age, 1_000 - age))
    assert last_image(home) == home.comfyui / "output" / "1.png"


@pytest.mark.parametrize(
    ("torch", "told"),
    [
        ("2.16.0.dev20261120", []),
        ("2.9.1", []),
        ("", []),
        ("2.16.0.dev99999999", []),
        ("2.16.0.dev20261001", ["torch is the nightly of 54 days ago"]),
    ],
)
def test_an_old_nightly_is_told(torch: str, told: list[str]) -> None:
    found = [said(each) for each in nightly_age(torch, date(2026, 11, 24))]
    assert [each.partition(";")[0] for each in found] == told
    assert all("--torch nightly@20261123" in each for each in found)
