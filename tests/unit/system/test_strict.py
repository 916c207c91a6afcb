"""What others wrote is read strictly, and within bounds."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from provision.system.strict import DEPTH_MAX, Unreadable, decode, read_file, read_json_file

OBJECT = dict[str, object]


@pytest.mark.parametrize(
    "text",
    ["", "nonsense", "[]", "null", "3", '"x"', '{"a":NaN}', '{"a":"\\ud800"}', '{"a":' + "1" * 5000 + "}", "\ufeff{}"],
)
def test_what_is_no_object_is_unreadable(text: str) -> None:
    with pytest.raises(Unreadable):
        decode(text, OBJECT)


@pytest.mark.parametrize("depth", [DEPTH_MAX + 1, 900, 100_000])
def test_what_is_nested_too_deep_is_unreadable(depth: int) -> None:
    with pytest.raises(Unreadable, match="deep"):
        decode('{"a":' + "[" * depth + "]" * depth + "}", OBJECT)


def test_more_bytes_than_allowed_are_unreadable() -> None:
    with pytest.raises(Unreadable, match="at most 10"):
        decode('{"a": "0123456789"}', OBJECT, max_bytes=10)


def test_an_object_is_read() -> None:
    assert decode('{"a": [1, {"b": "\\u00e9"}]}', OBJECT) == {"a": [1, {"b": "é"}]}


def test_neither_a_fifo_nor_a_folder_nor_a_device_is_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "folder").mkdir()
    (tmp_path / "device").symlink_to("/dev/zero")
    for name in ("fifo", "folder", "device"):
        with pytest.raises((Unreadable, OSError)):
            read_json_file(tmp_path / name, OBJECT)


def test_a_file_that_is_too_large_is_not_read_whole(tmp_path: Path) -> None:
    with (tmp_path / "large").open("wb") as stream:
        stream.truncate(1 << 40)
    with pytest.raises(Unreadable, match="at most 100 "):
        read_file(tmp_path / "large", max_bytes=100)
