"""Model repositories as the loopback hub keeps them: files, their table, a git repository of LFS pointers."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import Any

from provision.core.receipts import read_state, write_json
from provision.rehearsal.git_repo import Commit, make_bare
from provision.system.git_objects import blob_id

LFS_PATTERNS = ("*.safetensors", "*.bin")
REPO_ID = r"\w[\w.-]*/\w[\w.-]*"
MADE_AT = 1_700_000_000


@dataclass(frozen=True, slots=True)
class ModelRepo:
    """A repository at its only commit; `files` maps a path to (size in bytes, sha256)."""

    repo: str
    commit: str
    files: Mapping[str, tuple[int, str]]


def is_lfs(path: str) -> bool:
    """Whether git keeps a pointer instead of the bytes of `path`."""
    return any(fnmatchcase(path, pattern) for pattern in LFS_PATTERNS)


def pointer_text(oid: str, size: int) -> str:
    """The pointer that git holds for an LFS object (git-lfs, docs/spec.md)."""
    return f"version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\nsize {size}\n"


def model_folder(root: Path, repo: str) -> Path:
    return root / "models" / repo


def git_folder(root: Path, repo: str) -> Path:
    return root / "git" / f"{repo}.git"


def make_model_repo(root: Path, repo: str, files: Mapping[str, Path]) -> ModelRepo:
    """Make or replace the repository `repo` ("namespace/name") under a hub's `root`.

    The files are hard links where the file system allows, else copies; a `.gitattributes` for LFS is added unless
    given. Raises ValueError for a name or path that would leave its folder, OSError.
    """
    if not re.fullmatch(REPO_ID, repo):
        raise ValueError(f"{repo!r} is not a repository name; write it as namespace/name")
    for path in files:
        if not _is_plain(path):
            raise ValueError(f"{path!r} is not a relative path below the repository")
    folder = model_folder(root, repo)
    aside = folder.with_name(f"{folder.name}.new")
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True)
    lines = (f"{pattern} filter=lfs diff=lfs merge=lfs -text\n" for pattern in LFS_PATTERNS)
    (aside / ".gitattributes").write_text("".join(lines), encoding="utf-8")
    for path, source in files.items():
        _link_or_copy(source, aside / path)
    shutil.rmtree(folder, ignore_errors=True)
    aside.rename(folder)
    table = {path: size_and_sha256(folder / path) for path in sorted({".gitattributes", *files})}
    blobs = {path: _blob(folder / path, *table[path]) for path in table}
    commit = make_bare(git_folder(root, repo), "main", [Commit("Rehearsal model files\n", MADE_AT, blobs)])
    made = ModelRepo(repo, commit, table)
    write_json(_table_path(root, repo), asdict(made))
    return made


def read_model_repo(root: Path, repo: str) -> ModelRepo | None:
    """The repository from its table; None where there is none of that name."""
    return read_state(_table_path(root, repo), ModelRepo)


def list_entries(root: Path, model: ModelRepo, *, recursive: bool) -> list[dict[str, Any]]:
    """The tree as the hub's API lists it; without `recursive`, the top level with its folders."""
    entries = [_entry(root, model, path) for path in sorted(model.files)]
    if recursive:
        return entries
    folders = sorted({path.split("/")[0] for path in model.files if "/" in path})
    trees = [{"type": "directory", "path": name, "size": 0, "oid": blob_id(name.encode())} for name in folders]
    return trees + [entry for entry in entries if "/" not in entry["path"]]


def _entry(root: Path, model: ModelRepo, path: str) -> dict[str, Any]:
    size, sha256 = model.files[path]
    blob = _blob(model_folder(root, model.repo) / path, size, sha256)
    entry: dict[str, Any] = {"type": "file", "path": path, "size": size, "oid": blob_id(blob)}
    lfs = {"oid": sha256, "size": size, "pointerSize": len(blob)}
    return {**entry, "lfs": lfs} if is_lfs(path) else entry


def _table_path(root: Path, repo: str) -> Path:
    return root / "models" / f"{repo}.json"


def _blob(path: Path, size: int, sha256: str) -> bytes:
    return pointer_text(sha256, size).encode() if is_lfs(path.name) else path.read_bytes()


def _is_plain(path: str) -> bool:
    parts = PurePosixPath(path).parts
    # A quote or a line feed is in no name on a hub.
    return "/".join(parts) == path != "" and parts[0] != "/" and ".." not in parts and not set('"\n') & set(path)


def _link_or_copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    try:
        os.link(source.resolve(), target)
    except OSError:  # another file system, or one without hard links
        shutil.copyfile(source, target)


def size_and_sha256(path: Path) -> tuple[int, str]:
    with path.open("rb") as file:
        return path.stat().st_size, hashlib.file_digest(file, "sha256").hexdigest()
