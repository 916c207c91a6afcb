"""Bare git repositories made of files, without git: the same files give the same commits on every machine."""

from __future__ import annotations

import gzip
import io
import os
import shutil
import tarfile
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from provision.system.git_objects import FILE, Entry, Object, blob_id, trees
from provision.system.git_program import environment

GIT_S = 300
AUTHOR = "The rehearsal <rehearsal@localhost>"
CONFIG = """\
[core]
\trepositoryformatversion = 0
\tfilemode = true
\tbare = true
[uploadpack]
\tallowAnySHA1InWant = true
"""
"""Any commit may be fetched by its id, as from GitHub."""
ARCHIVES = "archives"
"""Where a repository keeps an archive of each commit, as GitHub makes them."""


@dataclass(frozen=True, slots=True)
class Commit:
    """One commit with all of its files, made at `when` (Unix seconds); files of the one before stay."""

    message: str
    when: int
    files: Mapping[str, bytes]
    tag: str = ""


def git_environment() -> dict[str, str]:
    """An environment in which no configuration of the user or of the system reaches git; it finds its repository."""
    env = {"PATH": os.environ.get("PATH", os.defpath), **environment()}
    del env["GIT_DIR"]
    return env


def make_bare(bare: Path, branch: str, commits: Iterable[Commit]) -> str:
    """Make or replace a bare repository; returns the id of its last commit. Raises OSError."""
    shutil.rmtree(bare, ignore_errors=True)
    for folder in ("objects", "refs/heads", "refs/tags", ARCHIVES):
        (bare / folder).mkdir(parents=True)
    (bare / "HEAD").write_text(f"ref: refs/heads/{branch}\n", encoding="ascii")
    (bare / "config").write_text(CONFIG, encoding="ascii")
    files: dict[str, bytes] = {}
    head = ""
    for commit in commits:
        files |= commit.files
        head = add_commit(bare, commit, files, head)
    (bare / "refs/heads" / branch).write_text(f"{head}\n", encoding="ascii")
    return head


def add_commit(bare: Path, commit: Commit, files: Mapping[str, bytes], parent: str = "") -> str:
    """Write a commit with all of its files, its archive and its tag, and return its id. Raises OSError."""
    head = _commit(bare, commit, files, parent)
    _write_archive(bare / ARCHIVES / f"{head}.tar.gz", f"{bare.stem}-{head}", head, commit.when, files)
    if commit.tag:
        (bare / "refs/tags" / commit.tag).write_text(f"{head}\n", encoding="ascii")
    return head


def refs_of(bare: Path) -> dict[str, str]:
    """The commits of a repository of ours by their names, that of HEAD first."""
    refs = {
        path.relative_to(bare).as_posix(): path.read_text(encoding="ascii").strip()
        for path in sorted((bare / "refs").rglob("*"))
        if path.is_file()
    }
    head = (bare / "HEAD").read_text(encoding="ascii").removeprefix("ref: ").strip()
    return {"HEAD": refs[head], **refs}


def _commit(bare: Path, commit: Commit, files: Mapping[str, bytes], parent: str) -> str:
    """Write a commit with its trees and files, and return its id."""
    for content in files.values():
        _write_object(bare, Object("blob", content))
    made = trees({path: Entry(FILE, blob_id(content)) for path, content in files.items()})
    for tree in made:
        _write_object(bare, tree)
    signature = f"{AUTHOR} {commit.when} +0000"
    lines = [f"tree {made[-1].id}", *([f"parent {parent}"] if parent else [])]
    lines += [f"author {signature}", f"committer {signature}", "", commit.message]
    written = Object("commit", "\n".join(lines).encode())
    _write_object(bare, written)
    return written.id


def _write_object(bare: Path, made: Object) -> None:
    path = bare / "objects" / made.id[:2] / made.id[2:]
    if not path.exists():
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(zlib.compress(made.whole))


def _write_archive(path: Path, top: str, commit: str, when: int, files: Mapping[str, bytes]) -> None:
    """What `git archive --prefix=TOP/` writes: the commit in the head, its time on each file, modes by umask 002."""
    head = {"comment": commit}
    with (
        path.open("wb") as stream,
        gzip.GzipFile("", "wb", fileobj=stream, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w|", format=tarfile.PAX_FORMAT, pax_headers=head) as tar,
    ):
        folders = {folder.as_posix() for name in files for folder in Path(name).parents}
        for folder in sorted(folders):
            _add(tar, f"{top}/{folder}" if folder != "." else top, when, None)
        for name, content in sorted(files.items()):
            _add(tar, f"{top}/{name}", when, content)


def _add(tar: tarfile.TarFile, name: str, when: int, content: bytes | None) -> None:
    member = tarfile.TarInfo(name)
    member.mtime, member.uname, member.gname = when, "root", "root"
    member.type, member.mode = (tarfile.DIRTYPE, 0o775) if content is None else (tarfile.REGTYPE, 0o664)
    member.size = len(content or b"")
    tar.addfile(member, io.BytesIO(content or b""))
