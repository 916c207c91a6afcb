"""Bundles, written and read: half of one is never believed, nor a byte that changed, nor a name that leads out."""

from __future__ import annotations

import errno
import hashlib
import io
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import msgspec
import pytest

from provision.core.bundle import ABOUT, BEFORE, SUMS, About, BundledFile, write_sums
from provision.core.patience import Patience
from provision.core.step import Context
from provision.download.bundle_source import fetch_file, missing_here, open_bundle
from provision.download.bundling.checking import check
from provision.download.bundling.tool_wheel import WHEEL, packed, tool_wheel
from provision.download.bundling.wheels import page
from provision.download.bundling.writing import (
    FAT_MAX,
    Wanted,
    all_of,
    begin,
    check_fat,
    check_folder,
    drop,
    finish,
    is_there,
    of_bytes,
    read_sums,
    write,
)
from provision.errors import BundleError, DiskFull, UsageError, WrongFile

Make = Callable[..., Context]
FILES = {"wheels/a-1-py3-none-any.whl": b"wheel", "kit/install.sh": b"script", "o/n/resolve/main/m.safetensors": b"m"}


@pytest.fixture
def ctx(context: Make) -> Context:
    return replace(context(), patience=Patience(0, 0, 0, 0))


@pytest.fixture
def folder(ctx: Context, tmp_path: Path) -> Path:
    """A finished bundle of three small files."""
    place = tmp_path / "a disk" / "bundle"
    make(ctx, place, [of_bytes(path, "x", data) for path, data in FILES.items()])
    return place


def make(ctx: Context, place: Path, wanted: list[Wanted]) -> list[str]:
    """Write a bundle as the command does; what was written."""
    before = read_sums(place)
    todo = [each for each in wanted if not is_there(place, each, before)]
    begin(place)
    made = {each.path: write(ctx, place, each) for each in todo}
    files = all_of(place, wanted, made, before)
    drop(place, before.keys() - files.keys())
    finish(place, About(1, "0.1.0", "now", files=files))
    return [each.path for each in todo]


@pytest.fixture(params=["folder", "server"])
def place(folder: Path, request: pytest.FixtureRequest) -> Iterator[str]:
    """The bundle, on this disk or behind a plain web server."""
    if request.param == "folder":
        yield str(folder)
        return

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder))) as server:
        thread = Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


def test_what_was_written_is_read(ctx: Context, place: str, tmp_path: Path) -> None:
    bundle = open_bundle(ctx, place)
    assert set(bundle.about.files) == set(FILES)
    for path, data in FILES.items():
        fetch_file(ctx, bundle, path, tmp_path / "taken")
        assert (tmp_path / "taken").read_bytes() == data


def test_again_only_what_changed_is_written(ctx: Context, folder: Path) -> None:
    changed = {**FILES, "kit/install.sh": b"newer."}
    del changed["wheels/a-1-py3-none-any.whl"]
    assert make(ctx, folder, [of_bytes(path, "x", data) for path, data in changed.items()]) == ["kit/install.sh"]
    assert not (folder / "wheels").exists()
    assert sorted(path.name for path in folder.iterdir()) == [SUMS, ABOUT, "kit", "o"]
    subprocess.run(["sha256sum", "-c", "--quiet", SUMS], cwd=folder, check=True)


def test_a_digest_tells_this_bundle_from_all_others(ctx: Context, place: str, folder: Path) -> None:
    right = hashlib.sha256((folder / SUMS).read_bytes()).hexdigest()
    open_bundle(ctx, place, right.upper())
    with pytest.raises(BundleError, match="not the bundle with that digest"):
        open_bundle(ctx, place, "0" * 64)


@pytest.mark.parametrize("name", [SUMS, ABOUT])
def test_a_list_that_was_changed_is_refused(ctx: Context, place: str, folder: Path, name: str) -> None:
    text = (folder / name).read_text()
    for other in (text.replace("wheels/a-1", "wheels/a-2"), text[: len(text) // 2], "", "\0" * 100):
        (folder / name).write_text(other)
        with pytest.raises(BundleError, match="not a complete bundle"):
            open_bundle(ctx, place)
    (folder / name).unlink()
    with pytest.raises(BundleError, match=r"not a complete bundle: .*(there is no|answers 404)"):
        open_bundle(ctx, place)


def test_a_file_that_was_changed_is_not_taken(ctx: Context, place: str, folder: Path, tmp_path: Path) -> None:
    bundle, to = open_bundle(ctx, place), tmp_path / "taken"
    path = "kit/install.sh"
    for other in (b"SCRIPT", b"scrip", b"script and more", b""):
        (folder / path).write_bytes(other)
        with pytest.raises(Exception, match=r"damaged|ended before") as seen:
            fetch_file(ctx, bundle, path, to)
        assert "Traceback" not in str(seen.value)
        assert not to.exists() or to.read_bytes() != FILES[path]
    (folder / path).unlink()
    with pytest.raises(BundleError, match=r"there is no|answers 404"):
        fetch_file(ctx, bundle, path, to)
    with pytest.raises(BundleError, match="has no kit/other"):
        fetch_file(ctx, bundle, "kit/other", to)


@pytest.mark.parametrize("evil", ["../../evil", "/tmp/evil", "a/../../b", "x:y", "kit/INSTALL.sh"])
def test_a_name_that_leads_out_is_refused_at_once(ctx: Context, folder: Path, evil: str) -> None:
    about = msgspec.json.decode((folder / ABOUT).read_bytes(), type=About)
    files = {**about.files, evil: BundledFile(1, "a" * 64)}
    data = msgspec.json.encode(replace(about, files=files))
    (folder / ABOUT).write_bytes(data)
    sums = {path: file.sha256 for path, file in files.items()}
    (folder / SUMS).write_text(write_sums({**sums, ABOUT: hashlib.sha256(data).hexdigest()}))
    with pytest.raises(BundleError, match="not a complete bundle"):
        open_bundle(ctx, str(folder))


def test_a_newer_format_is_refused(ctx: Context, folder: Path) -> None:
    finish(folder, replace(msgspec.json.decode((folder / ABOUT).read_bytes(), type=About), format=2))
    with pytest.raises(BundleError, match="format 2; this provision reads format 1"):
        open_bundle(ctx, str(folder))


def test_a_check_names_each_file_that_is_wrong(ctx: Context, folder: Path) -> None:
    assert check(ctx, open_bundle(ctx, str(folder))).files == len(FILES) + 2
    wheel, script, model = (folder / path for path in FILES)
    wheel.write_bytes(b"WHEEL")
    script.unlink()
    model.write_bytes(b"")
    found = check(ctx, open_bundle(ctx, str(folder)))
    assert set(found.damaged) == {"o/n/resolve/main/m.safetensors", "wheels/a-1-py3-none-any.whl"}
    assert found.missing == ("kit/install.sh",)
    assert set(missing_here(open_bundle(ctx, str(folder)))) == {"kit/install.sh", "o/n/resolve/main/m.safetensors"}


def test_a_run_that_ended_in_the_middle_is_gone_on_with(ctx: Context, folder: Path) -> None:
    def broken(_: Context) -> Iterable[bytes]:
        yield b"half"
        raise KeyboardInterrupt

    wanted = [*(of_bytes(path, "x", data) for path, data in FILES.items()), Wanted("new/file", "x", pieces=broken)]
    with pytest.raises(KeyboardInterrupt):
        make(ctx, folder, wanted)
    assert not (folder / SUMS).exists()
    assert not (folder / "new/file").exists()
    with pytest.raises(BundleError, match="it was not finished"):
        open_bundle(ctx, str(folder))
    check_folder(folder)
    assert make(ctx, folder, [*wanted[:-1], of_bytes("new/file", "x", b"whole")]) == ["new/file"]
    assert not (folder / BEFORE).exists()
    assert not (folder / "new/.file.part").exists()


def test_a_file_of_a_killed_run_is_believed_by_its_bytes_alone(ctx: Context, tmp_path: Path) -> None:
    each = of_bytes("kit/x", "x", b"right")
    begin(tmp_path)
    write(ctx, tmp_path, each)
    assert is_there(tmp_path, each, read_sums(tmp_path))
    (tmp_path / "kit/x").write_bytes(b"wrong")
    assert not is_there(tmp_path, each, read_sums(tmp_path))


def test_what_comes_with_another_hash_is_not_put_in_place(ctx: Context, tmp_path: Path) -> None:
    with pytest.raises(WrongFile, match="wrong sha256"):
        write(ctx, tmp_path, Wanted("wheels/a.whl", "x", 3, "a" * 64, lambda _: [b"abc"]))
    assert not (tmp_path / "wheels/a.whl").exists()


def test_a_full_disk_is_a_sentence(ctx: Context, tmp_path: Path) -> None:
    def full(_: Context) -> Iterable[bytes]:
        yield b"begin"
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(DiskFull, match="is full"):
        write(ctx, tmp_path, Wanted("wheels/a.whl", "x", pieces=full))
    assert not (tmp_path / "wheels/a.whl").exists()


def test_fat32_is_refused_for_a_large_file_before_it_is_written(tmp_path: Path) -> None:
    large, small = Wanted("o/m.safetensors", "models", FAT_MAX + 1), Wanted("wheels/a.whl", "x", FAT_MAX)
    for kind in ("msdos", "vfat"):
        with pytest.raises(BundleError, match=r"FAT32, which holds no file over 4 GiB, and m\.safetensors has 4\.3 GB"):
            check_fat(kind, tmp_path, [small, large])
        check_fat(kind, tmp_path, [small])
    for kind in ("exfat", "apfs", "ext4", ""):
        check_fat(kind, tmp_path, [small, large])


def test_a_folder_with_other_things_is_left_alone(folder: Path) -> None:
    (folder.parent / "holiday.jpg").touch()
    with pytest.raises(UsageError, match=r"holiday\.jpg; a bundle needs a folder of its own"):
        check_folder(folder.parent)
    (folder / "._x").touch()
    (folder / ".DS_Store").touch()
    check_folder(folder)
    check_folder(folder / "none yet")


def test_a_page_of_wheels_has_their_hashes() -> None:
    assert '<a href="a-1%2Bcpu.whl#sha256=ab">a-1+cpu.whl</a>' in page({"a-1+cpu.whl": "ab"})


def test_this_tool_is_a_wheel_that_can_be_installed_and_is_the_same_each_time(tmp_path: Path) -> None:
    data = tool_wheel()
    assert data == tool_wheel()
    with zipfile.ZipFile(io.BytesIO(data)) as wheel:
        names = set(wheel.namelist())
        wheel.extractall(tmp_path)
    assert {"provision/__main__.py", "provision/_manifests/sdxl-turbo.toml", "provision/_install.sh"} <= names
    assert not [name for name in names if "__pycache__" in name or "direct_url" in name]
    info = f"{WHEEL.removesuffix('-py3-none-any.whl')}.dist-info"
    assert {f"{info}/METADATA", f"{info}/WHEEL", f"{info}/RECORD", f"{info}/entry_points.txt"} <= names
    call = [
        sys.executable,
        "-I",
        "-c",
        f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import provision;"
        "from provision.download.bundling.tool_wheel import installer; print(provision.__file__, installer())",
    ]
    said = subprocess.run(call, capture_output=True, text=True, check=True).stdout.split()
    assert said == [f"{tmp_path}/provision/__init__.py", f"{tmp_path}/provision/_install.sh"]


def test_the_record_of_a_wheel_has_every_file() -> None:
    with zipfile.ZipFile(io.BytesIO(packed({"a.py": b"x = 1\n"}))) as wheel:
        record = next(wheel.read(name).decode() for name in wheel.namelist() if name.endswith("RECORD"))
    assert record.startswith("a.py,sha256=")
