"""An install of another has an updater of its own, which is named and left to its work."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from provision.comfyui.updaters import updater_of
from tests.support.foreign_install import clone, desktop, unzipped


@pytest.mark.parametrize(
    ("place", "says"),
    [
        ("StabilityMatrix/Data/Packages/ComfyUI", "Stability Matrix updates it"),
        ("pinokio/api/comfy.git/app", "Pinokio updates it"),
        ("ComfyUI", "git updates it"),
    ],
)
def test_by_where_it_lies(tmp_path: Path, place: str, says: str) -> None:
    code = tmp_path / place
    code.parent.mkdir(parents=True, exist_ok=True)
    shutil.move(clone(tmp_path / "made"), code)
    found = updater_of(code, {"HOME": str(tmp_path)})
    assert found.says == says
    assert found.fix.command is not None


def test_comfy_desktop_is_known_by_its_records(tmp_path: Path) -> None:
    made = desktop(tmp_path)
    assert updater_of(made.code, {"HOME": str(tmp_path)}).says == "Comfy Desktop updates it"


def test_what_was_unpacked_by_hand(tmp_path: Path) -> None:
    code = unzipped(tmp_path / "ComfyUI")
    assert updater_of(code, {"HOME": str(tmp_path)}).says == "it was unpacked by hand"
