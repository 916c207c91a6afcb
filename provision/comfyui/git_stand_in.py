"""A git directory of our own that stands in for a repository's: its objects and names, and none of its configuration.

A repository's `config`, `hooks`, `info` and `modules` name programs (filters, helpers, remotes that fetch what is
missing), which git starts even for a look. Git is therefore never given that directory, but one made for a moment:
links to `objects`, `refs` and their like, a copy of HEAD, and a configuration that takes from the repository's only how
its files are to be read. What an attribute, an alternate or a submodule names then has no program to be.
"""

from __future__ import annotations

import os
import re
import stat
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from provision.system.git_program import GitFailed, environment, run_git
from provision.system.strict import Unreadable, read_file

HARMLESS = frozenset(
    {
        "core.filemode",
        "core.symlinks",
        "core.ignorecase",
        "core.precomposeunicode",
        "core.autocrlf",
        "core.eol",
        "core.trustctime",
        "core.checkstat",
        "extensions.objectformat",
        "extensions.refstorage",
    }
)
"""The settings of a repository that say how its files are read, and can start nothing."""
VALUE = re.compile(r"[A-Za-z0-9]{0,20}")
LINKED = ("objects", "refs", "packed-refs", "shallow", "reftable")
SMALL_BYTES, CONFIG_BYTES = 4096, 1 << 20


@dataclass(frozen=True, slots=True)
class StandIn:
    """A repository as git is shown it: the environment for that, the folder of its files, the real git directory."""

    env: Mapping[str, str]
    folder: Path
    git_dir: Path

    def git(self, *words: str) -> str:
        """Run git on it. Raises GitFailed, CommandMissing."""
        return run_git(words, self.env, cwd=self.folder)

    def keep_head(self) -> None:
        """Make HEAD the repository's own, as git itself writes it: by a lock and a rename. Raises OSError."""
        lock = self.git_dir / "HEAD.lock"
        with lock.open("xb") as stream:
            stream.write((Path(self.env["GIT_DIR"]) / "HEAD").read_bytes())
        lock.replace(self.git_dir / "HEAD")


@contextmanager
def stand_in(folder: Path, settings: Mapping[str, str] | None = None, *, logs: bool = False) -> Iterator[StandIn]:
    """The repository of a folder's files, as git may see it; with `logs` what git writes of each change too.

    Raises GitFailed for what is no repository, CommandMissing, OSError.
    """
    real = git_dir(folder)
    common = _common_dir(real)
    with tempfile.TemporaryDirectory(prefix="provision-git-", dir=_scratch(), ignore_cleanup_errors=True) as made:
        place = Path(made)
        head = _small(real / "HEAD")
        (place / "HEAD").write_bytes(head)
        branch = os.fsdecode(head.removeprefix(b"ref:").strip())
        for path in (real / "index", common / "packed-refs", common / "shallow", common / branch):
            _check_regular(path)
        for name in LINKED:
            if name in ("objects", "refs", "shallow") or (common / name).exists():
                (place / name).symlink_to(common / name)
        if logs:
            (place / "logs").symlink_to(_logs(common))
        for part in real.glob("sharedindex.*"):  # of an index that is kept in two files
            (place / part.name).symlink_to(part)
        (place / "config").write_text(_config(common / "config", place, logs=logs), encoding="ascii")
        env = environment(place, settings=settings or {})
        env |= {"GIT_WORK_TREE": str(folder), "GIT_INDEX_FILE": str(real / "index")}
        yield StandIn(env, folder, real)


def _scratch() -> Path:
    """Where a stand-in is made. Not found by `tempfile`, which takes the current folder where the disk is full."""
    asked = Path(os.environ.get("TMPDIR") or "/tmp")  # noqa: S108  (a folder with a random name is made in it)
    return asked if asked.is_dir() else Path("/tmp")  # noqa: S108


def git_dir(folder: Path) -> Path:
    """Where the repository lies: `.git`, or the place that a file of that name tells (worktrees, submodules)."""
    place = folder / ".git"
    told = ""
    if not place.is_dir():
        with suppress(OSError, ValueError):
            told = read_file(place, max_bytes=SMALL_BYTES).decode("utf-8")
    found = re.fullmatch(r"gitdir:\s*([^\0\n]+?)\s*", told)
    return folder.absolute() / found[1] if found else place


def _common_dir(real: Path) -> Path:
    """Where a worktree's repository keeps what all of its worktrees share."""
    try:
        told = read_file(real / "commondir", max_bytes=SMALL_BYTES).decode("utf-8").strip()
    except (OSError, ValueError):
        return real
    return real / told if told and "\0" not in told else real


def _small(path: Path) -> bytes:
    try:
        return read_file(path, max_bytes=SMALL_BYTES)
    except ValueError as error:
        raise GitFailed(f"{path.name}: {error}") from error
    except (FileNotFoundError, NotADirectoryError) as error:
        raise GitFailed(f"not a git repository: {path.name} is missing") from error


def _check_regular(path: Path) -> None:
    """Refuse what git would wait for without end. Raises GitFailed."""
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):
        return
    if not stat.S_ISREG(mode):
        raise GitFailed(f"{path.name} is not a regular file")


def _logs(common: Path) -> Path:
    """The folder of git's records of each change; git would write through a link in it. Raises GitFailed, OSError."""
    logs = common / "logs"
    logs.mkdir(exist_ok=True)
    if any(path.is_symlink() for path in (logs, *logs.rglob("*"))):
        raise GitFailed(f"{logs} has a link in it")
    return logs


def _config(path: Path, place: Path, *, logs: bool) -> str:
    """The configuration for the stand-in. Git reads the repository's as a mere file, in which nothing is included."""
    try:
        theirs = read_file(path, max_bytes=CONFIG_BYTES)
    except FileNotFoundError:
        theirs = b""
    except Unreadable as error:
        raise GitFailed(f"config: {error}") from error
    copy = place / "theirs"
    copy.write_bytes(theirs)
    listed = run_git(("config", "--file", str(copy), "--no-includes", "--null", "--list"), environment())
    copy.unlink()
    pairs = [entry.partition("\n") for entry in listed.split("\0") if entry]
    kept = [(key, value) for key, _, value in pairs if key in HARMLESS and VALUE.fullmatch(value)]
    lines = ["[core]", "repositoryformatversion = 1", f"logAllRefUpdates = {str(logs).lower()}"]
    for key, value in kept:
        section, _, name = key.partition(".")
        lines.append(f"[{section}]\n{name}{f' = {value}' if value else ''}")
    return "\n".join(lines) + "\n"
