"""Where pictures of `generate` go, and what is asked for."""

from __future__ import annotations

from pathlib import Path

import pytest

from provision.errors import UsageError
from provision.generating import Wanted, _check_place, _target, free_name, image_wishes, words_of


@pytest.mark.parametrize(
    ("prompt", "name"),
    [
        ("A red fox in snow!", "a-red-fox-in-snow"), ("../../etc/passwd", "etc-passwd"), ("...", "picture"),
        ("여우, 눈 속에", "여우--눈-속에"), ("x" * 99, "x" * 40),
    ],
)  # fmt: skip
def test_a_prompt_as_a_name_leads_nowhere_else(prompt: str, name: str) -> None:
    assert words_of(prompt) == name


def test_nothing_is_written_over_but_the_one_file_that_was_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a-fox.png").touch()
    (mine := tmp_path / "mine.png").touch()
    assert _target(Wanted("a fox"), "a fox") == tmp_path / "a-fox-1.png"
    assert _target(Wanted("a fox", mine), "a fox") == mine
    assert _target(Wanted("a fox", mine, count=2), "a fox") == tmp_path / "mine-1.png"
    assert _target(Wanted("-", mine), "a fox") == tmp_path / "mine-1.png"
    assert _target(Wanted("a fox", tmp_path), "a fox") == tmp_path / "a-fox-1.png"
    assert free_name(tmp_path, "new") == tmp_path / "new.png"


def test_a_folder_that_is_not_there_is_said_before_a_picture_is_made(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="There is no folder"):
        _check_place(Wanted("a fox", tmp_path / "nowhere" / "fox.png"))
    _check_place(Wanted("a fox", tmp_path / "fox.png"))


def test_wishes_are_keys_of_the_manifest() -> None:
    assert image_wishes(["a=b"], 2, "768x512") == [
        "first_image.steps=2", "first_image.width=768", "first_image.height=512", "a=b",
    ]  # fmt: skip
    assert image_wishes([], None, "512") == ["first_image.width=512", "first_image.height=512"]
