"""The one door to git: its environment, its configuration, and how long and how much it may answer.

Git does what its configuration says, and configuration names programs. So it reads none that it need not: a command
that asks no network reads none of the person's and none of the system's, and no command reads that of a repository
(`git_stand_in`), nor looks for one around the current folder. GitPython starts the program.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import IO, TYPE_CHECKING, cast

from provision.command import ours
from provision.errors import CommandMissing
from provision.system.child_process import end_group
from provision.system.listening import CHUNK_BYTES, Limits, Stopped, listen

if TYPE_CHECKING:
    from git import Git

    from provision.system.parsers import GitTrouble

NOWHERE = os.devnull
"""As GIT_DIR: there is no repository, and none is looked for in the current folder or above it."""
LOOK_S, ASK_S, FETCH_S = 120.0, 30.0, 3600.0
SILENCE_S = 90.0
"""How long a fetch may say nothing: with `--progress` git tells what comes several times a second."""
CONFIGURED = ("GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM", "GIT_CONFIG_NOSYSTEM")
LOOK = Limits(LOOK_S)
SAID_BYTES = 64_000
MEMORY_BYTES = 2 * 10**9
"""What git may hold in memory: it reads a server's list of revisions whole."""
MEMORY_LOOK_S = 1.0
CONTROL = re.compile(r"[^\S ]|[\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
Alive = Callable[[], None]


class GitFailed(Exception):
    """Git ended with an error, said too much or took too long; the message is what it said last, as plain text.

    `code` is its exit code (None where it was ended), `said` all of its standard error that was kept.
    """

    def __init__(self, message: str, *, code: int | None = None, said: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.said = said


def environment(
    git_dir: Path | str = NOWHERE,
    *,
    protocols: str = "",
    persons: Mapping[str, str] | None = None,
    settings: Mapping[str, str] | Sequence[tuple[str, str]] = (),
) -> dict[str, str]:
    """What git is started with: a repository, or none; the protocols that it may speak, joined by colons, or none.

    With `persons` (an environment) the configuration of that person and of the system is read, for a look at it.
    `settings` come before any configuration; a name may stand in them more than once.
    """
    identity = {
        f"GIT_{role}_{what}": value
        for role in ("AUTHOR", "COMMITTER")
        for what, value in (("NAME", "provision"), ("EMAIL", "provision@localhost"))
    }
    if persons is None:
        whose = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    else:
        whose = {name: persons[name] for name in CONFIGURED if name in persons}
    set_first = [*{
        "core.hooksPath": os.devnull,
        "core.fsmonitor": "false",
        "core.untrackedCache": "false",
        "core.protectHFS": "true",
        "core.protectNTFS": "true",
        "submodule.recurse": "false",
        "fetch.recurseSubmodules": "false",
        "fetch.unpackLimit": "1",  # a small pack is told of while it comes, as a large one is
        "gc.auto": "0",
        "maintenance.auto": "false",
        # The first answer may lead elsewhere, by a protocol that is allowed; what follows may not.
        "http.followRedirects": "initial",
        "http.lowSpeedLimit": "1000",
        "http.lowSpeedTime": "60",
        "credential.helper": "",
        "advice.detachedHead": "false",
    }.items(), *(settings.items() if isinstance(settings, Mapping) else settings)]  # fmt: skip
    return {
        **identity,
        **whose,
        "GIT_ASKPASS": "",
        "GIT_DIR": str(git_dir),
        "GIT_ALLOW_PROTOCOL": protocols,
        "GIT_PROTOCOL_FROM_USER": "0",
        "GIT_NO_LAZY_FETCH": "1",  # git 2.45 and later; an empty list of protocols does the same for all
        "GIT_NO_REPLACE_OBJECTS": "1",
        "GIT_ATTR_NOSYSTEM": "1",
        "GIT_LITERAL_PATHSPECS": "1",
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_LFS_SKIP_SMUDGE": "1",
        "GIT_PAGER": "cat",
        "GIT_EDITOR": "true",
        "LC_ALL": "C",
        "GIT_CONFIG_COUNT": str(len(set_first)),
        **{f"GIT_CONFIG_KEY_{place}": key for place, (key, _) in enumerate(set_first)},
        **{f"GIT_CONFIG_VALUE_{place}": value for place, (_, value) in enumerate(set_first)},
    }


def run_git(
    words: Sequence[str],
    env: Mapping[str, str],
    *,
    cwd: Path = Path("/"),
    limits: Limits = LOOK,
    on_line: Callable[[str], None] | None = None,
    alive: Alive | None = None,
) -> str:
    """Run git to its end; returns its standard output, whose bytes that are no UTF-8 are kept as file names keep them.

    `on_line` receives the lines of standard error as they come; `alive` is called ten times a second and may raise.
    Raises GitFailed, CommandMissing, and what `on_line` and `alive` raise; git and all that it started have ended then.
    """
    program = real_git()
    started = _git_class()(cwd).execute(
        _command(program, words, env), env=dict(env), as_process=True, start_new_session=True, with_stdout=True
    )
    child = cast("subprocess.Popen[bytes]", started.proc)
    out, said, line = bytearray(), bytearray(), bytearray()

    def hear(stream: IO[bytes], chunk: bytes) -> None:
        nonlocal out, said, line
        if stream is child.stdout:
            out += chunk
        else:
            said = (said + chunk)[-SAID_BYTES:]
            line = _hand_on(line + chunk, on_line)

    try:
        code = listen(child, limits, hear, _watch(child.pid, alive))
    except Stopped as error:
        raise GitFailed(f"git {error}") from None
    finally:
        if child.poll() is None:
            end_group(child.pid, child)
    if code != 0:
        message = _last_lines(said) or f"git {words[0]} ended with {code}"
        raise GitFailed(message, code=code, said=os.fsdecode(bytes(said)))
    return os.fsdecode(bytes(out))


def plain(text: str) -> str:
    """Text of others for one line of a message: what would steer a terminal is replaced, what is no text is spelled."""
    spelled = text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return CONTROL.sub("?", spelled)


def real_git() -> Path:
    """The git of this computer, never Apple's stub without its tools. Raises CommandMissing."""
    return _found(os.environ.get("PATH", os.defpath))


@cache
def _found(path: str) -> Path:  # what raises is not kept
    """By PATH, which alone decides it while a command runs."""
    from provision.system.local_machine import LocalMachine
    from provision.system.which_git import find_git

    found = find_git(LocalMachine({**os.environ, "PATH": path}))
    if found.path is None:
        raise CommandMissing(says_of(found.trouble), hint=ours("doctor"))
    return found.path


def says_of(trouble: GitTrouble | None) -> str:
    """Why there is no git that may be run."""
    return {
        None: "git is not on this machine.",
        "clt-missing": "git is not on this machine: Apple's Command Line Tools, which bring it, are missing.",
        "clt-stale": "git is not on this machine: Apple's Command Line Tools, which bring it, are gone.",
        "xcode-license": "git refuses to work until you have agreed to Xcode's license.",
    }[trouble]


@cache
def _git_class() -> type[Git]:
    """GitPython's class, from its module alone: the package runs the `git` on PATH when it is imported."""
    from importlib.util import find_spec, module_from_spec

    if "git" not in sys.modules and (spec := find_spec("git")) is not None:
        sys.modules["git"] = module_from_spec(spec)
    from git.cmd import Git

    return Git


def _command(program: Path, words: Sequence[str], env: Mapping[str, str]) -> list[str]:
    """Git's command line. GitPython hands the caller's whole environment on: what would steer git is taken out here."""
    steering = sorted(name for name in os.environ if name.startswith("GIT_") and name not in env)
    without = ("/usr/bin/env", *(word for name in steering for word in ("-u", name))) if steering else ()
    return [*without, str(program), "--no-pager", *words]


def _watch(pid: int, alive: Alive | None) -> Callable[[], None]:
    """What is asked ten times a second while git runs. Raises GitFailed for one that takes too much memory."""
    looked = time.monotonic()

    def watch() -> None:
        nonlocal looked
        if alive is not None:
            alive()
        if time.monotonic() - looked > MEMORY_LOOK_S:
            looked = time.monotonic()
            if _resident_bytes(pid) > MEMORY_BYTES:
                raise GitFailed(f"git needed more than {MEMORY_BYTES:,} bytes of memory for the answer")

    return watch


def _resident_bytes(pid: int) -> int:
    """What a process and all that it started hold in memory."""
    import psutil

    total = 0
    with suppress(psutil.Error, OSError):
        root = psutil.Process(pid)
        for each in (root, *root.children(recursive=True)):
            with suppress(psutil.Error, OSError):
                total += each.memory_info().rss
    return total


def _hand_on(text: bytearray, on_line: Callable[[str], None] | None) -> bytearray:
    """Pass whole lines on, and return what is left; a line without end is cut."""
    *lines, rest = re.split(rb"[\r\n]+", text)
    if on_line is not None:
        for each in lines:
            if each.strip():
                on_line(plain(os.fsdecode(bytes(each[:1000]))).strip())
    return bytearray(rest[:CHUNK_BYTES])


def _last_lines(said: bytearray) -> str:
    lines = os.fsdecode(bytes(said)).splitlines()
    told = [line[:400] for line in lines if line.strip() and not line.startswith(("remote: ", "hint:", "warning:"))]
    return plain(" ".join(line.strip() for line in told[-3:]))
