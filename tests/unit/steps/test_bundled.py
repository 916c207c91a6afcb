"""`--from`: the lock of a bundle that fits this machine, or in one sentence why none does."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from provision.core.bundle import About, Bundle, BundledFile, BundledLock, needs
from provision.core.home import Home
from provision.core.lockfile import Lock, LockedPackage, Platform, write_lock
from provision.core.step import Context
from provision.download.bundling.writing import begin, finish
from provision.errors import BundleError, ConsentNeeded
from provision.steps.lock.bundled import agree_to_replace, choose_lock
from tests.support.fake_machine import FakeMachine
from tests.unit.core.test_bundle import LOCK

Make = Callable[..., Context]
OTHER = replace(
    LOCK,
    manifest="sd-turbo",
    platform=Platform("Darwin", "arm64", "macOS 26.0", "3.13.1"),
    packages=(LockedPackage("torch", "2.16.0", "", "torch-2.16.0-cp313-cp313-macosx_26_0_arm64.whl", "a" * 64),),
)


def mac(version: str) -> FakeMachine:
    said = f"ProductName:\tmacOS\nProductVersion:\t{version}\nBuildVersion:\t24F74\n"
    return FakeMachine({"/usr/bin/sw_vers": said, "/usr/sbin/sysctl -i hw.optional.arm64": "hw.optional.arm64: 1\n"})


def bundle_of(folder: Path, *locks: Lock, without: str = "none") -> Bundle:
    """A bundle on a disk, whose large files are made up."""
    begin(folder)
    files: dict[str, BundledFile] = {}
    listed = []
    for number, lock in enumerate(locks):
        texts = {f"locks/{number}.lock": write_lock(lock)} | dict.fromkeys(needs(lock), "x")
        for path, text in texts.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text)
            sha256 = needs(lock).get(path) or hashlib.sha256(text.encode()).hexdigest()
            files[path] = BundledFile(len(text), sha256)
        listed.append(BundledLock(f"locks/{number}.lock", lock.manifest, f"{lock.platform.version} arm64"))
    kept = {path: file for path, file in files.items() if without not in path}
    about = About(1, "0.1.0", "now", locks=tuple(listed), files=kept)
    finish(folder, about)
    return Bundle(str(folder), about)


def test_the_lock_for_this_machine_and_manifest_is_chosen(context: Make, tmp_path: Path) -> None:
    bundle = bundle_of(tmp_path, LOCK, OTHER)
    assert choose_lock(context(machine=mac("15.5")), bundle, None) == LOCK
    assert choose_lock(context(machine=mac("26.1")), bundle, "sd-turbo") == OTHER


def test_another_machine_is_said_in_one_sentence(context: Make, tmp_path: Path) -> None:
    bundle = bundle_of(tmp_path, LOCK, OTHER)
    with pytest.raises(BundleError) as seen:
        choose_lock(context(machine=mac("13.6")), bundle, None)
    says = f"{tmp_path} is for macOS 15.5 arm64 and for macOS 26.0 arm64; this machine is macOS 13.6 arm64."
    assert seen.value.message == says
    with pytest.raises(BundleError, match=r"is for macOS 26\.0 arm64; this machine is macOS 15\.5 arm64"):
        choose_lock(context(machine=mac("15.5")), bundle, "sd-turbo")
    with pytest.raises(BundleError, match="holds sdxl-turbo, sd-turbo, not sdxl-base"):
        choose_lock(context(machine=mac("15.5")), bundle, "sdxl-base")


@pytest.mark.parametrize("what", ["torch-2.15.0", "comfyui/", "weights.safetensors"])
def test_what_the_lists_lack_is_named(context: Make, tmp_path: Path, what: str) -> None:
    with pytest.raises(BundleError, match=f"lacks .*{what}"):
        choose_lock(context(machine=mac("15.5")), bundle_of(tmp_path, LOCK, without=what), None)


def test_a_lock_that_was_changed_is_refused(context: Make, tmp_path: Path) -> None:
    bundle = bundle_of(tmp_path, LOCK)
    path = tmp_path / "locks/0.lock"
    path.write_text(path.read_text().replace("2.15.0", "2.15.1"))
    with pytest.raises(BundleError, match="not a complete bundle: the sha256 of locks/0"):
        choose_lock(context(machine=mac("15.5")), bundle, None)


def test_another_install_is_replaced_only_after_a_yes(context: Make, home: Home) -> None:
    ctx = context(machine=mac("15.5"))
    agree_to_replace(ctx, LOCK)  # nothing is installed
    home.lock_file.parent.mkdir(parents=True, exist_ok=True)
    home.lock_file.write_text(write_lock(LOCK))
    agree_to_replace(ctx, LOCK)
    asked: list[str] = []
    agree_to_replace(replace(ctx, consent=lambda question: not asked.append(question)), OTHER)
    assert "torch 2.15.0 is 2.16.0" in asked[0]
    with pytest.raises(ConsentNeeded, match="Nothing was changed"):
        agree_to_replace(replace(ctx, consent=lambda _: False), OTHER)
