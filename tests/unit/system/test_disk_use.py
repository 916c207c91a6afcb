"""Whether two files share their bytes on the disk."""

from __future__ import annotations

import os
from pathlib import Path

from provision.system.disk_use import _first_place, are_clones


def test_files_of_the_same_bytes_are_no_clones_unless_they_share_them(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    one.write_bytes(b"x" * 200_000)
    other.write_bytes(one.read_bytes())
    os.sync()
    (tmp_path / "second name").hardlink_to(one)
    assert not are_clones(one, other)
    assert not are_clones(one, tmp_path / "missing")
    if _first_place(one) is not None:  # the file system tells where its files are
        assert are_clones(one, tmp_path / "second name")
