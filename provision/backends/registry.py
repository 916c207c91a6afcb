"""The backends by name, which of them to use, and the next when one fails."""

from __future__ import annotations

from pathlib import Path

from provision.backends.backend import Backend, Crawling, RemoteFile
from provision.backends.git_lfs import GIT_LFS
from provision.backends.http import HTTP
from provision.backends.hub import HUB
from provision.backends.part import bytes_of
from provision.backends.wget import WGET
from provision.errors import (
    CommandFailed,
    CommandMissing,
    DownloadError,
    HubRefused,
    NetworkError,
    ProvisionError,
    UsageError,
)
from provision.step import Context

BACKENDS: tuple[Backend, ...] = (HTTP, HUB, WGET, GIT_LFS)
"""Best first: `http` and `hf` need nothing installed, and `http` is the faster (4.2 s for 2 GiB on loopback; `hf` and
`wget` 5.9 s); `git-lfs` reads what it has again before it goes on, and takes 14.7 s."""
UNLIMITED = frozenset({"hf", "git-lfs"})
"""Backends whose libraries and programs know no limit to their rate."""
ALIASES = {"huggingface-cli": "hf"}
PASSING_ON = (DownloadError, NetworkError, HubRefused, CommandFailed, CommandMissing)
"""Failures of a backend that another may not have. A full disk, a wrong file or a Ctrl-C is the same for all."""


def backend_names() -> tuple[str, ...]:
    """What `--backend` accepts."""
    return ("auto", *(backend.name for backend in BACKENDS), *ALIASES)


def choose(ctx: Context) -> list[Backend]:
    """The backends to try, in order: the one that is asked for, or with `auto` all that this machine has.

    Behind `hf` stands `http`: huggingface_hub and hf_xet are large, and what fails in them may not fail in it.
    Raises UsageError for a name that is none.
    """
    asked = ALIASES.get(ctx.options.backend, ctx.options.backend)
    if asked == "auto":
        return [backend for backend in BACKENDS if backend.missing(ctx) is None]
    found = [backend for backend in BACKENDS if backend.name == asked]
    if not found:
        raise UsageError(
            f"There is no backend {asked!r}; there are {', '.join(backend_names())}.",
            hint="provision all --backend auto",
        )
    return [*found, HTTP] if found == [HUB] else found


def bring(ctx: Context, file: RemoteFile, part: Path) -> str:
    """Bring a part to its size with the first backend that can; each goes on from where the one before stopped.

    Returns the sha256 of what came, where the backend took it while it came, else "".
    Raises what the last one raised, and at once what none could mend.
    """
    backends = choose(ctx)
    for place, backend in enumerate(backends, start=1):
        if ctx.options.limit_rate and backend.name in UNLIMITED:
            ctx.note(f"{backend.name} cannot limit its rate: it takes what there is. To limit it: --backend http")
        try:
            return backend.fetch(ctx, file, part)
        except Crawling:
            raise
        except PASSING_ON as error:
            refused = isinstance(error, HubRefused) and ctx.options.backend != "auto"
            if refused or place == len(backends):  # the hub's no is meant for all
                raise
            ctx.note(_passed_on(backend, backends[place], error, bytes_of(part)))
    raise UsageError("No backend can be used on this machine.", hint="provision all --backend http")


def _passed_on(failed: Backend, following: Backend, error: ProvisionError, here: int) -> str:
    return f"{failed.name} failed: {error.message} {following.name} goes on from {here:,} bytes."
