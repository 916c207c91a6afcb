"""Where pictures of `generate` go, and what is asked for."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from provision.cli.commands.generate import image_wishes, place_of, words_of
from provision.errors import HomeError, UsageError


@pytest.mark.parametrize(
    ("prompt", "name"),
    [
        ("A red fox in snow!", "a-red-fox-in-snow"),
        ("../../etc/passwd", "etc-passwd"),
        ("...", "picture"),
        ("여우, 눈 속에", "여우--눈-속에"),
        ("x" * 99, "x" * 40),
    ],
)
def test_a_prompt_as_a_name_leads_nowhere_else(prompt: str, name: str) -> None:
    assert words_of(prompt) == name


def test_nothing_is_written_over_but_the_one_file_that_was_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a-fox.png").touch()
    (mine := tmp_path / "mine.png").touch()

    def keep(output: Path | None, *, alone: bool = True) -> Path:
        return place_of(output, alone=alone).keep("a fox", b"new")

    assert keep(None) == tmp_path / "a-fox-1.png"
    assert keep(mine, alone=False) == tmp_path / "mine-1.png"
    assert keep(mine, alone=False) == tmp_path / "mine-2.png"
    assert keep(tmp_path) == tmp_path / "a-fox-2.png"
    assert (mine.read_bytes(), (tmp_path / "a-fox.png").read_bytes()) == (b"", b"")
    assert keep(mine) == mine
    assert mine.read_bytes() == b"new"
    assert keep(Path("new")) == tmp_path / "new"
    assert len(list(tmp_path.iterdir())) == 7, "something was left beside the pictures"


def test_a_folder_that_is_not_there_is_said_before_a_picture_is_made(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No such folder"):
        place_of(tmp_path / "nowhere" / "fox.png", alone=True)
    assert place_of(tmp_path / "fox.png", alone=True).path == tmp_path / "fox.png"
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_file_is_not_replaced(tmp_path: Path) -> None:
    os.mkfifo(fifo := tmp_path / "fox.png")
    with pytest.raises(UsageError, match="is not a file"):
        place_of(fifo, alone=True)
    with pytest.raises(HomeError, match="is not usable"):
        place_of(tmp_path / ("x" * 300), alone=True)


def test_a_current_folder_that_is_gone_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (gone := tmp_path / "gone").mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    with pytest.raises(HomeError, match="no longer exists"):
        place_of(None, alone=True)


def test_wishes_are_keys_of_the_manifest() -> None:
    assert image_wishes(["a=b"], 2, "768x512") == [
        "first_image.steps=2",
        "first_image.width=768",
        "first_image.height=512",
        "a=b",
    ]
    assert image_wishes([], None, "512") == ["first_image.width=512", "first_image.height=512"]
