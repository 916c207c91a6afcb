"""A name is taken by creating it: nothing is written over, and nothing is left where that fails."""

from __future__ import annotations

import errno
import os
import threading
from pathlib import Path

import pytest

from provision.comfyui import saved_pictures
from provision.comfyui.saved_pictures import check_folder, keep_as, keep_new
from provision.errors import DiskFull, HomeError
from tests.support.hints import said


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def no_links(*_: object) -> None:
    raise OSError(errno.ENOTSUP, "Operation not supported")


@pytest.fixture(params=["links", "no links"])
def _disk(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk with hard links, and one without, as exFAT is."""
    if request.param == "no links":
        monkeypatch.setattr(saved_pictures.os, "link", no_links)


@pytest.mark.usefixtures("_disk")
def test_many_at_once_take_a_name_each(tmp_path: Path) -> None:
    start, kept = threading.Barrier(8), list[Path]()

    def keep(number: int) -> None:
        start.wait()
        kept.extend(keep_new(tmp_path, "fox", ".png", b"%d" % number) for _ in range(10))

    threads = [threading.Thread(target=keep, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(kept)) == len(names(tmp_path)) == 80
    assert sorted(path.read_bytes() for path in tmp_path.iterdir()) == sorted(b"%d" % (n % 8) for n in range(80))


@pytest.mark.usefixtures("_disk")
def test_what_has_a_name_keeps_it(tmp_path: Path) -> None:
    (tmp_path / "fox.png").write_bytes(b"mine")
    (tmp_path / "fox-1.png").symlink_to(tmp_path / "nowhere")
    (tmp_path / "fox-2.png").mkdir()
    assert keep_new(tmp_path, "fox", ".png", b"new").name == "fox-3.png"
    assert (tmp_path / "fox.png").read_bytes() == b"mine"
    assert names(tmp_path) == ["fox-1.png", "fox-2.png", "fox-3.png", "fox.png"]


def test_a_folder_that_is_gone(tmp_path: Path) -> None:
    for write in (lambda: keep_new(tmp_path / "gone", "fox", ".png", b""), lambda: keep_as(tmp_path / "gone/x", b"")):
        with pytest.raises(HomeError, match="is gone") as caught:
            write()
        assert said(caught.value.hint) == f"mkdir -p {tmp_path / 'gone'}"


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    def full(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(saved_pictures.os, "link", full)
    with pytest.raises(DiskFull, match="is full"):
        keep_new(tmp_path, "fox", ".png", b"x")
    assert names(tmp_path) == []


def test_a_disk_without_links_that_fails_leaves_no_empty_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(saved_pictures.os, "link", no_links)
    monkeypatch.setattr(Path, "replace", fails)
    with pytest.raises(HomeError, match="is not usable for images"):
        keep_new(tmp_path, "fox", ".png", b"x")
    assert names(tmp_path) == []


def test_a_folder_is_looked_at_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    check_folder(tmp_path)
    assert names(tmp_path) == []
    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(HomeError, match=r"is not usable for images \(Read-only file system"):
        check_folder(tmp_path)
