"""A git checkout that is brought, repaired and moved to another revision without losing what a person changed.

There is no `git clone`: the folder may already hold a model. The repository is made and filled under another name and
gets the name `.git` by one rename, so that a `.git` of ours is whole from its first moment; then files are written.
Each of these can be killed and done again. Git sees the repository through a stand-in, whose configuration is ours.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from provision.comfyui.git_remote import Follow, Revision, explained, fetch_into, new_repository, parse_tree
from provision.comfyui.git_stand_in import StandIn, git_dir, stand_in
from provision.system.disk_errors import unusable
from provision.system.git_program import NOWHERE, Alive, GitFailed, environment, plain, run_git

PERSONS = ("models/", "output/", "input/", "custom_nodes/", "user/")
"""Folders that are for a person to fill; what ComfyUI itself keeps there (`put_checkpoints_here`) it does without."""
IN_THE_MAKING = ".git-in-the-making-"
"""How a repository is named until it is whole; what a killed run left is swept by the next."""
NAMES_AT_ONCE = 200


@dataclass(frozen=True, slots=True)
class State:
    """A checkout as it is found. `head` is None when git cannot tell; what lies behind a link is not `deleted`."""

    head: str | None
    locks: tuple[Path, ...] = ()
    deleted: tuple[str, ...] = ()
    modified: tuple[str, ...] = ()
    trouble: str = ""

    @property
    def missing(self) -> tuple[str, ...]:
        """The deleted files without which ComfyUI is not whole."""
        return tuple(name for name in self.deleted if not name.startswith(PERSONS))


# -- looking ------------------------------------------------------------------------------------------------------


def read_state(folder: Path) -> State:
    """What the checkout looks like; nothing is changed or started, no network.

    Raises CommandMissing where there is no git.
    """
    locks = find_locks(folder)
    try:
        with stand_in(folder) as seen:
            head = _commit(seen, "HEAD")
            seen.git("cat-file", "-e", f"{head}^{{tree}}")
            if not (seen.git_dir / "index").exists():
                return State(None, locks, trouble="its list of files, .git/index, is gone")
            # What a submodule holds is somebody else's repository, with a configuration of its own.
            words = ("--porcelain", "-z", "--untracked-files=no", "--no-renames", "--ignore-submodules=all")
            status = seen.git("status", *words)
    except (GitFailed, OSError) as error:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
            raise unusable(folder, error) from error
        return State(None, locks, trouble=plain(str(error)))
    entries = [(entry[:2], entry[3:]) for entry in status.split("\0") if len(entry) > 3]
    entries = [(flags, name) for flags, name in entries if "D" not in flags or not behind_link(folder, name)]
    deleted = tuple(name for flags, name in entries if "D" in flags and not _is_there(folder / name))
    modified = tuple(name for _, name in entries if name not in deleted)
    return State(head, locks, deleted, modified)


def example(names: tuple[str, ...]) -> str:
    """The first of some files of a checkout, for a message."""
    return f"{plain(names[0])} ..."


def _commit(seen: StandIn, name: str) -> str:
    return seen.git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}").strip()


def _is_there(path: Path) -> bool:
    """Whether a file is there, be it taken out of git's list: it is a person's to keep."""
    return os.path.lexists(path)


def behind_link(folder: Path, name: str) -> bool:
    """Whether a folder on the way to a file is a link now, as where a person keeps models on another disk.

    Git counts such a file as deleted, and to write it again it would put a folder in the place of the link.
    """
    return any((folder / parent).is_symlink() for parent in Path(name).parents)


def find_locks(folder: Path) -> tuple[Path, ...]:
    """The locks in a repository; git takes one for a moment, and one that a killed git left stops the next."""
    place = git_dir(folder)
    refs = (Path(parent, name) for parent, _, names in os.walk(place / "refs") for name in names)
    return tuple(sorted(path for path in (*place.glob("*.lock"), *refs) if path.name.endswith(".lock")))


def commit_date(folder: Path, commit: str) -> str:
    """The committer's date of a commit, ISO 8601. Raises GitError."""
    with explained("The commit's date cannot be read"), stand_in(folder) as seen:
        return seen.git("log", "-1", "--format=%cI", "--end-of-options", commit).strip()


def tree_of(folder: Path, commit: str) -> str:
    """The id of a commit's tree. Raises GitError."""
    with explained("The commit's tree cannot be read"), stand_in(folder) as seen:
        return seen.git("rev-parse", "--verify", "--end-of-options", f"{commit}^{{tree}}").strip().splitlines()[-1]


def blobs_of(folder: Path) -> dict[str, str]:
    """The files of HEAD by path, each with the id of its content (git's blob hash); empty where git cannot tell."""
    try:
        with stand_in(folder) as seen:
            listing = seen.git("ls-tree", "-r", "-z", "--full-tree", "HEAD")
    except (GitFailed, OSError):
        return {}
    return parse_tree(listing)


def commits_of_its_own(folder: Path, known: str) -> bool:
    """Whether a checkout holds commits or a stash beside the `known` commit and what was fetched."""
    try:
        with stand_in(folder) as seen:
            listing = seen.git("for-each-ref", "--format=%(objectname) %(*objectname) %(refname)")
            commits = {_commit(seen, "HEAD")}
    except (GitFailed, OSError):
        return False
    refs = [line.split() for line in listing.splitlines()]
    fetched = {word for *ids, name in refs if name.startswith(("refs/tags/", "refs/remotes/")) for word in ids}
    commits |= {ids[0] for *ids, name in refs if not name.startswith(("refs/tags/", "refs/remotes/"))}
    return bool(commits - fetched - {known})


def has_commit_of(folder: Path, ref: str) -> str | None:
    """The commit that a tag, branch or hash names inside the checkout, None when it does not know it."""
    try:
        with stand_in(folder) as seen:
            return _commit(seen, ref)
    except (GitFailed, OSError):
        return None


def name_lost_commit(folder: Path) -> str:
    """Give HEAD's commit a branch where no name leads to it, so that git keeps it; the branch. Raises GitError."""
    with explained("Your commits could not be kept"), stand_in(folder, logs=True) as seen:
        if seen.git("for-each-ref", "--count=1", "--contains", "HEAD").strip():
            return ""
        head = _commit(seen, "HEAD")
        seen.git("update-ref", f"refs/heads/kept-{head[:8]}", head)
        return f"kept-{head[:8]}"


def is_broken(folder: Path) -> bool:
    """Whether git finds a fault in the repository itself: objects that are cut short, empty or gone."""
    try:
        with stand_in(folder) as seen:
            _commit(seen, "HEAD")
            seen.git("fsck", "--no-dangling", "--no-progress", "--no-reflogs")
    except GitFailed as error:
        lines = error.said.splitlines()
        # An odd date of an old commit, say, is no fault: git works with it (git-fsck(1), FSCK MESSAGES).
        return error.code != 1 or not lines or not all(line.startswith(("error in ", "warning in ")) for line in lines)
    except OSError:
        return True
    return False


def stranger(folder: Path, environ: Mapping[str, str]) -> int | None:
    """The user whom a repository belongs to, where git itself would refuse it for that; None where it would not.

    A person allows it by `safe.directory` in their own configuration, as git asks for it (git-config(1)); the user who
    called sudo counts as root does. Raises CommandMissing.
    """
    mine = {os.geteuid()}
    if os.geteuid() == 0 and (caller := environ.get("SUDO_UID", "")).isdecimal():
        mine.add(int(caller))
    for path in (folder, folder / ".git", git_dir(folder)):
        with suppress(OSError):
            owner = path.lstat().st_uid
            if owner not in mine:
                return None if _is_allowed(folder, environ) else owner
    return None


def _is_allowed(folder: Path, environ: Mapping[str, str]) -> bool:
    words = ("config", "--null", "--type=path", "--get-all", "safe.directory")
    try:
        told = run_git(words, environment(NOWHERE, persons=environ)).split("\0")[:-1]
    except GitFailed:
        return False
    allowed: list[str] = []
    for each in told:
        allowed = [*allowed, each] if each else []
    place = os.path.realpath(folder)
    return any(
        each in ("*", place, str(folder)) or (each.endswith("/*") and place.startswith(each[:-1])) for each in allowed
    )


# -- bringing -----------------------------------------------------------------------------------------------------


def fetch(
    folder: Path,
    url: str,
    revision: Revision,
    on_progress: Callable[[str], None],
    alive: Alive | None = None,
    *,
    environ: Mapping[str, str] = os.environ,
) -> str:
    """Fetch one commit without history, into the repository that is there or a new one, and return its hash.

    `environ` is that of the person, whose configuration may lead to the server.
    Raises GitError.
    """
    bring = partial(fetch_into, url=url, revision=revision, follow=Follow(on_progress, alive), environ=environ)
    with explained(f"{revision.name} of {url} could not be downloaded"):
        folder.mkdir(parents=True, exist_ok=True)
        if not os.path.lexists(folder / ".git"):
            return _make(folder, url, revision, bring)
        with stand_in(folder) as seen:
            for left in (seen.git_dir / "objects" / "pack").glob("tmp_*"):
                left.unlink(missing_ok=True)
            commit = bring(Path(seen.env["GIT_DIR"]))
            _name(seen.env, revision, commit)
            return commit


def _make(folder: Path, url: str, revision: Revision, bring: Callable[[Path], str]) -> str:
    """A new repository with one commit in it, which is there whole or not at all."""
    for left in folder.glob(f"{IN_THE_MAKING}*"):
        shutil.rmtree(left, ignore_errors=True)
    place = folder / f"{IN_THE_MAKING}{os.getpid()}"
    try:
        new_repository(place, url)
        commit = bring(place)
        _name(environment(place), revision, commit)
        place.rename(folder / ".git")
    finally:
        shutil.rmtree(place, ignore_errors=True)
    return commit


def _name(env: Mapping[str, str], revision: Revision, commit: str) -> None:
    """Let a commit have the name in the checkout that it has on the remote."""
    prefix = {"tag": "refs/tags/", "branch": "refs/remotes/origin/"}.get(revision.kind)
    if prefix is not None:
        run_git(("update-ref", f"{prefix}{revision.name}", commit), env)


def place(folder: Path, commit: str, revision: Revision, *, ours: bool) -> None:
    """Check a fetched commit out. `ours`: what lies there was written by us and may be overwritten.

    Otherwise a folder without a valid HEAD keeps each of its files, and only what is missing is written. Raises
    GitError.
    """
    with explained(f"{revision.name} could not be checked out"):
        keep = not ours and read_state(folder).head is None
        with stand_in(folder, logs=True) as seen:
            if keep:
                seen.git("update-ref", "--no-deref", "HEAD", commit)
                seen.git("reset", "--mixed", "--quiet", commit)
            else:
                where = ("-B", revision.name) if revision.kind == "branch" else ("--detach",)
                seen.git("checkout", *(("--force",) if ours else ()), *where, commit)
            seen.keep_head()
    if keep:
        restore(folder)


def restore(folder: Path) -> tuple[str, ...]:
    """Write again the files of HEAD that are missing; changed files stay. Returns their names. Raises GitError."""
    deleted = read_state(folder).deleted
    with explained("Missing files could not be restored"), stand_in(folder) as seen:
        for start in range(0, len(deleted), NAMES_AT_ONCE):
            seen.git("checkout", "HEAD", "--", *deleted[start : start + NAMES_AT_ONCE])
    return deleted


def filters_of(folder: Path, names: tuple[str, ...]) -> frozenset[str]:
    """The filters (`lfs`) that a repository wants files to go through when they are written; none is run here."""
    found: set[str] = set()
    with suppress(GitFailed, OSError), stand_in(folder) as seen:
        for start in range(0, len(names), NAMES_AT_ONCE):
            told = seen.git("check-attr", "-z", "filter", "--", *names[start : start + NAMES_AT_ONCE])
            found.update(told.split("\0")[2::3])
    return frozenset(found - {"unspecified", "unset", "set"})


def renew_index(folder: Path) -> bool:
    """Have git's list of files made anew from HEAD where that is what is broken; no file of the checkout is touched.

    False where there is more that is broken.
    """
    if read_state(folder).head is not None:
        return False
    with suppress(GitFailed, OSError), stand_in(folder) as seen:
        _commit(seen, "HEAD")
        index = seen.git_dir / "index"
        if index.is_file() or index.is_symlink():
            index.unlink()
        seen.git("read-tree", "HEAD")
    return read_state(folder).head is not None


def stash(folder: Path, message: str) -> None:
    """Put local changes away where `git stash pop` brings them back. Raises GitError."""
    with explained("Local changes could not be stashed"), stand_in(folder, logs=True) as seen:
        seen.git("stash", "push", "--message", message)
