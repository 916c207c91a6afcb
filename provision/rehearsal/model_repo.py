"""Model repositories as the loopback hub keeps them: files, their table, a git repository of LFS pointers."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

from provision.system.git_program import environment

LFS_PATTERNS = ("*.safetensors", "*.bin")
REPO_ID = r"\w[\w.-]*/\w[\w.-]*"

# Fixed, so that the same files give the same commit id on every machine.
_SIGNATURE = "Rehearsal <rehearsal@localhost> 1700000000 +0000"
_UPLOADPACK = "[uploadpack]\n\tallowAnySHA1InWant = true\n\tallowReachableSHA1InWant = true\n"


class Git(Protocol):
    """Runs git with `args` in `cwd` and `stdin`, and gives back its standard output.

    Raises FileNotFoundError when there is no git, CalledProcessError when it fails.
    """

    def __call__(self, *args: str, cwd: Path, stdin: bytes = b"") -> bytes: ...


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


def blob_id(content: bytes) -> str:
    """The id that git gives to these bytes as a blob."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def model_folder(root: Path, repo: str) -> Path:
    return root / "models" / repo


def git_folder(root: Path, repo: str) -> Path:
    return root / "git" / f"{repo}.git"


def git_environment() -> dict[str, str]:
    """An environment in which no configuration of the user or of the system reaches git; it finds its repository."""
    env = {"PATH": os.environ.get("PATH", os.defpath), **environment()}
    del env["GIT_DIR"]
    return env


def run_git(*args: str, cwd: Path, stdin: bytes = b"") -> bytes:
    """`Git` with the git on PATH, in a clean environment."""
    done = subprocess.run(
        ["git", *args],
        cwd=cwd,
        input=stdin,
        env=git_environment() | {"GIT_CEILING_DIRECTORIES": str(cwd.absolute().parent)},
        capture_output=True,
        check=True,
    )
    return done.stdout


def make_model_repo(root: Path, repo: str, files: Mapping[str, Path], *, git: Git = run_git) -> ModelRepo:
    """Make (or make anew) the repository `repo` ("namespace/name") under a hub's `root`.

    The files are hard links where the file system allows, else copies; a `.gitattributes` for LFS is added
    unless given. Raises ValueError for a name or path
    that would leave its folder, OSError, and what `git` raises.
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
    made = ModelRepo(repo, _commit(git_folder(root, repo), blobs, git), table)
    _write_table(root, made)
    return made


def read_model_repo(root: Path, repo: str) -> ModelRepo | None:
    """The repository as its table tells it; None when there is none of that name."""
    try:
        table = json.loads(_table_path(root, repo).read_text("utf-8"))
    except FileNotFoundError:
        return None
    files = {path: (int(entry["size"]), str(entry["sha256"])) for path, entry in table["files"].items()}
    return ModelRepo(repo, str(table["commit"]), files)


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


def _write_table(root: Path, made: ModelRepo) -> None:
    files = {path: {"size": size, "sha256": sha256} for path, (size, sha256) in made.files.items()}
    target = _table_path(root, made.repo)
    aside = target.with_name(target.name + ".new")
    aside.write_text(json.dumps({"commit": made.commit, "files": files}, indent=1), "utf-8")
    aside.replace(target)


def _commit(folder: Path, blobs: Mapping[str, bytes], git: Git) -> str:
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    arguments = ("--bare", "--quiet", "--template=", "--object-format=sha1", "--initial-branch=main")
    git("init", *arguments, folder.name, cwd=folder.parent)
    with (folder / "config").open("a", encoding="utf-8") as config:
        config.write(_UPLOADPACK)
    message = b"Rehearsal model files\n"
    stream = [f"commit refs/heads/main\ncommitter {_SIGNATURE}\ndata {len(message)}\n".encode(), message]
    for path, content in sorted(blobs.items()):
        stream.append(f"M 100644 inline {path}\ndata {len(content)}\n".encode() + content + b"\n")
    git("fast-import", "--quiet", cwd=folder, stdin=b"".join(stream))
    return git("rev-parse", "refs/heads/main", cwd=folder).decode().strip()


def _blob(path: Path, size: int, sha256: str) -> bytes:
    return pointer_text(sha256, size).encode() if is_lfs(path.name) else path.read_bytes()


def _is_plain(path: str) -> bool:
    parts = PurePosixPath(path).parts
    # A quote or a line feed would end the name in git fast-import's stream.
    return "/".join(parts) == path != "" and parts[0] != "/" and ".." not in parts and not set('"\n') & set(path)


def _link_or_copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    try:
        os.link(source.resolve(), target)
    except OSError:  # another file system, or one without hard links
        shutil.copyfile(source, target)


def size_and_sha256(path: Path) -> tuple[int, str]:
    """How many bytes a file has, and their sha256."""
    with path.open("rb") as file:
        return path.stat().st_size, hashlib.file_digest(file, "sha256").hexdigest()
