"""A git checkout that is brought, repaired and moved to another revision without losing what a person changed.

GitPython runs git. There is no `git clone`: the folder may already hold a model, so the repository is made in place
(`init`, `fetch --depth 1`, `checkout`), and each of these can be killed and done again.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from provision.errors import CommandMissing, GitError
from provision.strict import Unreadable, read_text

if TYPE_CHECKING:
    from git import Git

RELEASE = re.compile(r"v?(\d+)\.(\d+)(?:\.(\d+))?")
PERSONS = ("models/", "output/", "input/", "custom_nodes/", "user/")
"""Folders that are for a person to fill; what ComfyUI itself keeps there (`put_checkpoints_here`) it does without."""
COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True, slots=True)
class Revision:
    """A revision on the remote: `name` for people, `fetch` what git is asked for, `commit` when known before."""

    name: str
    kind: str
    """`tag`, `branch` or `commit`."""
    commit: str | None


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


def git_in(folder: Path) -> Git:
    """GitPython's git for this folder and no other, whatever GIT_* the caller's environment holds.

    Raises CommandMissing where there is no git.
    """
    git = _git_class()(folder)
    git.update_environment(**_environment(folder))
    return git


def _git_class() -> type[Git]:
    if shutil.which("git") is None:  # GitPython looks for the program when it is imported, and cannot be without
        raise CommandMissing("git is not on this machine.", hint="provision doctor --only git-missing")
    from git import Git

    return Git


def _environment(folder: Path) -> dict[str, str]:
    person = {
        f"GIT_{role}_{what}": value
        for role in ("AUTHOR", "COMMITTER")
        for what, value in (("NAME", "provision"), ("EMAIL", "provision@localhost"))
    }
    return person | {
        "GIT_DIR": str(git_dir(folder)),
        "GIT_WORK_TREE": str(folder),
        "GIT_INDEX_FILE": str(git_dir(folder) / "index"),
        # A repository's own settings could name a program here, which a mere look must not start.
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": "core.fsmonitor",
        "GIT_CONFIG_VALUE_0": "false",
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_LFS_SKIP_SMUDGE": "1",
        "LC_ALL": "C",
    }


def git_dir(folder: Path) -> Path:
    """Where the repository lies: `.git`, or the place that a file of that name tells (worktrees, submodules)."""
    try:
        told = read_text(folder / ".git")
    except (OSError, Unreadable):
        told = ""
    return folder / told.removeprefix("gitdir:").strip() if told.startswith("gitdir:") else folder / ".git"


def read_state(folder: Path) -> State:
    """What the checkout looks like; nothing is changed, no network. Raises CommandMissing where there is no git."""
    git = git_in(folder)
    from git import GitCommandError

    locks = tuple(
        path for name in ("index.lock", "shallow.lock", "HEAD.lock") if (path := git_dir(folder) / name).exists()
    )
    try:
        head = str(git.rev_parse("--verify", "HEAD^{commit}"))
        git.cat_file("-e", f"{head}^{{tree}}")
        status = str(git.status("--porcelain", "-z", "--untracked-files=no", "--no-renames"))
    except GitCommandError as error:
        return State(None, locks, trouble=_said(error))
    entries = [entry for entry in status.split("\0") if len(entry) > 3]
    gone = [entry[3:] for entry in entries if "D" in entry[:2]]
    deleted = tuple(name for name in gone if not _behind_link(folder, name))
    modified = tuple(entry[3:] for entry in entries if "D" not in entry[:2])
    return State(head, locks, deleted, modified)


def _behind_link(folder: Path, name: str) -> bool:
    """Whether a folder on the way to a file is a link now, as where a person keeps models on another disk.

    Git counts such a file as deleted, and to write it again it would put a folder in the place of the link.
    """
    return any((folder / parent).is_symlink() for parent in Path(name).parents)


def commit_date(folder: Path, commit: str) -> str:
    """The committer's date of a commit, ISO 8601. Raises GitError."""
    with _explained("The commit's date cannot be read"):
        return str(git_in(folder).log("-1", "--format=%cI", commit))


def blobs_of(folder: Path) -> dict[str, str]:
    """The files of HEAD by path, each with the id of its content (git's blob hash); empty where git cannot tell."""
    git = git_in(folder)
    from git import GitCommandError

    try:
        listing = str(git.ls_tree("-r", "-z", "--full-tree", "HEAD"))
    except GitCommandError:
        return {}
    lines = (entry.partition("\t") for entry in listing.split("\0") if entry)
    return {path: about.split()[2] for about, _, path in lines}


def commits_of_its_own(folder: Path, known: str) -> bool:
    """Whether a checkout holds commits or a stash beside the `known` commit and what was fetched."""
    git = git_in(folder)
    from git import GitCommandError

    try:
        listing = str(git.for_each_ref("--format=%(objectname) %(*objectname) %(refname)"))
        commits = {*str(git.rev_parse("--verify", "HEAD^{commit}")).split()}
    except GitCommandError:
        return False
    refs = [line.split() for line in listing.splitlines()]
    fetched = {word for *ids, name in refs if name.startswith(("refs/tags/", "refs/remotes/")) for word in ids}
    commits |= {ids[0] for *ids, name in refs if not name.startswith(("refs/tags/", "refs/remotes/"))}
    return bool(commits - fetched - {known})


def has_commit_of(folder: Path, ref: str) -> str | None:
    """The commit that a tag, branch or hash names inside the checkout, None when it does not know it."""
    git = git_in(folder)
    from git import GitCommandError

    try:
        return str(git.rev_parse("--verify", "--quiet", f"{ref}^{{commit}}"))
    except GitCommandError:
        return None


def find_revision(url: str, ref: str) -> Revision:
    """What `ref` is on the remote: `latest` is the newest release tag. One look over the network.

    Raises GitError when the remote does not answer or has no such revision.
    """
    if COMMIT.fullmatch(ref):
        return Revision(ref, "commit", ref)
    git = _git_class()()
    with _explained(f"{url} does not answer git"):
        listing = str(git.ls_remote("--", url, env={"GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}))
    refs = {name: commit for commit, _, name in (line.partition("\t") for line in listing.splitlines())}
    if ref == "latest":
        return newest_release(refs)
    for kind, prefix in (("tag", "refs/tags/"), ("branch", "refs/heads/")):
        if prefix + ref in refs:
            return Revision(ref, kind, refs.get(f"{prefix}{ref}^{{}}", refs[prefix + ref]))
    if re.fullmatch(r"[0-9a-f]{7,39}", ref):
        raise GitError(
            f"{ref} may be a short commit; git fetches only whole ones.",
            hint="Give all 40 digits of the commit.",
        )
    raise GitError(f"{url} has no tag or branch {ref!r}.", hint="provision all --comfyui latest")


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file of a revision on a remote: its text, the revision's name for people, the commit's date (ISO 8601)."""

    text: str
    revision: str
    date: str


def read_remote_file(url: str, ref: str, path: str) -> RemoteFile:
    """One file of a revision, without a checkout: that file alone is moved where the host can filter.

    Raises GitError when the remote does not answer, or has no such revision or file.
    """
    import tempfile

    revision = find_revision(url, ref)
    with (
        _explained(f"{path} of {url} at {revision.name} cannot be read"),
        tempfile.TemporaryDirectory(prefix="provision-plan-", ignore_cleanup_errors=True) as folder,
    ):
        git = git_in(Path(folder))
        git.init("--quiet", "--template=", "--initial-branch=provision")
        git.config("remote.origin.url", url)
        spec = f"refs/{'tags' if revision.kind == 'tag' else 'heads'}/{revision.name}"
        wanted = revision.name if revision.kind == "commit" else spec
        git.fetch("--quiet", "--no-tags", "--depth=1", "--filter=blob:none", "--", "origin", wanted)
        text = str(git.show(f"FETCH_HEAD:{path}"))
        return RemoteFile(text, revision.name, commit_date(Path(folder), "FETCH_HEAD"))


def newest_release(refs: dict[str, str]) -> Revision:
    """The newest `vX.Y.Z` of a listing; without any, the default branch. Raises GitError for an empty listing."""
    tags = [name.removeprefix("refs/tags/") for name in refs if name.startswith("refs/tags/") and "^{}" not in name]
    releases = sorted((tuple(int(n or 0) for n in m.groups()), tag) for tag in tags if (m := RELEASE.fullmatch(tag)))
    if releases:
        tag = releases[-1][1]
        return Revision(tag, "tag", refs.get(f"refs/tags/{tag}^{{}}", refs[f"refs/tags/{tag}"]))
    for branch in ("master", "main"):
        if f"refs/heads/{branch}" in refs:
            return Revision(branch, "branch", refs[f"refs/heads/{branch}"])
    raise GitError("The remote has neither a release tag nor a branch master or main.", hint="--comfyui REF")


def fetch(folder: Path, url: str, revision: Revision, on_progress: Callable[[str], None]) -> str:
    """Make the repository if there is none, fetch one commit without history, and return its hash.

    Raises GitError.
    """
    with _explained(f"{revision.name} of {url} could not be fetched"):
        folder.mkdir(parents=True, exist_ok=True)
        git = git_in(folder)
        if not (folder / ".git" / "HEAD").exists():
            git.init("--quiet", "--template=", "--initial-branch=provision")
        git.config("remote.origin.url", url)
        git.config("remote.origin.fetch", "+refs/heads/*:refs/remotes/origin/*")
        for left in (folder / ".git" / "objects" / "pack").glob("tmp_*"):
            left.unlink(missing_ok=True)
        spec = {
            "tag": f"+refs/tags/{revision.name}:refs/tags/{revision.name}",
            "branch": f"+refs/heads/{revision.name}:refs/remotes/origin/{revision.name}",
            "commit": revision.name,
        }[revision.kind]
        _fetch(git, spec, on_progress)
        return str(git.rev_parse("--verify", "FETCH_HEAD^{commit}"))


def _fetch(git: Git, spec: str, on_progress: Callable[[str], None]) -> None:
    """Run `git fetch` and pass its progress lines on."""
    from git.cmd import handle_process_output
    from git.util import finalize_process

    said: list[str] = []

    def line(text: str) -> None:
        said.append(text)
        on_progress(text.strip())

    words = ("--progress", "--no-tags", "--depth=1", "--update-head-ok", "--force", "--", "origin", spec)
    process = git.fetch(*words, as_process=True, universal_newlines=True)
    handle_process_output(process, None, line, lambda _: None, decode_streams=False)
    finalize_process(process, stderr="".join(said[-20:]))


def place(folder: Path, commit: str, revision: Revision, *, ours: bool) -> None:
    """Check a fetched commit out. `ours`: what lies there was written by us and may be overwritten.

    Otherwise a folder without a valid HEAD keeps each of its files, and only what is missing is written. Raises
    GitError.
    """
    with _explained(f"{revision.name} could not be checked out"):
        git = git_in(folder)
        force = ("--force",) if ours else ()
        if ours or read_state(folder).head is not None:
            if revision.kind == "branch":
                git.checkout(*force, "-B", revision.name, commit)
            else:
                git.checkout(*force, "--detach", commit)
            return
        git.update_ref("--no-deref", "HEAD", commit)
        git.reset("--mixed", "--quiet", commit)
        restore(folder)


def restore(folder: Path) -> int:
    """Write again the files of HEAD that are missing; changed files stay. Returns how many. Raises GitError."""
    deleted = read_state(folder).deleted
    with _explained("Missing files could not be restored"):
        git = git_in(folder)
        for start in range(0, len(deleted), 200):
            git.checkout("HEAD", "--", *deleted[start : start + 200])
    return len(deleted)


def stash(folder: Path, message: str) -> None:
    """Put local changes away where `git stash pop` brings them back. Raises GitError."""
    with _explained("Local changes could not be put away"):
        git_in(folder).stash("push", "--message", message)


@contextmanager
def _explained(what: str) -> Iterator[None]:
    """Turn git's failures into one GitError that says `what`."""
    from git import GitError as AnyGitError

    try:
        yield
    except (AnyGitError, OSError, ValueError) as error:
        text = _said(error)
        raise GitError(f"{what}: {text}", hint=_hint(text)) from error


def _said(error: BaseException) -> str:
    text = str(getattr(error, "stderr", "") or error).strip().removeprefix("stderr:").strip(" '\n")
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith(("remote: ", "hint:"))]
    return " ".join(lines[-3:]) or type(error).__name__


def _hint(text: str) -> str:
    if "Could not resolve host" in text or "unable to access" in text or "timed out" in text:
        return "Check the network or the proxy (HTTPS_PROXY), then run the same command again."
    if "No space left" in text:
        return "Free some disk space, then run the same command again."
    if "index.lock" in text or "Permission denied" in text:
        return "provision doctor"
    return "provision all --comfyui latest"
