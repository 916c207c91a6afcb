"""The header first: what a file or a repository is, told before any weights are moved."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from provision.cli.command import Session
from provision.cli.commands.inspect import inspect
from provision.cli.options import choose_options
from provision.cli.request import Request
from provision.cli.session import open_session
from provision.core.finding import JSON
from provision.core.step import Context
from provision.download.hub.listing import Entry, find_checkpoint, list_entries, says
from provision.errors import HubRefused, UsageError, WrongFile
from provision.output.console import Console
from provision.output.json_console import JsonConsole
from provision.rehearsal.checkpoints import write_safetensors
from provision.rehearsal.model_repo import make_model_repo
from tests.support.faults import Fault
from tests.support.hints import said
from tests.support.hub import Hub
from tests.support.small_model import FILE, REPO, SHAPES, TWIN, Brisk, Heard, make_small_repo, small_context

WHOLE = SHAPES
PART = {"model.diffusion_model.in.weight": (64, 64)}
Files = Mapping[str, tuple[str, Mapping[str, tuple[int, ...]]]]


@contextmanager
def serving(folder: Path, files: Files) -> Iterator[tuple[Hub, Context, Heard]]:
    """A hub with one repository of these files: name -> dtype and shapes."""
    for name, (dtype, shapes) in files.items():
        write_safetensors(folder / "w" / name, shapes, dtype=dtype, seed=1)  # type: ignore[arg-type]
    (folder / "w").mkdir(exist_ok=True)
    (folder / "w" / "README.md").write_text("# a model", encoding="utf-8")
    made = make_model_repo(folder / "hub", REPO, {name: folder / "w" / name for name in [*files, "README.md"]})
    heard = Heard()
    with Hub(folder / "hub") as hub:
        base = small_context(folder, make_small_repo(folder / "other"), hub.url, emit=heard, machine=Brisk())
        yield hub, base, heard
        assert made.files


@pytest.mark.parametrize(
    ("files", "precision", "wanted", "note"),
    [
        ({"a_fp16.safetensors": ("F16", WHOLE), "a.safetensors": ("F32", WHOLE)}, "fp16", "a_fp16.safetensors", ""),
        ({"a_fp16.safetensors": ("F16", WHOLE), "a.safetensors": ("F32", WHOLE)}, "fp32", "a.safetensors", ""),
        ({"base_1.0.safetensors": ("F16", WHOLE)}, "fp16", "base_1.0.safetensors", "by its header"),
        ({"a.safetensors": ("F16", WHOLE), "b.safetensors": ("F32", WHOLE)}, "fp16", "a.safetensors", "by its header"),
        ({"a.safetensors": ("F16", WHOLE), "unet.safetensors": ("F16", PART)}, "fp16", "a.safetensors", "its header"),
        (
            {"x_fp16.safetensors": ("F16", PART), "y_fp16.safetensors": ("F16", WHOLE)},
            "fp16",
            "y_fp16.safetensors",
            "by its header",
        ),
        ({"a.safetensors": ("F32", WHOLE), "b.safetensors": ("F16", WHOLE)}, "fp32", "a.safetensors", "by its header"),
    ],
)
def test_the_checkpoint_is_found_by_name_then_by_header(
    tmp_path: Path, files: Files, precision: str, wanted: str, note: str
) -> None:
    with serving(tmp_path, files) as (hub, ctx, heard):
        assert find_checkpoint(ctx, REPO, precision) == wanted
        assert (note in heard.text) if note else not heard.text
        assert hub.sent_bytes() < 10_000, "headers alone"


@pytest.mark.parametrize(
    ("files", "precision", "words"),
    [
        ({"a.safetensors": ("F32", WHOLE)}, "fp16", "has no fp16 checkpoint. It has: a.safetensors (sdxl, fp32)."),
        ({"a.safetensors": ("F16", WHOLE), "b.safetensors": ("F16", WHOLE)}, "fp16", "more than one fp16 checkpoint"),
        ({"unet_fp16.safetensors": ("F16", PART), "b.safetensors": ("F32", WHOLE)}, "bf16", "no bf16 checkpoint"),
        ({"unet/model_fp16.safetensors": ("F16", WHOLE)}, "fp16", "no safetensors file at its top"),
        ({}, "fp16", "no safetensors file at its top"),
    ],
)
def test_a_repository_without_one_is_said_to_be_so(tmp_path: Path, files: Files, precision: str, words: str) -> None:
    with serving(tmp_path, files) as (_, ctx, _), pytest.raises(UsageError) as seen:
        find_checkpoint(ctx, REPO, precision)
    assert words in seen.value.message
    assert "--inspect" in said(seen.value.hint)


def test_names_say_a_precision() -> None:
    assert says("X_FP16.safetensors", "fp16")
    assert not says("x.safetensors", "fp16")
    assert says("x.safetensors", "fp32")
    assert not says("x_lora.safetensors", "fp32")


def test_a_listing_tells_sizes(tmp_path: Path) -> None:
    with serving(tmp_path, {"a.safetensors": ("F16", PART)}) as (hub, ctx, _):
        size = (tmp_path / "w" / "a.safetensors").stat().st_size
        assert Entry("a.safetensors", size) in list_entries(ctx, REPO)
        dead = replace(ctx, options=replace(ctx.options, endpoints=("http://127.0.0.1:9", hub.url)))
        assert Entry("a.safetensors", size) in list_entries(dead, REPO), "the next hub is asked"
        hub.arm(Fault("*", "html", times=-1))
        with pytest.raises(HubRefused):
            list_entries(ctx, REPO)


# -- --inspect ----------------------------------------------------------------------------------------------


def shown(ctx: Context, console: Console, repo: str | None, path: str | None) -> None:
    console.answer(inspect(Session(Request("inspect"), console, ctx), repo, path))


def test_a_file_is_shown_by_two_range_requests(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with serving(tmp_path, {FILE: ("F16", WHOLE)}) as (hub, ctx, _):
        shown(ctx, Console(), REPO, FILE)
        ranges = [request.headers["range"] for request in hub.requests if "range" in request.headers]
        assert len(set(ranges)) == 2
        assert hub.sent_bytes() < 5000
    out = capsys.readouterr().out
    size = (tmp_path / "w" / FILE).stat().st_size
    for words in (f"({size:,} bytes)", "sdxl", "fp16", "4 in a header of", "F16", "format", "pt"):
        assert words in out, words


def test_as_json_it_is_one_object(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with serving(tmp_path, {FILE: ("F16", WHOLE)}) as (_, ctx, _):
        shown(ctx, JsonConsole(), REPO, FILE)
    [line] = capsys.readouterr().out.splitlines()
    told: dict[str, JSON] = json.loads(line)
    assert (told["schema"], told["type"], told["ok"]) == (2, "report", True)
    assert (told["architecture"], told["precision"], told["tensors"], told["whole"]) == ("sdxl", "fp16", 4, True)
    assert told["size"] == (tmp_path / "w" / FILE).stat().st_size
    assert told["dtypes"] == {"F16": told["data_bytes"]}
    assert len(str(told["sha256"])) == 64
    assert len(str(told["commit"])) == 40


def test_a_long_listing_comes_page_by_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("provision.rehearsal.hub.PAGE_ENTRIES", 2)
    names = [f"part{number}.safetensors" for number in range(5)]
    with serving(tmp_path, dict.fromkeys(names, ("F16", PART))) as (hub, ctx, _):
        found = list_entries(ctx, REPO)
        assert len([seen for seen in hub.requests if "/tree/" in seen.path]) == 4
    assert sorted(entry.path for entry in found if entry.checkpoint) == names
    assert len(found) == len(set(found)) == 7  # the page that describes it, and what git needs


def test_names_that_no_file_can_have_are_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("../up", "/root", "a/../b", "a\x1b[31m", "a\u202e", "a\x00", "n" * 300, "", "a//b", "fine \u00fc")
    entries = [{"type": "file", "path": name, "size": 1} for name in names]
    monkeypatch.setattr("provision.rehearsal.hub.list_entries", lambda *_, **__: entries)
    with serving(tmp_path, {"a.safetensors": ("F16", PART)}) as (_, ctx, heard):
        assert [entry.path for entry in list_entries(ctx, REPO)] == ["fine \u00fc"]
    assert heard.notes == [f"9 entries of {REPO} are not valid file names; they were skipped."]


def test_a_repository_is_listed_with_its_sizes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = {"a.safetensors": ("F16", WHOLE), "unet/part.safetensors": ("F16", PART)}
    with serving(tmp_path, files) as (hub, ctx, _):
        shown(ctx, Console(), REPO, None)
        text = capsys.readouterr().out
        shown(ctx, JsonConsole(), REPO, None)
        [line] = capsys.readouterr().out.splitlines()
        assert hub.sent_bytes() == 0
    assert "a.safetensors" in text
    assert "in a folder: a part or a variant" in text
    assert f"has no file named fp16. To see what a file is: provision download {REPO}/a.safetensors" in text
    told = json.loads(line)
    assert told["named"] == []
    assert [entry["checkpoint"] for entry in told["files"]] == [True, False]
    assert "README.md" not in line


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"a_fp16.safetensors": ("F16", PART)}, "a_fp16.safetensors is the fp16 checkpoint by its name"),
        ({"a_fp16.safetensors": ("F16", PART), "b_fp16.safetensors": ("F16", PART)}, "more than one file named"),
        ({}, "has no safetensors file at its top"),
    ],
)
def test_what_a_listing_means_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], files: Files, words: str
) -> None:
    with serving(tmp_path, files) as (_, ctx, _):
        shown(ctx, Console(), REPO, None)
    assert words in capsys.readouterr().out


def test_without_a_repository_it_is_the_manifests_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = make_small_repo(tmp_path)
    with Hub(tmp_path / "hub") as hub:
        ctx = small_context(tmp_path, made, hub.url, precision="fp32")
        shown(ctx, Console(), None, None)
    assert TWIN in capsys.readouterr().out


def test_what_is_no_safetensors_file_is_refused(tmp_path: Path) -> None:
    with serving(tmp_path, {}) as (_, ctx, _), pytest.raises(WrongFile) as seen:
        shown(ctx, Console(), REPO, "README.md")
    assert "is not a safetensors file" in seen.value.message


def test_a_session_that_inspects_makes_no_home(tmp_path: Path) -> None:
    with serving(tmp_path, {"a.safetensors": ("F32", PART)}) as (hub, _, _):
        request = Request("inspect", home=tmp_path / "no home", repo=REPO, inspect=True)
        machine = Brisk(HF_ENDPOINT=hub.url)
        with open_session(request, Console(), machine) as at:
            assert inspect(at, request.repo, None).ok
            assert inspect(at, request.repo, "a.safetensors").ok
    assert not (tmp_path / "no home").exists()


def test_the_usual_precision_is_the_manifests(tmp_path: Path) -> None:
    usual = Request("plan", home=tmp_path / "h", manifest="sd-turbo")
    with open_session(usual, Console(), Brisk()) as at:
        assert at.ctx.options.precision == "fp32"
    with open_session(replace(usual, precision="fp16"), Console(), Brisk()) as at:
        assert at.ctx.options.precision == "fp16"
    with pytest.raises(UsageError, match="only has the model of sdxl-turbo"):
        choose_options(Request("all", rehearse=True, manifest="sd-turbo"), {})
