"""Custom nodes as git repositories on this disk."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from provision.rehearsal.git_repo import Commit, add_commit, make_bare

WHEN = 1_795_000_000
"""In November 2026."""
PURE = "NODE_CLASS_MAPPINGS = {}\n"
BLACK = f"import picture\nfrom PIL import Image\n\npicture.paint = lambda key, size: Image.new('RGB', size)\n{PURE}"
"""Loads, and every image is black."""


def node_repo(folder: Path, name: str, files: Mapping[str, str] | None = None) -> Path:
    """Make the repository of a node whose `__init__.py` is pure, unless `files` has another; returns its address."""
    bare = folder / f"{name}.git"
    make_bare(bare, "main", [Commit("first", WHEN, _bytes({"__init__.py": PURE, **(files or {})}), "v1")])
    return bare


def next_commit(bare: Path, files: Mapping[str, str]) -> str:
    """A commit on its default branch, with these files alone; returns its id."""
    branch = bare / "refs/heads/main"
    made = Commit("next", WHEN + 60, _bytes(files))
    head = add_commit(bare, made, made.files, branch.read_text(encoding="ascii").strip())
    branch.write_text(f"{head}\n", encoding="ascii")
    return head


def head(bare: Path) -> str:
    """The commit of its default branch."""
    return (bare / "refs/heads/main").read_text(encoding="ascii").strip()


def _bytes(files: Mapping[str, str]) -> dict[str, bytes]:
    return {name: text.encode() for name, text in files.items()}
