"""What is newer is asked for beside a look, and said with its cost; a host that does not answer holds nothing up."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from provision.cli import newest
from provision.cli.newest import NewerRelease, ask_newest, is_later, says_newer
from provision.core.receipt_kinds import ComfyReceipt
from provision.core.step import Context
from provision.rehearsal.git_repo import Commit, make_bare, refs_of

Make = Callable[..., Context]
FIRST = Commit("old", 1_700_000_000, {"requirements.txt": b"idna\n"}, "v1.0.0")
SECOND = Commit("new", 1_710_000_000, {"requirements.txt": b"idna\nno-such-package-here\n"}, "v1.1.0")


@pytest.fixture
def ctx(context: Make, tmp_path: Path) -> Context:
    """A home at the first of two releases."""
    bare = tmp_path / "ComfyUI.git"
    make_bare(bare, "master", [FIRST, SECOND])
    made = context(f"comfyui.url={bare}")
    commit = refs_of(bare)["refs/tags/v1.0.0"]
    made.receipts.write("comfyui", ComfyReceipt(ref="v1.0.0", name="v1.0.0", commit=commit, date="2023-11-14"))
    return made


def test_a_later_release_has_its_day_and_its_cost(ctx: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(newest, "ASK_S", 120)
    waiting = ask_newest(ctx)
    assert waiting is not None
    asked = waiting()
    assert asked.answered
    assert asked.newer is not None
    assert (asked.newer.name, asked.newer.date) == ("v1.1.0", "2024-03-09")
    assert asked.newer.download_bytes
    assert says_newer(ctx, asked.newer).says.startswith("ComfyUI v1.1.0 of 2024-03-09 is out, at least ")


def test_a_host_that_is_silent_is_not_waited_for(ctx: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(newest, "ASK_S", 0.2)
    monkeypatch.setattr(newest, "_ask", lambda *_: time.sleep(30))
    started = time.monotonic()
    waiting = ask_newest(ctx)
    assert waiting is not None
    assert (waiting().answered, waiting().newer) == (False, None)
    assert time.monotonic() - started < 10


def test_without_a_revision_of_ours_nobody_is_asked(context: Make) -> None:
    assert ask_newest(context()) is None


@pytest.mark.parametrize(
    ("name", "here", "later"),
    [
        ("v0.33.0", "v0.3.64", True),
        ("v0.3.64", "v0.33.0", False),
        ("v0.4", "v0.4.0", False),
        ("v0.10.0", "v0.9.9", True),
        ("master", "v0.1.0", True),
        ("v1.0.0", "0123456789012345678901234567890123456789", True),
    ],
)
def test_releases_are_compared_by_their_numbers(name: str, here: str, later: bool) -> None:
    assert is_later(name, here) is later


def test_a_pin_is_named(ctx: Context, context: Make) -> None:
    held = context("comfyui.ref=v1.0.0")
    assert says_newer(held, NewerRelease("v1.1.0")).says == "ComfyUI is held at v1.0.0; v1.1.0 is out:"
