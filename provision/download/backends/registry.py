"""The backends by name: the only list of them, and light, for `--help` and completion show it."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from provision.command import Fix
from provision.errors import UsageError

if TYPE_CHECKING:
    from provision.download.backend import Backend

NAMES = ("http", "hf", "wget", "git-lfs")
"""Best first: `http` and `hf` need nothing installed, and `http` is the faster (4.2 s for 2 GiB on loopback; `hf` and
`wget` 5.9 s); `git-lfs` reads what it has again before it goes on, and takes 14.7 s. Each is the `BACKEND` of the
module of its name."""
AUTO = "auto"
CHOICES = (AUTO, *NAMES)
"""What `--backend` takes, beside aliases."""


def backend(name: str) -> Backend:
    """The backend of a name in `NAMES`."""
    module = import_module(f"provision.download.backends.{name.replace('-', '_')}")
    found: Backend = module.BACKEND
    return found


def backends() -> tuple[Backend, ...]:
    """All of them, best first."""
    return tuple(map(backend, NAMES))


def backend_name(asked: str) -> str:
    """The name in `CHOICES` that is meant by one or by an alias. Raises UsageError."""
    if asked in CHOICES:
        return asked
    for each in backends():
        if asked in each.aliases:
            return each.name
    raise UsageError(f"Unknown backend {asked!r}.", hint=Fix(f"Choose from: {', '.join(CHOICES)}."))


def needed(asked: str) -> tuple[Backend, ...]:
    """The backends that a name in `CHOICES` cannot do without: none for `auto`, which takes what there is."""
    return () if asked == AUTO else (backend(asked),)
