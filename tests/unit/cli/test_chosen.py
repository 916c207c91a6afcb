"""What a session goes by and keeps: flags over the environment over a lock over the home over the manifest."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from provision.cli.command import Session
from provision.cli.request import Request
from provision.cli.session import hold_home, open_session
from provision.command import Fix
from provision.core.choices import Choices, Source, read_choices, source_of, write_choices
from provision.core.events import Event, Note
from provision.core.home import Home
from provision.core.lockfile import Lock, LockedEngine, LockedModel, LockedTorch, Platform, write_lock
from provision.core.manifest import find_manifest, load_manifest
from provision.core.receipts import write_json
from provision.errors import DiskFull, UsageError
from provision.output.console import Console
from provision.system.local_machine import LocalMachine
from tests.support.foreign_install import clone

URL = "https://github.com/comfyanonymous/ComfyUI"


class Listening(Console):
    """A console that keeps what was said."""

    def __init__(self) -> None:
        super().__init__()
        self.events_seen: list[Event] = []

    def emit(self, event: Event) -> None:
        self.events_seen.append(event)

    @property
    def told(self) -> list[str]:
        return [event.says for event in self.events_seen if isinstance(event, Note) and " is now " in event.says]


@contextmanager
def opened(request: Request, console: Console | None = None, **environ: str) -> Iterator[Session]:
    console, machine = console or Console(), LocalMachine({**os.environ, **environ})
    with console, open_session(request, console, machine) as at:
        yield at


def held(home: Home, choices: Choices) -> None:
    home.choices.write_text(write_choices(choices), encoding="utf-8")


def done(home: Home, request: Request) -> list[str]:
    """Do what holds the home; what was said of changes."""
    console = Listening()
    with opened(replace(request, home=home.root), console) as at, hold_home(at):
        pass
    return console.told


def made(home: Home) -> Home:
    """A home in which something was done before."""
    write_json(home.receipts / "torch.json", {"wanted": "nightly"})
    return home


def source(at: Session, key: str) -> Source:
    return source_of(key, at.layers)


# -- going by it --------------------------------------------------------------------------------------------------


def test_the_order_is_flag_environment_home_manifest(home: Home) -> None:
    held(
        home,
        {
            "manifest": "sd-turbo",
            "backend": "wget",
            "endpoints": ["https://a.example"],
            "copy": True,
            "precision": "fp16",
            "torch.channel": "stable",
            "comfyui.port": 9000,
        },
    )
    with opened(Request("doctor", home.root)) as at:
        options, manifest = at.ctx.options, at.ctx.manifest
        assert (manifest.name, manifest.torch.channel, manifest.comfyui.port) == ("sd-turbo", "stable", 9000)
        assert (options.backend, options.precision, options.copy) == ("wget", "fp16", True)
        assert (options.endpoints, source(at, "endpoints")) == (("https://a.example",), Source.HOME)
        assert source(at, "first_image.steps") is Source.MANIFEST
    typed = Request("doctor", home.root, backend="hf", copy=False, overrides=["torch.channel=nightly"])
    with opened(typed, HF_ENDPOINT="https://b.example") as at:
        options = at.ctx.options
        assert (options.endpoint, options.endpoints) == ("https://b.example", ())
        assert (source(at, "endpoints"), source(at, "home")) == (Source.ENVIRONMENT, Source.FLAG)
        assert (options.backend, options.copy, at.ctx.manifest.torch.channel) == ("hf", False, "nightly")
        assert (source(at, "torch.channel"), source(at, "comfyui.port")) == (Source.FLAG, Source.HOME)
    with opened(replace(typed, endpoints=["https://c.example"]), HF_ENDPOINT="https://b.example") as at:
        assert (at.ctx.options.endpoints, source(at, "endpoints")) == (("https://c.example",), Source.FLAG)


def test_another_manifest_takes_nothing_of_the_models_along(home: Home) -> None:
    held(home, {"precision": "fp32", "models.0.revision": "main", "first_image.steps": 3, "torch.channel": "stable"})
    with opened(Request("plan", home.root, manifest="sdxl-base")) as at:
        usual = load_manifest("sdxl-base")
        assert at.ctx.manifest == replace(usual, torch=replace(usual.torch, channel="stable"))
        assert at.ctx.options.precision == usual.usual_precision


def test_an_adopted_install_keeps_its_revision_and_gives_way_to_what_was_asked_for(home: Home, tmp_path: Path) -> None:
    code = clone(tmp_path)
    held(home, {"comfyui.ref": "v0.3.1", "torch.channel": "stable"})
    with opened(Request("plan", home.root, comfyui=str(code))) as at:
        assert (at.ctx.home.comfyui, at.ctx.manifest.comfyui.ref) == (code, "latest")
        assert (at.ctx.manifest.torch.channel, source(at, "torch.channel")) == ("stable", Source.HOME)
        assert source(at, "comfyui.ref") is Source.MANIFEST


def a_lock(path: Path) -> Path:
    file = load_manifest("sdxl-turbo").models[0].files[0]
    models = (LockedModel("stabilityai/sdxl-turbo", "main", file.path, "fp16", 1, "0" * 64),)
    lock = Lock(
        schema=1,
        tool="1",
        made="2026-11-01",
        manifest="sdxl-turbo",
        platform=Platform("Darwin", "arm64", "15", "3.12.7"),
        torch=LockedTorch("nightly", "nightly"),
        comfyui=LockedEngine(URL, "a" * 40, ("--cpu",)),
        models=models,
        packages=(),
    )
    path.write_text(write_lock(lock), encoding="utf-8")
    return path


def test_a_lock_decides_over_the_home_and_a_flag_over_the_lock(home: Home, tmp_path: Path) -> None:
    held(home, {"manifest": "sd-turbo", "precision": "fp32", "comfyui.ref": "v0.3.1", "comfyui.port": 9000})
    lock = a_lock(tmp_path / "a.lock")
    with opened(Request("all", home.root, locked=lock)) as at:
        assert (at.ctx.manifest.name, at.ctx.options.precision) == ("sdxl-turbo", "fp16")
        assert (at.ctx.manifest.comfyui.ref, source(at, "comfyui.ref")) == ("a" * 40, Source.LOCK)
        assert (at.ctx.manifest.comfyui.port, source(at, "comfyui.port")) == (9000, Source.HOME)
        assert source(at, "manifest") is Source.LOCK
        assert at.ctx.manifest.comfyui.url == URL.replace("comfyanonymous", "Comfy-Org"), "the lock has its old address"
        assert at.keeping is not None
        assert "comfyui.url" not in at.keeping.after
        assert at.keeping is not None
        assert at.keeping.after == {
            "manifest": "sdxl-turbo",
            "precision": "fp16",
            "comfyui.ref": "a" * 40,
            "comfyui.port": 9000,
            "comfyui.args": ["--cpu"],
            "models.0.revision": "main",
            "models.0.files.0.sha256": "0" * 64,
            "models.0.files.0.size": 1,
            "python.version": "3.12",
            "python.min": "3.12",
            "python.max": "3.12",
        }
    with opened(Request("all", home.root, locked=lock, comfyui="v0.4")) as at:
        assert (at.ctx.manifest.comfyui.ref, source(at, "comfyui.ref")) == ("v0.4", Source.FLAG)


# -- keeping it ---------------------------------------------------------------------------------------------------


def test_what_is_asked_for_is_kept_and_told_once(home: Home) -> None:
    made(home)
    asked = Request("all", torch="stable", overrides=["first_image.steps=2"], backend="wget")
    assert done(home, asked) == [
        "backend is now wget (was auto).",
        "torch is now stable (was nightly).",
        "first_image.steps is now 2 (was 1).",
    ]
    kept = read_choices(home.choices)
    assert kept == {"manifest": "sdxl-turbo", "backend": "wget", "torch.channel": "stable", "first_image.steps": 2}
    before = home.choices.stat()
    assert done(home, asked) == done(home, Request("all")) == []
    assert home.choices.stat() == before
    assert done(home, Request("all", comfyui="v0.3.1")) == ["ComfyUI's revision is now v0.3.1 (was latest)."]
    assert done(home, Request("all", reset=True, backend="wget")) == [
        "torch is now nightly (was stable).",
        "first_image.steps is now 1 (was 2).",
        "ComfyUI's revision is now latest (was v0.3.1).",
    ]
    assert read_choices(home.choices) == {"manifest": "sdxl-turbo", "backend": "wget"}


def test_a_new_home_was_not_otherwise(home: Home) -> None:
    assert done(home, Request("all", torch="stable")) == []
    assert read_choices(home.choices) == {"manifest": "sdxl-turbo", "torch.channel": "stable"}


@pytest.mark.parametrize("command", ["launch", "generate", "bench", "rollback"])
def test_what_is_said_for_once_is_not_kept(home: Home, command: str) -> None:
    assert done(home, Request(command, overrides=["first_image.steps=2"], precision="fp32")) == []
    assert not home.choices.exists()


def test_what_a_download_is_given_is_not_kept_but_its_flags_are(home: Home) -> None:
    assert done(home, Request("download", manifest="sd-turbo", passing=True)) == []
    assert not home.choices.exists()
    assert done(home, Request("download", manifest="sd-turbo")) == []
    assert read_choices(home.choices) == {"manifest": "sd-turbo"}


def test_the_doctor_keeps_what_it_mended_by_and_a_look_keeps_nothing(home: Home) -> None:
    made(home)
    with opened(Request("doctor", home.root, precision="fp32")):
        pass
    assert not home.choices.exists()
    assert done(home, Request("doctor", precision="fp32")) == ["precision is now fp32 (was fp16)."]
    assert read_choices(home.choices) == {"precision": "fp32"}


def test_a_reset_needs_no_file_that_can_be_read_and_keeps_the_manifest(home: Home) -> None:
    held(home, {"manifest": "sd-turbo", "first_image.steps": 3})
    done(home, Request("all", reset=True))
    assert read_choices(home.choices) == {"manifest": "sd-turbo"}
    home.choices.write_text('manifest = "/gone.toml"\n', encoding="utf-8")
    with pytest.raises(UsageError, match="Unknown manifest"), opened(Request("all", home.root)):
        pass
    done(home, Request("all", reset=True))
    assert read_choices(home.choices) == {"manifest": "sdxl-turbo"}
    home.choices.unlink()
    home.choices.mkdir()
    done(home, Request("all", reset=True))
    assert read_choices(home.choices) == {"manifest": "sdxl-turbo"}
    assert [path.name for path in home.root.iterdir() if path.name.endswith(".moved-aside")]


def test_a_manifest_file_is_kept_as_it_is_found_from_anywhere(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = find_manifest("sd-turbo").read_text(encoding="utf-8")
    (tmp_path / "mine.toml").write_text(text.replace('name = "sd-turbo"', 'name = "mine"'), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    done(home, Request("all", manifest="mine.toml"))
    monkeypatch.chdir("/")
    with opened(Request("status", home.root)) as at:
        assert at.ctx.manifest.name == "mine"
    (tmp_path / "mine.toml").unlink()
    with pytest.raises(UsageError, match=r"provision\.toml: Unknown manifest"), opened(Request("all", home.root)):
        pass


def test_a_disk_that_is_full_keeps_the_old_file(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    held(home, {"manifest": "sdxl-turbo", "torch.channel": "stable"})

    def full(*_: object) -> None:
        raise DiskFull("full", hint=Fix())

    monkeypatch.setattr("provision.cli.chosen.write_text", full)
    assert done(home, Request("all")) == []
    with suppress(DiskFull):
        done(home, Request("all", torch="nightly"))
    assert read_choices(home.choices)["torch.channel"] == "stable"
