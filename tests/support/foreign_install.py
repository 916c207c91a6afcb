"""Installs that this tool did not make, of the rehearsal's miniature engine: a clone, a zip's folder, environments."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

from uv import find_uv_bin

from provision.rehearsal.engine_repo import make_engine_repo, read_source

Tree = dict[str, tuple[str, int, str]]
EDIT = "\n# my own change\n"


def clone(root: Path, tag: str = "v0.38.0") -> Path:
    """A checkout that git made, with a change in it and a custom node."""
    bare = make_engine_repo(root / "upstream.git").path
    folder = root / "ComfyUI"
    for words in (["clone", "-q", str(bare), str(folder)], ["-C", str(folder), "checkout", "-q", tag]):
        subprocess.run(["git", *words], check=True, capture_output=True)
    with (folder / "README.md").open("a", encoding="utf-8") as stream:
        stream.write(EDIT)
    node = folder / "custom_nodes" / "mine"
    node.mkdir(parents=True)
    (node / "__init__.py").write_text("NODE_CLASS_MAPPINGS = {}\n", encoding="utf-8")
    return folder


def unzipped(folder: Path) -> Path:
    """A checkout without .git, whose files have the day of their commit."""
    for name, content in read_source().items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        os.utime(path, (1_762_000_000, 1_762_000_000))
    return folder


def venv(prefix: Path) -> Path:
    """An environment that uv made, with nothing in it."""
    subprocess.run([find_uv_bin(), "venv", "-q", str(prefix)], check=True, capture_output=True)
    return prefix


def conda(prefix: Path) -> Path:
    """An environment that looks as conda's do: `conda-meta/`, and the link to the version cut short."""
    venv(prefix)
    (prefix / "conda-meta").mkdir()
    (library,) = (prefix / "lib").glob("python3.*")
    (prefix / "lib" / "python3.1").symlink_to(library.name)
    return prefix


def install_record(prefix: Path, name: str, version: str) -> None:
    """A package on record, as its `dist-info` tells."""
    (site,) = [path for path in prefix.glob("lib/python3.*/site-packages") if not path.parent.is_symlink()]
    info = site / f"{name}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Name: {name}\n", encoding="utf-8")


def tree(folder: Path) -> Tree:
    """Every entry below a folder: what it is, when it was changed, what is in it."""
    found: Tree = {}
    for path in sorted([folder, *folder.rglob("*")]):
        stat = path.lstat()
        content = str(path.readlink()) if path.is_symlink() else ""
        if path.is_file() and not path.is_symlink():
            content = hashlib.sha256(path.read_bytes()).hexdigest()
        found[str(path.relative_to(folder))] = (oct(stat.st_mode), stat.st_mtime_ns, content)
    return found


def copy(folder: Path, place: Path) -> Path:
    """The same install elsewhere."""
    shutil.copytree(folder, place, symlinks=True)
    return place
