"""Git's ids computed without git, against git itself."""

from __future__ import annotations

import subprocess
from pathlib import Path

from provision.system.git_objects import FILE, LINK, PROGRAM, Entry, blob_at, blob_id, tree_id

FILES = {
    "main.py": b"print()\n",
    "empty": b"",
    "a/b/c.txt": b"deep\n",
    "a.b": b"sorts before a/",
    "a-b": b"and so does this",
    "a0": b"and this after",
    "Jürgen/ü.txt": "ü".encode(),
    "binary": bytes(range(256)),
}


def test_a_tree_has_the_id_that_git_gives_it(tmp_path: Path) -> None:
    for name, content in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    (tmp_path / "run.sh").write_bytes(b"#!/bin/sh\n")
    (tmp_path / "run.sh").chmod(0o755)
    (tmp_path / "link").symlink_to("a/b/c.txt")
    for words in (("init", "-q"), ("add", "-A")):
        subprocess.run(("git", *words), cwd=tmp_path, check=True)
    told = subprocess.run(("git", "write-tree"), cwd=tmp_path, check=True, capture_output=True, text=True).stdout
    entries = {name: Entry(FILE, blob_id(content)) for name, content in FILES.items()}
    entries["run.sh"] = Entry(PROGRAM, blob_at(tmp_path / "run.sh"))
    entries["link"] = Entry(LINK, blob_at(tmp_path / "link"))
    assert tree_id(entries) == told.strip()
    assert tree_id({**entries, "empty": Entry(FILE, blob_id(b"x"))}) != told.strip()


def test_what_is_no_file_has_no_id(tmp_path: Path) -> None:
    assert blob_at(tmp_path) == ""
    assert blob_at(tmp_path / "nothing") == ""
