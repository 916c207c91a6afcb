"""The backends by name, and which of them to use."""

from __future__ import annotations

from pathlib import Path

from provision.command import ours
from provision.core.step import Context
from provision.download.backend import Backend, RemoteFile
from provision.download.backends.auto import bring_in_turn
from provision.download.backends.git_lfs import GIT_LFS
from provision.download.backends.hf import HUB
from provision.download.backends.wget import WGET
from provision.download.http.backend import HTTP
from provision.errors import UsageError

BACKENDS: tuple[Backend, ...] = (HTTP, HUB, WGET, GIT_LFS)
"""Best first: `http` and `hf` need nothing installed, and `http` is the faster (4.2 s for 2 GiB on loopback; `hf` and
`wget` 5.9 s); `git-lfs` reads what it has again before it goes on, and takes 14.7 s."""
ALIASES = {"huggingface-cli": "hf"}


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
            hint=ours("all", "--backend", "auto"),
        )
    return [*found, HTTP] if found == [HUB] else found


def bring(ctx: Context, file: RemoteFile, part: Path) -> str:
    """Bring a part to its size; what one backend has begun another goes on with.

    Returns the sha256 of what came, where the backend took it while it came, else "".
    Raises UsageError where no backend can be used, and as `bring_in_turn`.
    """
    backends = choose(ctx)
    if not backends:
        raise UsageError("No backend can be used on this machine.", hint=ours("all", "--backend", "http"))
    return bring_in_turn(ctx, file, part, backends, measured=ctx.options.backend == "auto")
