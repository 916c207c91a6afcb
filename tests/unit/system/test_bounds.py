"""What a person gives is read within bounds, or refused with a sentence."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest

from provision.cli.commands import generate as generating
from provision.comfyui.extra_model_paths import read_extra_paths
from provision.core.lockfile import load_lock
from provision.core.manifest import load_manifest, manifest_folder
from provision.errors import LockError, ManifestError, UsageError
from provision.system.strict import read_tail
from tests.support.engine_home import engine_home

WHOLE = (manifest_folder() / "sdxl-turbo.toml").read_text(encoding="utf-8")
MANY = 90_000
MANIFESTS = {
    "names": WHOLE + "".join(f"k{number}=1\n" for number in range(MANY)),
    "tables": WHOLE + "".join(f"[t{number}]\n" for number in range(MANY)),
    "one name of many": WHOLE + ".".join(["a"] * 400_000) + "=1\n",
    "quoted names": WHOLE + ".".join(['"a"'] * 200_000) + "=1\n",
    "tables in tables": f"{WHOLE}x={'{a=' * 50_000}1{'}' * 50_000}\n",
    "brackets": f"{WHOLE}x={'[' * 400_000}\n",
    "a long name": f"{WHOLE}{'a' * 900_000}=1\n",
    "a long text": WHOLE.replace("schema = 1", f'schema = 1\nname = "{"a" * 900_000}"', 1),
    "digits": f"{WHOLE}x={'9' * 900_000}\n",
    "more than a megabyte": f"{WHOLE}#{'a' * 1_000_000}\n",
}
BOMBS = {
    "laughs": "a: &a [x, x]\n"
    + "".join(
        f"{after}: &{after} [*{name}, *{name}, *{name}, *{name}, *{name}, *{name}, *{name}, *{name}, *{name}]\n"
        for name, after in zip("abcdefghi", "bcdefghij", strict=True)
    ),
    "merges": "a: &a {x: y}\n" + "".join(f"b{number}: {{<<: *a}}\n" for number in range(5_000)),
    "flow": "a: " + "[" * 100_000,
    "block": "- " * 100_000,
    "keys": "? " * 100_000,
    "itself": "a: &a [*a, *a]\nb: *a\n" * 20,
    "lines": "a: b\n" * 150_000,
}


@pytest.mark.parametrize("name", MANIFESTS)
def test_a_manifest_without_measure_is_refused_in_a_short_sentence(tmp_path: Path, name: str) -> None:
    path = tmp_path / "large.toml"
    path.write_text(MANIFESTS[name], encoding="utf-8")
    with pytest.raises(ManifestError) as refused:
        load_manifest(str(path))
    assert len(refused.value.message) < 1000


@pytest.mark.parametrize("value", ["[" * 5_000, "{" + "a." * 9_000 + "b=1}", "9" * 5_000, "x" * 1_000_000])
def test_a_value_without_measure_is_refused_in_a_short_sentence(value: str) -> None:
    with pytest.raises(ManifestError) as refused:
        load_manifest("sdxl-turbo", [f"first_image.steps={value}"])
    assert len(refused.value.message) < 1000


@pytest.mark.parametrize("url", ["https://a b/c", "https://a\u2028b/c", "git@host:a b", "ssh://host/a b"])
def test_an_address_with_a_space_in_it_is_none(url: str) -> None:
    with pytest.raises(ManifestError, match=r"comfyui\.url"):
        load_manifest("sdxl-turbo", [f"comfyui.url={url}"])


@pytest.mark.parametrize("kind", ["fifo", "folder", "device", "large"])
def test_a_lock_that_is_no_text_file_is_refused(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "x.lock"
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "device":
        path.symlink_to("/dev/zero")
    else:
        with path.open("wb") as stream:
            stream.truncate(10 << 30)
    with pytest.raises(LockError, match="cannot be read"):
        load_lock(path)


@pytest.mark.parametrize("name", BOMBS)
def test_settings_that_would_take_all_memory_are_none(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="exhaust time and memory"):
        read_extra_paths(BOMBS[name], tmp_path)


def test_settings_with_a_few_aliases_are_read(tmp_path: Path) -> None:
    text = "a: &a\n  base_path: /x\n  checkpoints: models\nb: *a\n"
    assert [section.base for section in read_extra_paths(text, tmp_path)] == [Path("/x"), Path("/x")]


def test_the_end_of_a_log_of_any_size_is_read(tmp_path: Path) -> None:
    with (tmp_path / "log").open("wb") as stream:
        stream.truncate(10 << 30)
        stream.seek(0, os.SEEK_END)
        stream.write(b"\nfirst\n\xfflast\n")
    assert read_tail(tmp_path / "log", 1000) == "first\n\ufffdlast\n"


def test_a_prompt_that_is_no_text_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"a fox\n\xff\n"), encoding="utf-8"))
    prompts = generating._prompts(engine_home(tmp_path).ctx, "-")
    assert next(prompts) == "a fox"
    with pytest.raises(UsageError, match="not text"):
        next(prompts)


def test_a_prompt_without_end_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO(b"a fox\n" + b"x" * 1_000_000)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(raw, encoding="utf-8"))
    prompts = generating._prompts(engine_home(tmp_path).ctx, "-")
    assert next(prompts) == "a fox"
    with pytest.raises(UsageError, match="20,000"):
        next(prompts)
    assert raw.tell() < 200_000, "it is not read to its end"
