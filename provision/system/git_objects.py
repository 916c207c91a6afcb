"""Git's ids and objects, computed from files without git (gitformat-tree, git-hash-object, SHA-1 as on GitHub).

The id of a tree stands for the names, the modes and the bytes of all files in it: two archives with the same tree are
the same source, however they were packed.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

FILE, PROGRAM, LINK = "100644", "100755", "120000"
"""The modes of what may lie in a tree, as git writes them; a submodule is none of them."""
FOLDER = "40000"


@dataclass(frozen=True, slots=True)
class Entry:
    """A file of a tree: its mode, and the id of its bytes; of a link the bytes are where it leads."""

    mode: str
    blob: str


@dataclass(frozen=True, slots=True)
class Object:
    """An object as git stores it: `blob`, `tree` or `commit`, and its bytes."""

    kind: str
    data: bytes

    @property
    def whole(self) -> bytes:
        """With the head that its id is taken over."""
        return b"%b %d\0" % (self.kind.encode(), len(self.data)) + self.data

    @property
    def id(self) -> str:
        return hashlib.sha1(self.whole, usedforsecurity=False).hexdigest()


def blob_id(data: bytes) -> str:
    """The id of these bytes as a file."""
    return Object("blob", data).id


def blob_at(path: Path) -> str:
    """The id of a file or link; empty for what is neither, or cannot be read."""
    with suppress(OSError):
        if path.is_symlink():
            return blob_id(os.fsencode(path.readlink()))
        if path.is_file():
            return blob_id(path.read_bytes())
    return ""


def trees(files: Mapping[str, Entry]) -> list[Object]:
    """The trees of these files by path, that of the root last."""
    made: list[Object] = []
    _add(files, made)
    return made


def tree_id(files: Mapping[str, Entry]) -> str:
    """The id of the tree that these files make."""
    return trees(files)[-1].id


def _add(files: Mapping[str, Entry], made: list[Object]) -> str:
    """Add the tree of these files, after those in it, and return its id."""
    inner: dict[str, dict[str, Entry]] = {}
    entries: dict[bytes, tuple[str, str]] = {}
    for path, entry in files.items():
        folder, is_inner, rest = path.partition("/")
        if is_inner:
            inner.setdefault(folder, {})[rest] = entry
        else:
            entries[os.fsencode(path)] = (entry.mode, entry.blob)
    for folder, below in inner.items():
        entries[os.fsencode(folder) + b"/"] = (FOLDER, _add(below, made))  # git sorts a folder with its slash
    lines = (
        b"%b %b\0%b" % (mode.encode(), name.removesuffix(b"/"), bytes.fromhex(id))
        for name, (mode, id) in sorted(entries.items())
    )
    made.append(Object("tree", b"".join(lines)))
    return made[-1].id
