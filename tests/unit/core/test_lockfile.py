"""The lock: written, read strictly, compared, and refused where it cannot be rebuilt."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from provision.command import ours
from provision.core.home import Home
from provision.core.lockfile import (
    Lock,
    LockedEngine,
    LockedModel,
    LockedPackage,
    LockedTorch,
    Platform,
    load_lock,
    manifest_overrides,
    parse_lock,
    without_credentials,
    write_lock,
)
from provision.core.manifest import load_manifest
from provision.core.pylock import Offer, Package
from provision.core.step import Context
from provision.errors import LockError
from provision.steps.lock.rebuild import check_rebuildable
from provision.steps.lock.step import _with_wheel, check_lock, differences, nightly_age, parse_annotated, with_wheels
from tests.support.fake_machine import FakeMachine

SHA = "ab" * 32
MODEL = load_manifest("sdxl-turbo").models[0]
PACKAGES = (
    LockedPackage(
        "numpy", "2.3.5", "https://host.example/simple", "numpy-2.3.5-cp312-cp312-macosx_14_0_arm64.whl", SHA
    ),
    LockedPackage("filelock", "3.20.0", "https://host.example/simple", "filelock-3.20.0-py3-none-any.whl", SHA),
    LockedPackage("torch", "2.15.0", "https://t.example/whl", "torch-2.15.0-cp312-none-macosx_14_0_arm64.whl", SHA),
)
LOCK = Lock(
    1,
    "0.1.0",
    "2026-11-24T10:00:00+00:00",
    "sdxl-turbo",
    Platform("Darwin", "arm64", "macOS 15.5", "3.12.7"),
    LockedTorch("nightly", "stable", "https://t.example/whl", 'torch 2.16: it said "no" \\ é', ("x has none",)),
    LockedEngine("https://github.com/comfyanonymous/ComfyUI", "1" * 40, ("--force-fp16", "--fp32-vae")),
    (LockedModel(MODEL.repo, MODEL.revision, MODEL.files[0].path, "fp16", 6938081905, SHA),),
    PACKAGES,
)


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "provision.lock"
    path.write_text(write_lock(LOCK), encoding="utf-8")
    assert load_lock(path) == LOCK
    bare = replace(LOCK, models=(), packages=(LockedPackage("mine", "1.0"),))
    path.write_text(write_lock(bare), encoding="utf-8")
    assert load_lock(path) == bare


@pytest.mark.parametrize(
    ("was", "is_", "says"),
    [
        ("schema = 1", "schema = 2", "schema is 2"),
        ("schema = 1", "schema = 1\nmore = 1", "more is not a known key"),
        ('version = "2.3.5"', "version = 2", "packages.0.version must be str"),
        (
            'name = "numpy"',
            'name = "--index-url"',
            "packages.0.name is '--index-url'; it must be the name",
        ),
        (
            'version = "2.3.5"',
            'version = "2.3.5 --hash=x"',
            "packages.0.version is '2.3.5 --hash=x'; it must be",
        ),
        (f'sha256 = "{SHA}"', 'sha256 = "no"', "models.0.sha256 is 'no'; it must be 64"),
        ('path = "', 'path = "../', "it must be a path inside the repository"),
        (
            f'commit = "{"1" * 40}"',
            'commit = "--upload-pack=x"',
            "comfyui.commit is '--upload-pack=x'; it must be 40",
        ),
        ('url = "https://github.com', 'url = "ext::sh -c', "it must be an address that git may be given"),
        (
            'index = "https://t',
            'index = "--index=https://t',
            "torch.index is '--index=https://t.example/whl'; it must",
        ),
        (
            'source = "https://h',
            'source = "--index=https://h',
            "/simple', which is not an http address",
        ),
        ('python = "3.12.7"', 'python = "3"', "must be like 3.12.7"),
        ("[torch]", "[torch", "cannot be read"),
    ],
)
def test_what_no_lock_may_hold_is_refused(tmp_path: Path, was: str, is_: str, says: str) -> None:
    path, text = tmp_path / "provision.lock", write_lock(LOCK)
    assert was in text
    path.write_text(text.replace(was, is_, 1), encoding="utf-8")
    with pytest.raises(LockError) as seen:
        load_lock(path)
    assert says in seen.value.message


def test_a_lock_decides_the_manifest() -> None:
    manifest = load_manifest("sdxl-turbo", manifest_overrides(LOCK, load_manifest("sdxl-turbo")))
    assert (manifest.comfyui.ref, manifest.comfyui.args) == ("1" * 40, ("--force-fp16", "--fp32-vae"))
    assert (manifest.torch.channel, manifest.python.min, manifest.python.max) == ("2.15.0", "3.12", "3.12")
    assert manifest.models[0].files[0].sha256 == SHA
    with pytest.raises(LockError, match=r"does not have"):
        manifest_overrides(replace(LOCK, models=(replace(LOCK.models[0], path="x.safetensors"),)), manifest)


def test_two_locks_are_compared_in_words() -> None:
    assert differences(LOCK, replace(LOCK, made="later", tool="9")) == []
    other = (replace(PACKAGES[0], version="2.4"), replace(PACKAGES[2], version="2.14.1"), LockedPackage("new", "1.0"))
    engine = replace(LOCK.comfyui, commit="2" * 40, flags=())
    assert differences(LOCK, replace(LOCK, packages=other, comfyui=engine)) == [
        "filelock 3.20.0 is not there now",
        "numpy 2.3.5 is 2.4 now",
        "1 more packages",
        "ComfyUI's commit",
        "the flags",
    ]


def test_the_index_is_kept_without_what_lets_one_in() -> None:
    assert without_credentials("https://me:secret@host.example:8080/simple/?token=x#y") == (
        "https://host.example:8080/simple/"
    )
    lines = ["Torch_Sde==1.0", "    # from https://me:secret@host.example/simple", "numpy==2.3.5", "    # via x"]
    assert parse_annotated(lines) == {"torch-sde": "https://host.example/simple"}


def mac(version: str, arch: str = "arm64") -> FakeMachine:
    said = f"ProductName:\tmacOS\nProductVersion:\t{version}\nBuildVersion:\t24F74\n"
    silicon = {"/usr/sbin/sysctl -i hw.optional.arm64": "hw.optional.arm64: 1\n" if arch == "arm64" else ""}
    return FakeMachine({"/usr/bin/sw_vers": said, **silicon}, arch=arch)


def test_a_lock_is_refused_where_its_wheels_are_for_another_machine(context: Callable[..., Context]) -> None:
    check_rebuildable(context(machine=mac("15.5")), LOCK)
    check_rebuildable(context(machine=mac("14.0")), LOCK)
    for machine, this in ((FakeMachine(system="Linux", arch="x86_64"), "Linux x86_64"), (mac("13.6"), "macOS 13.6")):
        with pytest.raises(LockError) as seen:
            check_rebuildable(context(machine=machine), LOCK)
        assert this in seen.value.message
        assert "made on macOS 15.5 arm64 with Python 3.12" in seen.value.message
        assert "2 of its 3 packages are not for it (torch, numpy)" in seen.value.message


def test_what_came_from_no_index_cannot_be_had_again(context: Callable[..., Context], home: Home) -> None:
    info = home.venv / "lib" / "python3.12" / "site-packages" / "my_own-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Name: my-own\n")
    direct = json.dumps({"url": "https://me:secret@host.example/own.whl?x=y"})
    machine = FakeMachine(system="Linux", files={str(info / "direct_url.json"): direct})
    (found,) = with_wheels(context(machine=machine), (LockedPackage("my-own", "1.0"),))
    assert (found.source, found.sha256) == ("https://host.example/own.whl", "")
    with pytest.raises(LockError, match="no hash of 1 packages"):
        check_rebuildable(context(machine=mac("15.5")), replace(LOCK, packages=(*PACKAGES, found)))


def test_a_folder_of_wheels_is_not_written_into_a_lock(context: Callable[..., Context], home: Home) -> None:
    """It says nothing on another machine; and a lock that names one could not be read again."""
    info = home.venv / "lib" / "python3.12" / "site-packages" / "numpy-2.3.5.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Name: numpy\n")
    wheel = "numpy-2.3.5-cp312-cp312-macosx_14_0_arm64.whl"
    machine = FakeMachine(files={str(info / "WHEEL"): "Tag: cp312-cp312-macosx_14_0_arm64\n"})
    offer = Package("numpy", "2.3.5", [Offer(wheel, hashes={"sha256": "a" * 64})])
    sources = {"numpy": "file:///srv/simple"}
    found = _with_wheel(context(machine=machine), LockedPackage("numpy", "2.3.5"), {"numpy": offer}, sources)
    assert (found.source, found.wheel, found.sha256) == ("", wheel, "a" * 64)
    parse_lock(write_lock(replace(LOCK, packages=(found,))), "a lock")


def of_nightly(version: str) -> Lock:
    others = tuple(package for package in PACKAGES if package.name != "torch")
    return replace(LOCK, packages=(*others, replace(PACKAGES[2], version=version)))


@pytest.mark.parametrize(
    ("version", "now", "says"),
    [
        ("2.15.0", "2030-01-01T00:00:00+00:00", ""),
        ("2.16.0.dev20261120", "2027-01-03T10:00:00+00:00", ""),
        (
            "2.16.0.dev20261120",
            "2027-01-04T10:00:00+00:00",
            "45 days ago, and its index keeps about 60",
        ),
        ("2.16.0.dev20261120+cpu", "2027-01-18T10:00:00+00:00", "gone in about 1 days"),
        ("2.16.0.dev20261120", "2027-01-19T10:00:00+00:00", "is likely gone"),
        ("2.16.0.dev20261399", "2027-01-19T10:00:00+00:00", ""),
        ("2.16.0.dev20261120", "no time", ""),
    ],
)
def test_a_nightly_is_on_its_index_for_about_sixty_builds(version: str, now: str, says: str) -> None:
    found = nightly_age(of_nightly(version), now)
    assert says in found
    assert bool(says) == bool(found)


def test_a_lock_of_an_old_nightly_is_a_warning_with_a_way_out(
    context: Callable[..., Context], home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = of_nightly("2.16.0.dev20250101")
    monkeypatch.setattr("provision.steps.lock.step.describe", lambda ctx: old)
    home.prepare()
    home.lock_file.write_text(write_lock(old), encoding="utf-8")
    (finding,) = check_lock(context(machine=mac("15.5")))
    assert finding.id == "lock-partial"
    assert "nightly of" in finding.says
    assert finding.fix
    assert finding.fix.command == ours("all", "--torch", "stable")
    stays = replace(old, packages=PACKAGES)
    monkeypatch.setattr("provision.steps.lock.step.describe", lambda ctx: stays)
    home.lock_file.write_text(write_lock(stays), encoding="utf-8")
    assert [finding.id for finding in check_lock(context(machine=mac("15.5")))] == ["lock-ready"]
