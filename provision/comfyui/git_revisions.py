"""Revisions of ComfyUI by git: the one that is checked out, those that a generation has, and a person's edits.

A revision is written out into a folder of its own, to be tried there. Edits travel as patches: git merges them into
another revision, and what it cannot merge stays a patch. What a person only added to git's list is no edit: such a file
stays where it is.
"""

from __future__ import annotations

import filecmp
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from provision.comfyui.git_checkout import (
    NAMES_AT_ONCE,
    blobs_of,
    commit_date,
    find_locks,
    read_state,
    restore,
    tree_of,
)
from provision.comfyui.git_remote import Revision, explained
from provision.comfyui.git_stand_in import StandIn, stand_in
from provision.comfyui.revisions import Written
from provision.core.receipts import write_bytes
from provision.system.git_program import GitFailed

KEPT = "refs/remotes/provision/"
"""Names of ours for the commits that can be gone back to, so that git keeps them."""
DIFF = ("diff", "--binary", "--no-ext-diff", "--no-textconv", "--no-renames", "--ignore-submodules=all")


@dataclass(frozen=True, slots=True)
class GitRevisions:
    """The revisions of the checkout in a folder; see `Revisions` of `revisions`."""

    folder: Path

    def head(self) -> str | None:
        """The commit that is checked out."""
        return read_state(self.folder).head

    def blobs(self) -> Mapping[str, str]:
        """The ids of the files of HEAD."""
        return blobs_of(self.folder)

    def edited(self) -> tuple[str, ...]:
        """The files that a person changed, or added to git's list."""
        return read_state(self.folder).modified

    def edits(self) -> bytes:
        """What a person changed in the files of the checkout, as a patch."""
        names = self.edited()
        if not names:
            return b""
        with explained("Your changes cannot be read"), stand_in(self.folder) as seen:
            known = _known(seen, names)
            return os.fsencode(seen.git(*DIFF, "HEAD", "--", *known)) if known else b""

    def save(self, edits: bytes, place: Path) -> Path:
        """Write a patch, which `git apply --3way` takes."""
        file = place.with_name(f"{place.name}.patch")
        write_bytes(file, edits)
        return file

    def hold(self, number: int, commit: str) -> None:
        """Have git keep a commit, by a name of ours."""
        with explained(f"{commit[:8]} could not be kept"), stand_in(self.folder) as seen:
            seen.git("update-ref", f"{KEPT}{number}", commit)

    def let_go(self, kept: Mapping[int, str]) -> None:
        """Let git forget the commits of all generations but these."""
        with explained("Old commits could not be let go"), stand_in(self.folder) as seen:
            for name in seen.git("for-each-ref", "--format=%(refname)", KEPT.rstrip("/")).splitlines():
                if name.removeprefix(KEPT) not in map(str, kept):
                    seen.git("update-ref", "-d", name)

    def write_out(self, commit: str, destination: Path, edits: bytes = b"") -> Written:
        """Write a commit's files into a new folder, with a patch of another commit merged into them."""
        written = Written(commit_date(self.folder, commit), tree_of(self.folder, commit))
        with explained(f"{commit[:8]} could not be written out"), _written(self.folder, commit, destination) as at:
            if not edits:
                return written
            given = destination.with_name(f"{destination.name}.patch")
            given.write_bytes(edits)
            try:
                at.git("apply", "--3way", str(given))
                return replace(written, edits=os.fsencode(at.git(*DIFF, commit)))
            except GitFailed:
                shutil.rmtree(destination)
            finally:
                given.unlink()
        with explained(f"{commit[:8]} could not be written out"), _written(self.folder, commit, destination):
            return replace(written, edits=None)

    def move_to(self, revision: Revision, edits: bytes, set_aside: Callable[[Path], None]) -> None:
        """Check the commit out, and apply a person's patch."""
        assert revision.commit is not None
        for lock in find_locks(self.folder):
            lock.unlink(missing_ok=True)
        with explained(f"{revision.name} could not be checked out"), stand_in(self.folder, logs=True) as seen:
            _undo(seen, read_state(self.folder).modified)
            for path in _in_the_way(seen, revision.commit):
                set_aside(path)
            where = ("-B", revision.name) if revision.kind == "branch" else ("--detach",)
            seen.git("checkout", *where, revision.commit)
            seen.keep_head()
        restore(self.folder)
        if edits:
            with explained("Your changes could not be put back"), stand_in(self.folder) as seen:
                given = Path(seen.env["GIT_DIR"]) / "edits.patch"
                given.write_bytes(edits)
                seen.git("apply", str(given))


def _known(seen: StandIn, names: tuple[str, ...]) -> list[str]:
    """Those of the names that the commit has; the others are only in git's list."""
    listed = set(seen.git("ls-tree", "-r", "-z", "--name-only", "--full-tree", "HEAD").split("\0"))
    return [name for name in names if name in listed]


@contextmanager
def _written(folder: Path, commit: str, destination: Path) -> Iterator[StandIn]:
    """A commit's files in a folder, which git sees as theirs."""
    destination.mkdir()
    with stand_in(folder) as seen:
        index = Path(seen.env["GIT_DIR"]) / "index-beside"
        at = replace(
            seen, folder=destination, env={**seen.env, "GIT_INDEX_FILE": str(index), "GIT_WORK_TREE": str(destination)}
        )
        at.git("read-tree", commit)
        at.git("checkout-index", "--all", "--force", "--index")
        yield at


def _undo(seen: StandIn, names: tuple[str, ...]) -> None:
    """Let the files be as the commit has them; those that were only added to git's list are taken off it, and stay."""
    known = _known(seen, names)
    added = [name for name in names if name not in known]
    for words, them in ((("checkout", "HEAD", "--"), known), (("rm", "--cached", "--quiet", "-f", "--"), added)):
        for start in range(0, len(them), NAMES_AT_ONCE):
            seen.git(*words, *them[start : start + NAMES_AT_ONCE])


def _in_the_way(seen: StandIn, commit: str) -> list[Path]:
    """The files that git does not know of, and the commit has with other content; equal ones are removed."""
    listed = seen.git("ls-files", "-z").split("\0")
    coming = set(seen.git("ls-tree", "-r", "-z", "--name-only", "--full-tree", commit).split("\0")) - set(listed)
    found = [seen.folder / name for name in sorted(coming) if name and os.path.lexists(seen.folder / name)]
    if not found:
        return []
    beside = Path(seen.env["GIT_DIR"]) / "beside"
    with _written(seen.folder, commit, beside):
        other = []
        for path in found:
            twin = beside / path.relative_to(seen.folder)
            if path.is_file() and not path.is_symlink() and filecmp.cmp(path, twin, shallow=False):
                path.unlink()
            else:
                other.append(path)
        return other
