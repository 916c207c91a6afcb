"""Texts as people have them: encodings, gzip, standard input; and what is no text."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import pytest

from provision.system.strict import Unreadable
from provision.system.text_stream import PIECE_BYTES, STANDARD_INPUT, pieces

TEXT = "one\nRuntimeError: Größe, 寸法, ▌ 5%\nlast\n" * 50


def read(path: Path) -> str:
    return b"".join(pieces(path)).decode("utf-8", "replace").removeprefix("\ufeff")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("packed", [False, True])
def test_a_text_comes_as_utf_8(tmp_path: Path, encoding: str, packed: bool) -> None:
    data = TEXT.encode(encoding)
    (tmp_path / "log").write_bytes(gzip.compress(data) if packed else data)
    assert read(tmp_path / "log") == TEXT


def test_an_old_encoding_is_read_as_far_as_it_is_ascii(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(b"Gr\xf6\xdfe\nInvalid buffer size: 8,21 GB\n")
    assert "Invalid buffer size: 8,21 GB" in read(tmp_path / "log")


def test_a_large_text_comes_in_pieces(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(b"line\n" * PIECE_BYTES)
    sizes = [len(piece) for piece in pieces(tmp_path / "log")]
    assert max(sizes) <= PIECE_BYTES
    assert sum(sizes) == 5 * PIECE_BYTES


def test_a_gzip_that_unfolds_a_thousandfold_comes_in_pieces(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(gzip.compress(b"line\n" * (4 * PIECE_BYTES)))
    assert max(len(piece) for piece in pieces(tmp_path / "log")) <= PIECE_BYTES


def test_of_a_gzip_that_was_cut_off_comes_what_is_there(tmp_path: Path) -> None:
    noise = "".join(f"{number * 7919} " for number in range(30_000)).encode()
    (tmp_path / "log").write_bytes(gzip.compress(b"begin\n" + noise)[:-2000])
    assert read(tmp_path / "log").startswith("begin\n")


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\1\0\0\0\1\x08\6\0\0\0\x1f\x15\xc4\x89", "not text"),
        (b"PK\3\4\x14\0\0\0\x08\0" + bytes(range(256)) * 4, "not text"),
        (bytes(range(256)) * 20, "not text"),
        (gzip.compress(bytes(range(256)) * 20), "not text"),
        (b"\x1f\x8bgarbage", "gzip is damaged"),
    ],
)
def test_what_is_no_text_is_refused(tmp_path: Path, data: bytes, why: str) -> None:
    (tmp_path / "file").write_bytes(data)
    with pytest.raises(Unreadable, match=why):
        read(tmp_path / "file")


def test_folders_pipes_and_devices_are_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe", Path("/dev/zero")):
        with pytest.raises(Unreadable):
            read(path)


@pytest.mark.parametrize("name", STANDARD_INPUT)
def test_standard_input(tmp_path: Path, name: Path) -> None:
    (tmp_path / "log").write_text(TEXT, encoding="utf-8")
    kept = os.dup(0)
    try:
        with (tmp_path / "log").open("rb") as stream:
            os.dup2(stream.fileno(), 0)
            assert read(name) == TEXT
    finally:
        os.dup2(kept, 0)
        os.close(kept)
