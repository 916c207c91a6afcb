"""A real engine's source as a small upstream repository that anyone can clone.

The live tests run the product against a real ComfyUI. Where that comes as an archive with objects missing,
git refuses to clone it; this makes a whole repository out of its newest tree, and says what it left out.
"""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

BRANCH = "master"
VERSION_FILE = "comfyui_version.py"
KEPT_HEADERS = ("author ", "committer ", "encoding ")


@dataclass(frozen=True, slots=True)
class Upstream:
    """A bare repository of one commit: its path, the commit's id, and the files left out of the tree."""

    path: Path
    commit: str
    dropped: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of `git ls-tree -r`: a file of the tree, with the id of its content."""

    mode: str
    kind: str
    object_id: str
    path: str


def complete_clone(source: str, destination: Path, *newer: str) -> Upstream:
    """Make a bare repository at `destination` of the newest commit of `source`, as its version.

    `newer` are further ones, and the last of all is `BRANCH` too. A source is a URL or a path, or `PATH@COMMIT`. Files
    whose content it lacks are left out of the tree. The commits have no parents and keep the originals' authors, dates
    and messages; only the objects that they reach are copied.
    Raises CalledProcessError where git refuses, FileExistsError where `destination` exists, ValueError where no
    version is stated.
    """
    destination.mkdir(parents=True)
    init_bare(destination)
    dropped: list[str] = []
    for each in (source, *newer):
        commit, left_out = add_newest(each, destination)
        dropped += left_out
    open_to_everyone(destination)
    git("fsck", "--connectivity-only", cwd=destination)
    return Upstream(destination, commit, tuple(dropped))


def add_newest(source: str, destination: Path) -> tuple[str, list[str]]:
    """Put the newest commit of a source into a bare repository; returns its id there, and the files left out."""
    place, _, wanted = source.partition("@") if Path(source.partition("@")[0]).is_dir() else (source, "", "")
    with tempfile.TemporaryDirectory(prefix="upstream-") as scratch:
        origin = local_git_dir(place, Path(scratch, "origin.git"))
        workshop = borrowing_repository(origin, Path(scratch, "workshop.git"))
        newest = git("rev-parse", wanted or "HEAD", cwd=origin).strip()
        entries = parse_entries(git("ls-tree", "-r", "-z", newest, cwd=workshop))
        absent = absent_objects(workshop, (entry.object_id for entry in entries if entry.kind == "blob"))
        tree = write_tree(workshop, (entry for entry in entries if entry.object_id not in absent))
        commit = write_root_commit(workshop, git("cat-file", "commit", newest, cwd=workshop), tree)
        for ref in (f"refs/heads/{BRANCH}", f"refs/tags/v{read_version(workshop, newest)}"):
            git("update-ref", ref, commit, cwd=workshop)
        # A fetch moves what the refs reach and no more.
        git("fetch", "--quiet", str(workshop), "+refs/*:refs/*", cwd=destination)
    return commit, [entry.path for entry in entries if entry.object_id in absent]


def read_version(repository: Path, revision: str = "HEAD") -> str:
    """The version in ComfyUI's `VERSION_FILE` at `revision`, such as `0.3.64`; ValueError where none is."""
    text = git("cat-file", "blob", f"{revision}:{VERSION_FILE}", cwd=repository)
    found = re.search(r'^__version__ = "([^"]+)"', text, re.MULTILINE)
    if found is None:
        raise ValueError(f"{VERSION_FILE} at {revision} states no version.")
    return found[1]


def parse_entries(listing: str) -> list[Entry]:
    """The entries in the output of `git ls-tree -r -z`."""
    return [parse_entry(line) for line in listing.split("\0") if line]


def parse_entry(line: str) -> Entry:
    meta, _, path = line.partition("\t")
    mode, kind, object_id = meta.split(" ")
    return Entry(mode, kind, object_id, path)


def root_commit(raw: str, tree: str) -> str:
    """The text of a commit of `tree` without parents, else as `raw`; a signature would not hold: it goes."""
    headers, _, message = raw.partition("\n\n")
    kept = [line for line in headers.split("\n") if line.startswith(KEPT_HEADERS)]
    return "\n".join((f"tree {tree}", *kept, "", message))


def init_bare(path: Path) -> None:
    git("init", "--quiet", "--bare", f"--initial-branch={BRANCH}", str(path), cwd=path.parent)


def local_git_dir(source: str, clone: Path) -> Path:
    """The git directory of `source` if it is on this machine, else of a shallow clone made at `clone`."""
    if Path(source).is_dir():
        return Path(git("rev-parse", "--absolute-git-dir", cwd=Path(source)).strip())
    git("clone", "--quiet", "--bare", "--depth=1", source, str(clone), cwd=clone.parent)
    return clone


def borrowing_repository(origin: Path, path: Path) -> Path:
    """A new bare repository that reads the objects of `origin` too; what it writes stays its own."""
    init_bare(path)
    Path(path, "objects", "info", "alternates").write_text(f"{origin / 'objects'}\n", encoding="utf-8")
    return path


def absent_objects(repository: Path, object_ids: Iterable[str]) -> set[str]:
    """Those of `object_ids` that the object store does not hold."""
    asked = "".join(f"{object_id}\n" for object_id in object_ids)
    answers = git("cat-file", "--batch-check", cwd=repository, stdin=asked).splitlines()
    return {answer.partition(" ")[0] for answer in answers if answer.endswith(" missing")}


def write_tree(repository: Path, entries: Iterable[Entry]) -> str:
    listing = "".join(f"{entry.mode} {entry.object_id}\t{entry.path}\0" for entry in entries)
    git("update-index", "-z", "--index-info", cwd=repository, stdin=listing)
    return git("write-tree", cwd=repository).strip()


def write_root_commit(repository: Path, raw: str, tree: str) -> str:
    text = root_commit(raw, tree)
    return git("hash-object", "-t", "commit", "-w", "--stdin", cwd=repository, stdin=text).strip()


def open_to_everyone(repository: Path) -> None:
    """Serve it as the public hosts do: any commit by its id, partial clones, and plain file transports."""
    git("config", "uploadpack.allowAnySHA1InWant", "true", cwd=repository)
    git("config", "uploadpack.allowFilter", "true", cwd=repository)
    git("update-server-info", cwd=repository)


def git(*args: str, cwd: Path, stdin: str = "") -> str:
    """The standard output of one git command, byte for byte; CalledProcessError where it fails."""
    done = subprocess.run(
        ("git", *args),
        cwd=cwd,
        # A variable such as GIT_DIR, which git sets for a hook's children, would move the work elsewhere.
        env={name: value for name, value in os.environ.items() if not name.startswith("GIT_")},
        input=stdin.encode("utf-8", "surrogateescape"),
        capture_output=True,
        check=True,
    )
    return done.stdout.decode("utf-8", "surrogateescape")
