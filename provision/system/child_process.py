"""A child process followed to its end, or ended with all that it started."""

from __future__ import annotations

import codecs
import io
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import IO

from provision.command import ours
from provision.errors import CommandMissing
from provision.system.listening import Limits, Stopped, listen
from provision.system.log_files import open_log
from provision.system.machine import Ran
from provision.system.processes import below, kill
from provision.system.tls import certificates

TERM_GRACE_S = 2.0
PRIVATE_PREFIXES = (
    "PYTHON",
    "CONDA",
    "PYTORCH_",
    "GIT_",
    "HF_",
    "HUGGING_FACE_",
    "TRANSFORMERS_",
    "DYLD_",
    "PIP_",
    "UV_",
)
PRIVATE_NAMES = frozenset({"VIRTUAL_ENV", "LD_PRELOAD"})
KEPT_NAMES = frozenset({
    "GIT_SSL_CAINFO", "GIT_SSH", "GIT_SSH_COMMAND", "PIP_CERT", "PYTHONUTF8",
    "UV_DEFAULT_INDEX", "UV_INDEX", "UV_EXTRA_INDEX_URL", "UV_FIND_LINKS", "UV_INSECURE_HOST", "UV_KEYRING_PROVIDER",
    "UV_CREDENTIALS_DIR", "UV_PYTHON_INSTALL_MIRROR", "UV_PYPY_INSTALL_MIRROR", "UV_PYTHON_DOWNLOADS_JSON_URL",
    "UV_CACHE_DIR", "UV_PYTHON_INSTALL_DIR", "UV_PYTHON_SEARCH_PATH", "UV_LINK_MODE",
    "UV_NATIVE_TLS", "UV_SYSTEM_CERTS",
})  # fmt: skip
KEPT_PREFIX = "UV_INDEX_"
"""uv's address of an index, and the name and password of one that has a name."""
KEPT_NUMBERS = frozenset({
    "UV_HTTP_TIMEOUT", "UV_REQUEST_TIMEOUT", "UV_HTTP_CONNECT_TIMEOUT", "UV_HTTP_RETRIES",
})  # fmt: skip
"""Kept where they are numbers: uv does nothing at all where one of them is none."""
KEEPER = Path(__file__).with_name("log_keeper.py")


def clean_env(environ: Mapping[str, str]) -> dict[str, str]:
    """The caller's environment without what would change how a child behaves.

    Left out: Python's, conda's, git's and uv's steering variables, `HF_HUB_OFFLINE` and its kind, tokens. A child
    that needs one of them is given it by name.
    """
    return {name: value for name, value in environ.items() if _is_kept(name, value)}


def child_env(environ: Mapping[str, str], more: Mapping[str, str]) -> dict[str, str]:
    """What a child is started with: the caller's environment made clean, certificates that are there, and `more`."""
    return {**clean_env(environ), **certificates(environ), **more}


def _is_kept(name: str, value: str) -> bool:
    if name in KEPT_NUMBERS:
        return value.isascii() and value.isdigit()
    kept = name in KEPT_NAMES or name.startswith(KEPT_PREFIX)
    return kept or not (name in PRIVATE_NAMES or name.startswith(PRIVATE_PREFIXES))


def hear_out(
    child: subprocess.Popen[bytes], words: tuple[str, ...], limits: Limits, on_line: Callable[[str], None] | None
) -> Ran:
    """How a child ended, by itself or because it passed a limit, and both streams as text.

    `on_line` receives each line as it comes. Raises what that raises; the child has ended then, too.
    """
    said: dict[object, bytearray] = {child.stdout: bytearray(), child.stderr: bytearray()}
    lines = _Lines(on_line)

    def hear(stream: IO[bytes], chunk: bytes) -> None:
        said[stream] += chunk
        lines.hear(chunk)

    code, stopped = None, ""
    try:
        code = listen(child, limits, hear)
    except Stopped as error:
        stopped = str(error)
    finally:
        if child.poll() is None:
            end_group(child.pid, child)
    lines.end()
    out, err = (_decoder().decode(bytes(said[stream]), True) for stream in (child.stdout, child.stderr))
    return Ran(words, code, out, err, stopped)


class _Lines:
    """Hands on text line by line, a line without end when all is said."""

    def __init__(self, on_line: Callable[[str], None] | None) -> None:
        self._on_line, self._decoder, self._rest = on_line, _decoder(), ""

    def hear(self, chunk: bytes) -> None:
        if self._on_line is not None:
            *lines, self._rest = (self._rest + self._decoder.decode(chunk)).split("\n")
            for line in lines:
                self._on_line(line)

    def end(self) -> None:
        if self._on_line is not None and self._rest:
            self._on_line(self._rest)


def _decoder() -> io.IncrementalNewlineDecoder:
    """UTF-8 with whatever ends its lines; what is none is replaced."""
    return io.IncrementalNewlineDecoder(codecs.getincrementaldecoder("utf-8")("replace"), translate=True)


def spawn(words: Sequence[str], *, cwd: Path, log: Path, env: Mapping[str, str], log_limit: int = 0) -> int:
    """Start a program in a session of its own that outlives us; returns its pid. Raises CommandMissing.

    Its output is appended to `log`, where that can be written to; with `log_limit` a `log_keeper` keeps it within that.
    """
    with ExitStack() as stack:
        output: IO[bytes] | int = subprocess.DEVNULL
        lifeline: tuple[int, int] | None = None
        if (stream := open_log(log)) is not None:
            output = stack.enter_context(stream)
            if log_limit:
                lifeline = os.pipe()
                stack.callback(os.close, lifeline[0])
                stack.callback(os.close, lifeline[1])
        child = _detached(words, cwd, env, output, lifeline[1:] if lifeline else ())
        if lifeline:
            with suppress(CommandMissing):
                keeper = (sys.executable, "-I", "-S", str(KEEPER), str(log), str(log_limit))
                _detached(keeper, Path("/"), env, subprocess.DEVNULL, (), stdin=lifeline[0])
    return child.pid


def _detached(
    words: Sequence[str],
    cwd: Path,
    env: Mapping[str, str],
    output: IO[bytes] | int,
    inherits: Sequence[int],
    stdin: int = subprocess.DEVNULL,
) -> subprocess.Popen[bytes]:
    try:
        child = subprocess.Popen(  # noqa: S603  (argv only, never a shell)
            words, cwd=cwd, env=env, stdin=stdin, stdout=output, stderr=subprocess.STDOUT, start_new_session=True,
            pass_fds=inherits,
        )  # fmt: skip
    except OSError as error:
        raise cannot_run(words[0], error) from error
    # Reaped in the background, so that a child that dies at once is not taken for a living zombie.
    threading.Thread(target=child.wait, daemon=True).start()
    return child


def end_group(pid: int, child: subprocess.Popen[bytes]) -> None:
    """End a child and all that it started: politely, then, also those that its own end left behind, for certain."""
    family = below(pid)
    signal_group(pid, signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        child.wait(TERM_GRACE_S)
    signal_group(pid, signal.SIGKILL)
    kill(family)
    with suppress(subprocess.TimeoutExpired):
        child.wait(TERM_GRACE_S)


def signal_group(pid: int, sign: signal.Signals) -> None:
    """Signal a process group that may be gone."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, sign)


def cannot_run(program: str, error: OSError) -> CommandMissing:
    """What a program that does not start means."""
    return CommandMissing(f"{program} cannot be run here ({error.strerror}).", hint=ours("doctor"))
