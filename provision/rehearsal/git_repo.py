"""Bare git repositories made of files: the same files give the same commits, whatever git is configured to do."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from provision.system.git_program import environment

GIT_S = 300
AUTHOR = "The rehearsal <rehearsal@localhost>"


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


def run_git(*args: str, cwd: Path, stdin: bytes = b"") -> bytes:
    """Run git in a clean environment, and return its standard output.

    Raises FileNotFoundError where there is no git, CalledProcessError where it fails, TimeoutExpired.
    """
    env = git_environment() | {"GIT_CEILING_DIRECTORIES": str(cwd.absolute().parent)}
    words = ["git", *args]
    return subprocess.run(words, cwd=cwd, input=stdin, env=env, capture_output=True, check=True, timeout=GIT_S).stdout


def make_bare(bare: Path, branch: str, commits: Iterable[Commit]) -> str:
    """Make or replace a bare repository; returns the id of its last commit.

    Any commit may be fetched by its id, as from GitHub. Raises OSError and what `run_git` raises.
    """
    shutil.rmtree(bare, ignore_errors=True)
    bare.mkdir(parents=True)
    run_git("init", "--bare", "--quiet", "--template=", "--object-format=sha1", f"--initial-branch={branch}", cwd=bare)
    run_git("config", "uploadpack.allowAnySHA1InWant", "true", cwd=bare)
    history = b"".join(_import_stream(branch, mark, commit) for mark, commit in enumerate(commits, start=1))
    run_git("fast-import", "--quiet", cwd=bare, stdin=history)
    run_git("update-server-info", cwd=bare)
    return run_git("rev-parse", f"refs/heads/{branch}", cwd=bare).decode().strip()


def _import_stream(branch: str, mark: int, commit: Commit) -> bytes:
    """A commit, and the tag on it, as git fast-import reads them."""
    signature, message = f"{AUTHOR} {commit.when} +0000", commit.message.encode()
    head = f"commit refs/heads/{branch}\nmark :{mark}\nauthor {signature}\ncommitter {signature}\n".encode()
    parts = [head, b"data %d\n%b\n" % (len(message), message)]
    for path, content in sorted(commit.files.items()):
        parts.append(b"M 100644 inline %b\ndata %d\n%b\n" % (path.encode(), len(content), content))
    if commit.tag:
        parts.append(f"reset refs/tags/{commit.tag}\nfrom :{mark}\n\n".encode())
    return b"".join(parts)
