"""What a git server has: the revisions that it names, the newest release, one file of one of them.

Servers are asked from nowhere: no repository of the current folder is read. How a server is reached the person's own
configuration may say (see `git_ways`), and git speaks only the protocol that comes of it: an address that begins with
https is never answered by http, wherever it leads.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from provision.comfyui.git_ways import Misled, by_each_way
from provision.command import Command, Fix, ours
from provision.core.events import Progress, Work
from provision.errors import GitError
from provision.system.disk_use import bytes_here
from provision.system.git_program import (
    ASK_S,
    FETCH_S,
    SILENCE_S,
    Alive,
    GitFailed,
    environment,
    plain,
    run_git,
)
from provision.system.listening import Limits
from provision.system.parsers import SIZE, parse_size
from provision.system.passing import passing_in
from provision.system.tls import SAID_OF_TIME, certificate_fix, clock_fix

RELEASE = re.compile(r"v?(\d{1,6})\.(\d{1,6})(?:\.(\d{1,6}))?", re.ASCII)
COMMIT = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
REF_LINE = re.compile(r"([0-9a-f]{40}(?:[0-9a-f]{24})?)\t(refs/[\x21-\x7e]{1,300})")
"""A line of a server's list that is taken; what has other characters in its name is none of ComfyUI's."""
HEAD_LINE = re.compile(r"ref: refs/heads/([\x21-\x7e]{1,300})\tHEAD|([0-9a-f]{40}(?:[0-9a-f]{24})?)\tHEAD")
"""The lines of a server's answer for HEAD: the branch that it is, and its commit."""
RECEIVING = re.compile(rf"Receiving objects: +\d+% \((\d+)/(\d+)\)(?:, ({SIZE}))?")
"""A line of a fetch: `Receiving objects:  45% (450/1000), 4.50 MiB | 2.10 MiB/s`."""
LISTING_BYTES = 32_000_000
"""Some 400,000 revisions; ComfyUI's repository has 1,000 tags and branches."""
FILE_BYTES = 2_000_000
PACK_BYTES = 4 * 10**9
"""More than any revision of ComfyUI by far: a server that sends more is stopped."""
LATEST = ours("all", "--comfyui", "latest")
REF = ours("all", "--comfyui", "REF")


@dataclass(frozen=True, slots=True)
class Revision:
    """A revision on the remote: `name` for people, `fetch` what git is asked for, `commit` when known before."""

    name: str
    kind: str
    """`tag`, `branch` or `commit`."""
    commit: str | None

    @property
    def source(self) -> str:
        """What the server is asked for."""
        return {"tag": f"refs/tags/{self.name}", "branch": f"refs/heads/{self.name}"}.get(self.kind, self.name)


@dataclass(frozen=True, slots=True)
class Follow:
    """Who hears git's lines while it fetches, and what is called ten times a second; both may raise."""

    on_line: Callable[[str], None] | None = None
    alive: Alive | None = None


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file of a revision on a remote: its text, the revision's name for people, the commit's date (ISO 8601).

    `blobs` are the ids of all files of the revision by path.
    """

    text: str
    revision: str
    date: str
    blobs: Mapping[str, str] = field(default_factory=dict)


def find_revision(
    url: str, ref: str, alive: Alive | None = None, *, environ: Mapping[str, str] = os.environ
) -> Revision:
    """What `ref` is on the remote: `latest` is the newest release tag. One look over the network.

    `environ` is that of the person. Raises GitError when the remote does not answer or has no such revision.
    """
    if COMMIT.fullmatch(ref):
        return Revision(ref, "commit", ref)
    with explained(f"{url} does not answer git"):
        words, limits = ("ls-remote", "--quiet", "--heads", "--tags", "--", url), Limits(ASK_S, LISTING_BYTES)
        listing = by_each_way(url, environ, lambda env: run_git(words, env, limits=limits, alive=alive), None)
    found = (REF_LINE.fullmatch(line) for line in listing.split("\n"))
    return choose_revision({line[2]: line[1] for line in found if line is not None}, url, ref)


def default_branch(url: str, alive: Alive | None = None, *, environ: Mapping[str, str] = os.environ) -> Revision:
    """The tip of the remote's default branch. One look over the network. Raises GitError."""
    with explained(f"{url} does not answer git"):
        words, limits = ("ls-remote", "--quiet", "--symref", "--", url, "HEAD"), Limits(ASK_S, LISTING_BYTES)
        listing = by_each_way(url, environ, lambda env: run_git(words, env, limits=limits, alive=alive), None)
    found = [match for line in listing.split("\n") if (match := HEAD_LINE.fullmatch(line)) is not None]
    branch = next((match[1] for match in found if match[1]), None)
    commit = next((match[2] for match in found if match[2]), None)
    if commit is None:
        raise GitError(f"{url} has no default branch.", hint=REF)
    return Revision(branch, "branch", commit) if branch else Revision(commit, "commit", commit)


def choose_revision(refs: Mapping[str, str], url: str, ref: str) -> Revision:
    """What `ref` is in a server's list of revisions, their commits by name. Raises GitError where it is none."""
    if ref == "latest":
        return newest_release(refs)
    for kind, prefix in (("tag", "refs/tags/"), ("branch", "refs/heads/")):
        if prefix + ref in refs:
            return Revision(ref, kind, refs.get(f"{prefix}{ref}^{{}}", refs[prefix + ref]))
    if re.fullmatch(r"[0-9a-f]{7,39}", ref):
        raise GitError(
            f"{ref} may be a short commit; git needs the full one.",
            hint=Fix("Use all 40 digits of the commit."),
        )
    raise GitError(f"{url} has no tag or branch {ref!r}.", hint=LATEST)


def newest_release(refs: Mapping[str, str]) -> Revision:
    """The newest `vX.Y.Z` of a listing; without any, the default branch. Raises GitError for an empty listing."""
    tags = [name.removeprefix("refs/tags/") for name in refs if name.startswith("refs/tags/") and "^{}" not in name]
    releases = sorted((tuple(int(n or 0) for n in m.groups()), tag) for tag in tags if (m := RELEASE.fullmatch(tag)))
    if releases:
        tag = releases[-1][1]
        return Revision(tag, "tag", refs.get(f"refs/tags/{tag}^{{}}", refs[f"refs/tags/{tag}"]))
    for branch in ("master", "main"):
        if f"refs/heads/{branch}" in refs:
            return Revision(branch, "branch", refs[f"refs/heads/{branch}"])
    raise GitError("The repository has no release tag and no branch master or main.", hint=REF)


def read_remote_file(url: str, ref: str, path: str, environ: Mapping[str, str] = os.environ) -> RemoteFile:
    """One file of a revision, without a checkout: that file alone is moved where the host can filter.

    Raises GitError when the remote does not answer, or has no such revision or file.
    """
    import tempfile

    revision = find_revision(url, ref, environ=environ)
    with (
        explained(f"{path} of {url} at {revision.name} cannot be read"),
        tempfile.TemporaryDirectory(prefix="provision-plan-", ignore_cleanup_errors=True) as folder,
    ):
        place = Path(folder)
        new_repository(place, url)
        fetch_into(place, url, revision, partial=True, environ=environ)

        def show(env: dict[str, str]) -> str:
            lazily = env | {"GIT_NO_LAZY_FETCH": "0"}  # the file itself is asked for when shown
            return run_git(("show", f"FETCH_HEAD:{path}"), lazily, limits=Limits(FETCH_S, FILE_BYTES))

        text = by_each_way(url, environ, show, place)
        date = run_git(("log", "-1", "--format=%cI", "FETCH_HEAD"), environment(place)).strip()
        listing = run_git(("ls-tree", "-r", "-z", "--full-tree", "FETCH_HEAD"), environment(place))
        return RemoteFile(text, revision.name, date, parse_tree(listing))


def parse_tree(listing: str) -> dict[str, str]:
    """The ids of the files in what `git ls-tree -r -z` prints, by path."""
    lines = (entry.partition("\t") for entry in listing.split("\0") if entry)
    return {path: about.split()[2] for about, _, path in lines}


def new_repository(place: Path, url: str) -> None:
    """An empty repository at `place`, with nothing in it but where it is from. Raises GitFailed, CommandMissing."""
    run_git(("init", "--quiet", "--bare", "--template=", "--initial-branch=provision"), environment(place))
    for key, value in (
        ("core.bare", "false"),
        ("remote.origin.url", url),
        ("remote.origin.fetch", "+refs/heads/*:refs/remotes/origin/*"),
    ):
        run_git(("config", key, value), environment(place))


def fetch_into(
    place: Path,
    url: str,
    revision: Revision,
    *,
    partial: bool = False,
    follow: Follow = Follow(),
    environ: Mapping[str, str] = os.environ,
) -> str:
    """Fetch one commit without history into the git directory `place`, and return its hash; no name is given to it.

    Raises GitFailed, CommandMissing, and what `follow` raises.
    """
    options = ("--filter=blob:none",) if partial else ()
    source = "origin" if partial else url
    words = ("fetch", "--progress", "--no-tags", "--depth=1", *options, "--", source, revision.source)

    def go_on() -> None:
        if follow.alive is not None:
            follow.alive()
        if sum(bytes_here(path) for path in (place / "objects" / "pack").glob("tmp_*")) > PACK_BYTES:
            raise GitFailed(f"the server sends more than {PACK_BYTES:,} bytes")

    limits = Limits(FETCH_S, silence_s=SILENCE_S, wordy=True)

    def run(env: dict[str, str]) -> str:
        return run_git(words, env, limits=limits, on_line=follow.on_line, alive=go_on)

    by_each_way(url, environ, run, place)
    commit = run_git(("rev-parse", "--verify", "FETCH_HEAD^{commit}"), environment(place)).strip()
    if revision.commit not in (None, commit):
        raise GitFailed(f"the server sent another commit ({commit[:12]}) than announced")
    return commit


def parse_receiving(line: str, subject: str) -> Progress | None:
    """How far a fetch is, by a line of git: bytes, or objects while it tells no bytes; None where it is about no pack.

    The whole is known for objects alone; the bytes of the pack are when it is here.
    """
    if not (found := RECEIVING.match(line)):
        return None
    if found[3] is None:
        return Progress(kind=Work.CLONE, subject=subject, done=int(found[1]), total=int(found[2]), unit="objects")
    done = parse_size(found[3])
    return Progress(kind=Work.CLONE, subject=subject, done=done, total=done if line.endswith(", done.") else None)


# -- what failed ---------------------------------------------------------------------------------------------------


@contextmanager
def explained(what: str) -> Iterator[None]:
    """Turn git's failures into one GitError that says `what`, and whether it may pass."""
    try:
        yield
    except (GitFailed, OSError) as error:
        text = plain(str(error))
        if isinstance(error, Misled):
            raise GitError(f"{what}: {text}", hint=error.fix) from error
        raise GitError(f"{what}: {text}", hint=_hint(text), passing=passing_in(text)) from error


def _hint(text: str) -> Fix | Command:
    if re.search(SAID_OF_TIME, text):
        return clock_fix()
    if "certificate" in text:
        return certificate_fix()
    if "Could not resolve host" in text or "unable to access" in text or "timed out" in text:
        return Fix("Check the network or the proxy (HTTPS_PROXY), then run the same command again.")
    if "No space left" in text:
        return Fix("Free some disk space, then run the same command again.")
    if ".lock" in text or "Permission denied" in text:
        return ours("doctor")
    return LATEST
