"""A model that is on the disk twice becomes one, and the other program's file stays as it is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from provision.core.finding import Verdict
from provision.core.runner import run_step
from provision.core.step import Context
from provision.download import local_copies
from provision.download.doubles import find_doubles, make_one
from provision.download.model_files import keep_receipt, wanted_files
from provision.rehearsal.model_repo import ModelRepo
from provision.steps.models.step import MODELS
from tests.support.small_model import FILE, Brisk, Heard, small_context
from tests.support.untouched import differences, snapshot

NAME = "checkpoints/mine.safetensors"


@pytest.fixture
def theirs(tmp_path: Path) -> Path:
    """The folder of another program."""
    return tmp_path / "person" / "Fooocus" / "models"


@pytest.fixture
def ctx(tmp_path: Path, model: ModelRepo, theirs: Path, data: bytes) -> Context:
    """A home with its model, and another program that has it too."""
    (theirs / NAME).parent.mkdir(parents=True)
    (theirs / NAME).write_bytes(data)
    machine = Brisk(HOME=str(tmp_path / "person"))
    ctx = small_context(tmp_path, model, "http://127.0.0.1:9", machine=machine, emit=Heard())
    [wanted] = wanted_files(ctx)
    wanted.place.parent.mkdir(parents=True)
    wanted.place.write_bytes(data)
    size, sha256 = model.files[FILE]
    keep_receipt(ctx, wanted, size=size, sha256=sha256, found=sha256, downloaded=True)
    return ctx


def test_the_two_become_one(ctx: Context, theirs: Path) -> None:
    before = snapshot(theirs)
    [double] = find_doubles(ctx)
    assert double.copy == theirs / NAME
    assert make_one(ctx, double)
    assert double.wanted.place.samefile(theirs / NAME)
    assert differences(before, snapshot(theirs)) == []
    assert list(find_doubles(ctx)) == []
    report = run_step(MODELS, ctx, apply=False)
    assert (report.verdict, report.changed) == (Verdict.OK, False)


def test_another_model_of_its_size_stays(ctx: Context, theirs: Path, data: bytes) -> None:
    (theirs / NAME).write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    [double] = find_doubles(ctx)
    before = snapshot(ctx.home.models)
    assert not make_one(ctx, double)
    assert differences(before, snapshot(ctx.home.models)) == []
    assert list(find_doubles(ctx)) == []


def test_no_hard_link_where_none_is_wanted(ctx: Context, theirs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_copies, "clone_file", lambda *paths: False)
    ctx = replace(ctx, options=replace(ctx.options, copy=True))
    [double] = find_doubles(ctx)
    before = snapshot(ctx.home.root), snapshot(theirs)
    assert not make_one(ctx, double)
    assert differences(before[0], snapshot(ctx.home.root)) == differences(before[1], snapshot(theirs)) == []


@pytest.mark.parametrize("what", ["edited", "theirs", "linked"])
def test_a_file_that_is_not_ours_is_no_double(ctx: Context, model: ModelRepo, what: str) -> None:
    [wanted] = wanted_files(ctx)
    size, sha256 = model.files[FILE]
    if what == "edited":
        wanted.place.write_bytes(wanted.place.read_bytes())
    elif what == "theirs":
        keep_receipt(ctx, wanted, size=size, sha256=sha256, found=sha256, downloaded=False)
    else:
        (wanted.place.parent / "second name.safetensors").hardlink_to(wanted.place)
    assert list(find_doubles(ctx)) == []
