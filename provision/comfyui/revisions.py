"""Revisions of ComfyUI beside the one that is checked out, and the edits that a person made of its files.

A revision is written out into a folder of its own, to be tried there. Edits travel as patches: git merges them into
another revision, and what it cannot merge stays a patch.
"""

from __future__ import annotations

import filecmp
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from provision.comfyui.git_checkout import NAMES_AT_ONCE, find_locks, read_state, restore
from provision.comfyui.git_remote import Revision, explained
from provision.comfyui.git_stand_in import StandIn, stand_in
from provision.system.git_program import GitFailed

KEPT = "refs/remotes/provision/"
"""Names of ours for the commits that can be gone back to, so that git keeps them."""
DIFF = ("diff", "--binary", "--no-ext-diff", "--no-textconv", "--no-renames", "--ignore-submodules=all")


def hold(folder: Path, number: int, commit: str) -> None:
    """Have git keep a commit for as long as a generation has it. Raises GitError."""
    with explained(f"{commit[:8]} could not be kept"), stand_in(folder) as seen:
        seen.git("update-ref", f"{KEPT}{number}", commit)


def let_go(folder: Path, numbers: set[int]) -> None:
    """Let git forget the commits of all generations but these. Raises GitError."""
    with explained("Old commits could not be let go"), stand_in(folder) as seen:
        for name in seen.git("for-each-ref", "--format=%(refname)", KEPT.rstrip("/")).splitlines():
            if name.removeprefix(KEPT) not in map(str, numbers):
                seen.git("update-ref", "-d", name)


def edits(folder: Path) -> bytes:
    """What a person changed in the files of the checkout, as a patch; empty where nothing. Raises GitError."""
    names = read_state(folder).modified
    if not names:
        return b""
    with explained("Your changes cannot be read"), stand_in(folder) as seen:
        return os.fsencode(seen.git(*DIFF, "HEAD", "--", *names))


def write_out(folder: Path, commit: str, destination: Path, patch: bytes = b"") -> bytes | None:
    """Write a commit's files into a new folder, with a patch of another commit merged into them.

    Returns the patch as it is for this commit; None where git cannot merge it, and the files are as the commit has
    them. Raises GitError.
    """
    with explained(f"{commit[:8]} could not be written out"), _written(folder, commit, destination) as at:
        if not patch:
            return b""
        given = destination.with_name(f"{destination.name}.patch")
        given.write_bytes(patch)
        try:
            at.git("apply", "--3way", str(given))
            return os.fsencode(at.git(*DIFF, commit))
        except GitFailed:
            shutil.rmtree(destination)
        finally:
            given.unlink()
    with explained(f"{commit[:8]} could not be written out"), _written(folder, commit, destination):
        return None


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


def move_to(folder: Path, revision: Revision, patch: bytes, set_aside: Callable[[Path], None]) -> None:
    """Check out a commit that is here, and put a person's edits of it into its files.

    The edits of the commit before are saved by now. `set_aside` moves a file away that stands where the commit has
    another. Can be killed anywhere and done again. Raises GitError, HomeError.
    """
    assert revision.commit is not None
    for lock in find_locks(folder):
        lock.unlink(missing_ok=True)
    with explained(f"{revision.name} could not be checked out"), stand_in(folder, logs=True) as seen:
        _undo(seen, read_state(folder).modified)
        for path in _in_the_way(seen, revision.commit):
            set_aside(path)
        where = ("-B", revision.name) if revision.kind == "branch" else ("--detach",)
        seen.git("checkout", *where, revision.commit)
        seen.keep_head()
    restore(folder)
    if patch:
        with explained("Your changes could not be put back"), stand_in(folder) as seen:
            given = Path(seen.env["GIT_DIR"]) / "edits.patch"
            given.write_bytes(patch)
            seen.git("apply", str(given))


def _undo(seen: StandIn, names: tuple[str, ...]) -> None:
    for start in range(0, len(names), NAMES_AT_ONCE):
        seen.git("checkout", "HEAD", "--", *names[start : start + NAMES_AT_ONCE])


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
