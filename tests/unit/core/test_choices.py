"""What was asked for in a home: read strictly, merged, told, and written so that it reads back the same."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from provision.command import Fix, ours
from provision.core.choices import (
    DEFAULTS,
    MAX_BYTES,
    Choices,
    Source,
    asked_for,
    blaming,
    changed,
    check_choices,
    choices_of,
    differences,
    for_manifest,
    from_before,
    of_manifest,
    parse_choices,
    read_choices,
    source_of,
    write_choices,
)
from provision.core.home import Home
from provision.core.lockfile import Lock, LockedEngine, LockedModel, LockedTorch, Platform, write_lock
from provision.core.manifest import load_manifest, read_manifest
from provision.core.overrides import flat
from provision.core.receipt_kinds import ComfyReceipt, TorchReceipt
from provision.errors import ManifestError, UsageError
from provision.system.strict import parse_toml

CHOSEN: Choices = {
    "manifest": "sdxl-turbo",
    "backend": "wget",
    "precision": "fp32",
    "endpoints": ["https://hub.example"],
    "copy": True,
    "torch.channel": "stable",
    "comfyui.ref": "v0.3.1",
    "comfyui.args": ["--cpu"],
    "comfyui.port": 9000,
    "first_image.steps": 2,
    "first_image.cfg": 1.5,
    "first_image.prompt": 'a "fox", 여우\n🦊 \\ and # a hare',
    "models.0.revision": "main",
    "models.0.files.1.size": 12,
}
KEYS = dict(flat(load_manifest("sdxl-turbo")))


def read(tmp_path: Path, text: str) -> Choices:
    path = tmp_path / "provision.toml"
    path.write_text(text, encoding="utf-8")
    return read_choices(path)


def read_whole(tmp_path: Path, text: str) -> None:
    """Read as a command does."""
    choices = read(tmp_path, text)
    with blaming(tmp_path / "provision.toml"):
        check_choices(choices, read_manifest("sdxl-turbo"))


def refused(tmp_path: Path, text: str) -> UsageError:
    with pytest.raises(UsageError) as seen:
        read_whole(tmp_path, text)
    return seen.value


# -- the file -----------------------------------------------------------------------------------------------------


def test_what_is_written_reads_back_the_same(tmp_path: Path) -> None:
    assert read(tmp_path, write_choices(CHOSEN)) == CHOSEN
    assert read(tmp_path, write_choices({})) == {}
    assert 'torch.channel = "stable"\n' in write_choices(CHOSEN)
    assert "provision config" in write_choices({})


@settings(max_examples=60, deadline=None)
@given(st.text(st.characters(exclude_categories=("Cc", "Cs")) | st.sampled_from("\n\t"), max_size=60))
@example('a "fox" ' + "." * 40)
@example("\u2028" + "." * 40 + '\\" #')
def test_any_text_reads_back_the_same(text: str) -> None:
    choices: Choices = {"first_image.prompt": text, "comfyui.args": [text]}
    assert parse_choices(parse_toml(write_choices(choices))) == choices


def test_tables_and_keys_with_dots_are_the_same(tmp_path: Path) -> None:
    wanted = {"precision": "fp32", "first_image.steps": 2, "models.0.files.1.size": 12}
    tables = 'precision = "fp32"\n[first_image]\nsteps = 2\n[models.0.files.1]\nsize = 12\n'
    assert read(tmp_path, tables) == wanted
    assert read(tmp_path, 'precision = "fp32"\n"first_image.steps" = 2\nmodels.0.files.1.size = 12\n') == wanted


def test_no_file_is_no_choice(tmp_path: Path) -> None:
    assert read_choices(tmp_path / "provision.toml") == {}
    (tmp_path / "file").touch()
    assert read_choices(tmp_path / "file" / "provision.toml") == {}


@pytest.mark.parametrize(
    ("text", "key", "near"),
    [
        ('backendd = "hf"\n', "backendd", "backend"),
        ("[first_image]\nstep = 2\n", "first_image.step", "first_image.steps"),
        ('torch = "stable"\n', "torch", "torch.channel"),
        ("comfyui.args.x = 1\n", "comfyui.args.x", "comfyui.args"),
        ("[[models]]\nrepo = 'a/b'\n", "models", "models.0.repo"),
        ("qqqqqqqqqqqq = 1\n", "qqqqqqqqqqqq", "manifest, backend"),
    ],
)
def test_an_unknown_key_is_refused_with_the_nearest(tmp_path: Path, text: str, key: str, near: str) -> None:
    error = refused(tmp_path, text)
    assert error.message == f"{tmp_path}/provision.toml: {key} is not a known key."
    assert error.hint.says.startswith("Nearest: ")
    assert near in error.hint.says


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('first_image.steps = "2"\n', "first_image.steps must be int, and is '2' (str)."),
        ("torch.channel = 2.7\n", "torch.channel must be str, and is 2.7 (float)."),
        ('comfyui.args = "--cpu"\n', "comfyui.args must be a list, and is '--cpu' (str)."),
        ("comfyui.args = [1]\n", "comfyui.args.0 must be str, and is 1 (int)."),
        ("copy = 1\n", "copy must be bool, and is 1 (int)."),
        ("first_image.steps = true\n", "first_image.steps must be int, and is True (bool)."),
        ('manifest = "\\u001b"\n', "manifest holds a control character: '\\x1b'."),
        ("first_image.steps = 99999999999999999999\n", "first_image.steps is too large a number."),
        ("first_image.cfg = nan\n", "first_image.cfg is nan; it must be between 0 and 100."),
        ("torch.channel = 1979-05-27\n", "torch.channel must be str, and is datetime.date(1979, 5, 27) (date)."),
        ("comfyui.args = [{ a = 1 }]\n", "comfyui.args.0 must be str, and is {'a': 1} (dict)."),
    ],
)
def test_a_wrong_type_is_refused(tmp_path: Path, text: str, says: str) -> None:
    error = refused(tmp_path, text)
    assert error.message == f"{tmp_path}/provision.toml: {says}"
    assert error.exit_code == 2
    assert error.hint.command == ours("all", "--reset")


@pytest.mark.parametrize(
    "data",
    [
        b"precision = \n",
        b"\xff\xfe",
        b"a" + b".a" * 40 + b" = 1\n",
        b"a = " + b"[" * 5000,
        b"#" * (MAX_BYTES + 1),
        b"precision = 'fp16'\nprecision = 'fp16'\n",
        b"a = " + b"{a = " * 3000,
    ],
)
def test_what_is_no_toml_is_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "provision.toml"
    path.write_bytes(data)
    with pytest.raises(UsageError, match=r"provision\.toml: it cannot be read: \S.*\.$"):
        read_choices(path)


@pytest.mark.parametrize("kind", ["folder", "fifo", "socket", "device", "loop", "sealed"])
def test_what_is_no_file_is_refused(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "provision.toml"
    if kind == "folder":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "socket":
        monkeypatch.chdir(tmp_path)  # its whole path is too long for a socket's
        with socket.socket(socket.AF_UNIX) as bound:
            bound.bind(path.name)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "loop":
        path.symlink_to(path)
    else:
        path.touch(mode=0)
        if os.geteuid() == 0:
            pytest.skip("root reads everything")
    with pytest.raises(UsageError, match=r"provision\.toml: it cannot be read: \S.*\.$"):
        read_choices(path)


def test_a_refusal_inside_names_the_file(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as seen, blaming(tmp_path):
        raise ManifestError("first_image.steps is 500; it must be between 1 and 100.", hint=Fix("--set ..."))
    assert seen.value.message == f"{tmp_path}: first_image.steps is 500; it must be between 1 and 100."


# -- a home from before -------------------------------------------------------------------------------------------


def lock(manifest: str = "sd-turbo", precision: str = "bf16") -> Lock:
    model = LockedModel("a/b", "main", "m.safetensors", precision, 1, "0" * 64)
    platform = Platform("Darwin", "arm64", "15.1", "3.12.7")
    return Lock(1, "1", "2026-11-01", manifest, platform, LockedTorch("stable", "stable"), LockedEngine(), (model,), ())


def test_a_home_from_before_tells_by_its_receipts_and_its_lock(home: Home) -> None:
    assert choices_of(home) == {}
    home.lock_file.write_text(write_lock(lock()), encoding="utf-8")
    home.receipts.mkdir()
    (home.receipts / "torch.json").write_text('{"wanted": "stable"}', encoding="utf-8")
    (home.receipts / "comfyui.json").write_text('{"ref": "v0.3.1"}', encoding="utf-8")
    assert choices_of(home) == {
        "manifest": "sd-turbo",
        "precision": "bf16",
        "torch.channel": "stable",
        "comfyui.ref": "v0.3.1",
    }
    home.choices.write_text('backend = "hf"\n', encoding="utf-8")
    assert choices_of(home) == {"backend": "hf"}


def test_what_is_so_without_being_asked_for_is_no_choice() -> None:
    torch, comfyui = TorchReceipt(wanted="nightly"), ComfyReceipt(ref="latest")
    assert from_before(torch, comfyui, lock("sdxl-turbo", "fp16")) == {}
    assert from_before(torch, ComfyReceipt(ref="v1", path="/somebody/elses"), None) == {}
    assert from_before(torch, ComfyReceipt(ref="v1"), lock("a-manifest-of-their-own")) == {}


# -- going by it --------------------------------------------------------------------------------------------------


def test_the_keys_of_a_manifest_say_what_was_chosen() -> None:
    values = dict(flat(load_manifest("sdxl-turbo", of_manifest(CHOSEN))))
    assert {key: values[key] for key in CHOSEN if key not in DEFAULTS} == {
        key: value for key, value in CHOSEN.items() if key not in DEFAULTS
    }


def test_another_manifest_keeps_how_comfyui_runs_and_not_what_goes_with_the_model() -> None:
    assert for_manifest(CHOSEN, "sdxl-turbo") == CHOSEN
    left = for_manifest(CHOSEN, "sd-turbo")
    assert {"backend", "torch.channel", "comfyui.port", "copy"} <= left.keys()
    assert not {"precision", "first_image.steps", "models.0.revision"} & left.keys()


@pytest.mark.parametrize(
    ("key", "source"),
    [
        ("backend", Source.FLAG),
        ("torch.channel", Source.HOME),
        ("comfyui.args", Source.HOME),
        ("precision", Source.DEFAULT),
        ("first_image.steps", Source.MANIFEST),
        ("comfyui.port", Source.FLAG),
    ],
)
def test_the_first_place_that_decides_is_the_source(key: str, source: Source) -> None:
    layers = ((Source.FLAG, ["backend", "comfyui.port"]), (Source.HOME, ["backend", "torch.channel", "comfyui.args.0"]))
    assert source_of(key, layers) is source


# -- changing it --------------------------------------------------------------------------------------------------


def test_what_is_kept_of_flags_has_the_types_of_the_manifest() -> None:
    overrides = ["first_image.steps=2", "comfyui.args.0=--cpu", "models.00.revision=main", "torch.channel=2.7"]
    asked = asked_for({"backend": "hf"}, overrides, dict(flat(load_manifest("sdxl-turbo", overrides))))
    assert asked == {
        "backend": "hf",
        "first_image.steps": 2,
        "comfyui.args": ["--cpu"],
        "models.0.revision": "main",
        "torch.channel": "2.7",
    }


def test_passwords_and_names_that_are_no_text_are_not_kept() -> None:
    overrides = ["torch.stable_index=https://me:secret@index.example/simple", "comfyui.url=https://host.example/a"]
    flags: Choices = {
        "endpoints": ["https://hub.example", "https://me:secret@hub.example"],
        "manifest": "/a\udcff.toml",
    }
    asked = asked_for(flags, overrides, dict(flat(load_manifest("sdxl-turbo", overrides))))
    assert asked == {"comfyui.url": "https://host.example/a"}


def test_a_flag_changes_one_thing_and_says_so() -> None:
    before: Choices = {"manifest": "sdxl-turbo", "torch.channel": "stable", "first_image.steps": 2}
    after = changed(before, {"manifest": "sdxl-turbo", "torch.channel": "nightly", "copy": True})
    assert after == {**before, "torch.channel": "nightly", "copy": True}
    assert differences(before, after, {**DEFAULTS, **KEYS}) == [
        "torch is now nightly (was stable).",
        "copy is now yes (was no).",
    ]
    assert differences(after, after, KEYS) == []
    assert differences({}, {"torch.channel": KEYS["torch.channel"]}, KEYS) == []


def test_another_manifest_tells_what_it_takes_back() -> None:
    before: Choices = {"manifest": "sdxl-turbo", "torch.channel": "stable", "first_image.steps": 2}
    after = changed(before, {"manifest": "sd-turbo"})
    assert after == {"manifest": "sd-turbo", "torch.channel": "stable"}
    assert differences(before, after, KEYS) == [
        "manifest is now sd-turbo (was sdxl-turbo).",
        "first_image.steps is now 1 (was 2).",
    ]
