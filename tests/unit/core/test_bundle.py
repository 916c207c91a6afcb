"""What a bundle's lists say: names that stay where they are put, hashes, what a lock needs of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from provision.core.bundle import (
    About,
    Bundle,
    BundledFile,
    check_names,
    is_safe,
    lacks,
    model_path,
    needs,
    parse_sums,
    python_build,
    uv_builds,
    write_sums,
)
from provision.core.lockfile import Lock, LockedEngine, LockedModel, LockedPackage, LockedTorch, Platform
from provision.system.strict import Unreadable

HASH, OTHER = "a" * 64, "b" * 64
PYTHON = "python/20261110/cpython-3.12.16+20261110-aarch64-apple-darwin-install_only_stripped.tar.gz"
WHEEL = "torch-2.15.0-cp312-cp312-macosx_14_0_arm64.whl"
LOCK = Lock(
    schema=1,
    tool="0.1.0",
    made="2026-11-24T10:00:00+01:00",
    manifest="sdxl-turbo",
    platform=Platform("Darwin", "arm64", "macOS 15.5", "3.12.16"),
    torch=LockedTorch("nightly", "stable"),
    comfyui=LockedEngine("https://github.com/Comfy-Org/ComfyUI", "c" * 40),
    models=(LockedModel("owner/name", "d" * 40, "sub/weights.safetensors", "fp16", 5, HASH),),
    packages=(LockedPackage("torch", "2.15.0", "", WHEEL, HASH),),
)


@pytest.mark.parametrize(
    "path",
    [
        "../up",
        "a/../b",
        "/etc/passwd",
        "a//b",
        "./a",
        "",
        "a/",
        ".hidden",
        "wheels/.x",
        "C:/x",
        "a:b",
        "a\\b",
        "a/b.",
        "a/b ",
        "a\nb",
        "a\x1b[2J",
        "con?",
        "a*",
        "~/a/é",
        "x" * 201,
        "/".join(["abcdefgh"] * 70),
    ],
)
def test_a_name_that_could_lie_elsewhere_is_refused(path: str) -> None:
    assert not is_safe(path)
    with pytest.raises(Unreadable):
        check_names([path])


@pytest.mark.parametrize("path", [PYTHON, f"wheels/{WHEEL}", "o/n/resolve/main/a b (1).safetensors", "x/1!2.0+cpu"])
def test_names_of_wheels_and_models_are_taken(path: str) -> None:
    assert is_safe(path)


def test_two_names_that_a_mac_takes_for_one_are_refused() -> None:
    with pytest.raises(Unreadable, match="twice"):
        check_names(["wheels/PyYAML.whl", "wheels/pyyaml.whl"])


def test_sums_are_read_as_they_are_written() -> None:
    sums = {"wheels/a.whl": HASH, "bundle.json": OTHER}
    assert parse_sums(write_sums(sums)) == sums
    assert write_sums(sums).splitlines()[0] == f"{OTHER}  bundle.json"


@pytest.mark.parametrize("text", ["x", f"{HASH} a", f"{HASH}  ../a", f"{HASH}  a\n{OTHER}  A", f"{HASH[1:]}  a"])
def test_sums_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(Unreadable):
        parse_sums(text)


def test_what_a_lock_needs_is_named_by_its_hash() -> None:
    assert needs(LOCK) == {
        f"wheels/{WHEEL}": HASH,
        f"comfyui/{'c' * 40}.tar.gz": "",
        f"owner/name/resolve/{'d' * 40}/sub/weights.safetensors": HASH,
    }
    whole = {path: BundledFile(5, HASH) for path in needs(LOCK)}
    about = About(1, "0.1.0", "", files=whole)
    assert lacks(about, LOCK) == []
    model = model_path("owner/name", "d" * 40, "sub/weights.safetensors")
    assert lacks(replace(about, files={**whole, model: BundledFile(5, OTHER)}), LOCK) == [model]
    assert lacks(replace(about, files={model: BundledFile(5, HASH)}), LOCK) == [*needs(LOCK)][:2]


def test_a_build_of_python_is_known_by_its_name() -> None:
    build = python_build(PYTHON)
    assert build is not None
    assert (build.version, build.day, build.arch, build.system) == ("3.12.16", "20261110", "aarch64", "Darwin")
    assert build.is_for("Darwin", "arm64")
    assert not build.is_for("Linux", "aarch64")
    assert not build.is_for("Darwin", "x86_64")
    assert python_build("python/20261110/README") is None
    assert python_build(PYTHON.removeprefix("python/")) is None


@pytest.mark.parametrize("place", ["/Volumes/a disk", "http://10.0.0.5:8765"])
def test_uv_is_told_of_a_build_with_its_hash(place: str) -> None:
    bundle = Bundle(place, About(1, "", "", files={PYTHON: BundledFile(9, HASH)}))
    ((key, told),) = uv_builds(bundle).items()
    assert key == "cpython-3.12.16-darwin-aarch64-none"
    assert isinstance(told, dict)
    assert told["sha256"] == HASH
    assert told["url"] == bundle.address(PYTHON)
    assert str(told["url"]).startswith(("file:///Volumes/a%20disk/python", "http://10.0.0.5:8765/python/"))
    assert "%2B20261110" in str(told["url"])


def test_where_wheels_are_looked_for() -> None:
    about = About(1, "", "")
    assert Bundle("/Volumes/USB", about).links == str(Path("/Volumes/USB/wheels"))
    assert Bundle("http://host", about).links == "http://host/wheels/index.html"
