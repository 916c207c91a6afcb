"""The home: what it holds, and each way in which it cannot be used, in one sentence with a hint."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from provision.cli.request import Request
from provision.cli.which_home import choose_home
from provision.core.home import Home, full_path
from provision.core.receipts import write_json
from provision.errors import EXIT_UNSATISFIED, DiskFull, HomeError, ProvisionError
from provision.system.disk_errors import unusable
from provision.system.local_machine import LocalMachine
from tests.support.hints import said
from tests.support.paths import NOT_EVEN_ROOTS


def refused(root: Path) -> ProvisionError:
    """The error with which `prepare` refuses a home."""
    with pytest.raises((HomeError, DiskFull)) as seen:
        Home(root).prepare()
    assert seen.value.exit_code == EXIT_UNSATISFIED
    assert said(seen.value.hint)
    return seen.value


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    """A volume without a free byte, where this machine lets us make one."""
    volume = tmp_path / "volume"
    volume.mkdir()
    mount = shutil.which("mount")
    made = mount and subprocess.run(
        [mount, "-t", "tmpfs", "-o", "size=64k", "provision-test", volume], capture_output=True, check=False
    )
    if not made or made.returncode:
        pytest.skip("this machine lets us mount no small volume (root on Linux can), so no disk is full here")
    try:
        with (volume / "filler").open("wb", buffering=0) as filler:
            while filler.write(b"x" * 4096) == 4096:
                pass
    except OSError:
        pass
    yield volume
    subprocess.run(["umount", volume], check=True)


@pytest.fixture
def read_only_folder(tmp_path: Path) -> Path:
    """A folder in which nobody can write: by its mode, for root one of the kernel's."""
    folder = tmp_path / "read-only"
    folder.mkdir(mode=0o555)
    if os.access(folder, os.W_OK):
        folder = Path("/sys/kernel")
        if not folder.is_dir():
            pytest.skip("root writes everywhere, and this machine has no /sys")
    return folder


def test_prepare_makes_the_folders_and_can_be_repeated(tmp_path: Path) -> None:
    home = Home(tmp_path / "a" / "home")
    home.check_usable()
    assert not home.root.exists(), "looking writes nothing"
    for _ in range(2):
        home.prepare()
    assert sorted(path.name for path in home.root.iterdir()) == ["logs", "state"]
    assert sorted(path.name for path in home.state.iterdir()) == ["home.json", "parts"], "no trial file is left"


def test_everything_lies_inside(tmp_path: Path) -> None:
    home = Home(tmp_path)
    for path in (
        home.comfyui,
        home.venv,
        home.python,
        home.logs,
        home.state,
        home.parts,
        home.aside,
        home.engine_log,
        home.first_image,
        home.children,
    ):
        assert home.inside(path)
        assert not home.shown(path).startswith("/")
    assert home.shown(Path("/elsewhere/x")) == "/elsewhere/x"


def test_a_link_that_leads_out_is_not_inside(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    home.prepare()
    (tmp_path / "outside").mkdir()
    (home.root / "models").symlink_to(tmp_path / "outside")
    assert not home.inside(home.root / "models" / "x.safetensors")
    assert not home.inside(home.root / ".." / "outside")


def test_a_home_that_is_a_file(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("mine", encoding="utf-8")
    assert f"{file} is a file, not a folder" in refused(file).message
    with pytest.raises(HomeError, match="is a file"):
        Home(file).check_usable()
    assert file.read_text(encoding="utf-8") == "mine"


def test_a_home_below_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine", encoding="utf-8")
    assert "a part of that path is a file" in refused(tmp_path / "file" / "home").message


def test_a_home_whose_folder_is_a_file(tmp_path: Path) -> None:
    Home(tmp_path).prepare()
    (tmp_path / "logs").rmdir()
    (tmp_path / "logs").write_text("mine", encoding="utf-8")
    assert f"{tmp_path / 'logs'} is a file" in refused(tmp_path).message


def test_a_home_in_a_read_only_folder(read_only_folder: Path) -> None:
    assert "cannot be written" in refused(read_only_folder / "home").message


def test_a_home_where_no_folder_can_be_made() -> None:
    assert "is not usable" in refused(NOT_EVEN_ROOTS / "home").message


def test_a_home_whose_name_is_too_long(tmp_path: Path) -> None:
    long = tmp_path / ("x" * 300)
    assert "is not usable" in refused(long).message
    with pytest.raises(HomeError):
        Home(long).check_usable()


def test_a_home_that_is_a_link_to_itself(tmp_path: Path) -> None:
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    assert "is not usable" in refused(loop).message


def test_a_home_on_a_full_disk(full_disk: Path) -> None:
    error = refused(full_disk / "home")
    assert isinstance(error, DiskFull)
    assert "is full; what was written so far is kept" in error.message
    assert "df -h" in said(error.hint)


def test_a_receipt_on_a_disk_that_gets_full_keeps_the_old_one(full_disk: Path) -> None:
    (full_disk / "filler").unlink()
    receipt = full_disk / "receipts" / "torch.json"
    write_json(receipt, {"good": True})
    with pytest.raises(DiskFull):
        write_json(receipt, {"text": "x" * 200_000})
    assert "good" in receipt.read_text(encoding="utf-8")
    assert [path.name for path in receipt.parent.iterdir()] == ["torch.json"]


def test_a_refusal_of_macos_itself_is_told_from_permissions(monkeypatch: pytest.MonkeyPatch) -> None:
    refused = PermissionError(errno.EPERM, "Operation not permitted")
    assert "cannot be written" in unusable(Path("/x"), refused).message
    monkeypatch.setattr(sys, "platform", "darwin")
    error = unusable(Path("/Users/ann/Documents/provision"), refused)
    assert error.message.startswith("macOS denies this terminal access to /Users/ann/Documents/provision")
    assert "Privacy & Security" in said(error.hint)
    assert "cannot be written" in unusable(Path("/x"), PermissionError(errno.EACCES, "Permission denied")).message


@pytest.mark.parametrize("below", [".", "home"])
def test_a_home_behind_a_link_that_leads_nowhere(tmp_path: Path, below: str) -> None:
    link = tmp_path / "disk"
    link.symlink_to("/Volumes/SSD/provision")
    assert f"{link} is a link to /Volumes/SSD/provision, which does not exist" in refused(link / below).message


@pytest.mark.parametrize("name", ["Volumes/SSD", "Volumes/SSD/a/b"])
def test_a_home_on_a_volume_that_is_not_mounted(name: str) -> None:
    assert refused(Path("/") / name).message == "No disk at /Volumes/SSD: is it connected?"
    assert not Path("/Volumes/SSD").exists()


def test_a_path_with_dots_in_it_is_where_the_system_finds_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = tmp_path / "far" / "real"
    (real / "in").mkdir(parents=True)
    (tmp_path / "link").symlink_to(real / "in")
    (tmp_path / "at").mkdir()
    monkeypatch.chdir(tmp_path / "at")
    for given, path in {
        "../h/rel": tmp_path / "h" / "rel",
        "new/../x": tmp_path / "at" / "x",
        "../link/../y": real / "y",
        "../link": tmp_path / "link",
        "..": tmp_path,
    }.items():
        assert full_path(Path(given)) == path, given
        home = choose_home(Request("all", Path(given) / "home"), LocalMachine({}))
        assert home.root == path / "home", given
