"""What a backend is: it brings one file's bytes into a part, going on from what is there.

Proof (size, hash, header) and the final name are not its business: see `delivery`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from provision.core.finding import Finding
from provision.core.step import Context
from provision.errors import CommandFailed, CommandMissing, DownloadError, HubRefused, NetworkError

PASSING_ON = (DownloadError, NetworkError, HubRefused, CommandFailed, CommandMissing)
"""Failures of a backend that another may not have. A full disk, a wrong file or a Ctrl-C is the same for all."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where bytes can be asked for. `headers` hold the token only where the hub itself is asked."""

    url: str
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """One file at one commit of a repository on a hub, as the hub described it.

    `sha256` is empty where the hub tells none. `anonymous`: the hub refuses the token that is configured, and
    gives the file without one. `address`: where its bytes were when the hub was asked, at `asked_at` of the clock.
    """

    endpoint: str
    repo: str
    revision: str
    path: str
    size: int
    sha256: str
    anonymous: bool = False
    address: Address | None = field(default=None, compare=False, repr=False)
    asked_at: float = field(default=0.0, compare=False, repr=False)

    @property
    def url(self) -> str:
        """Its address on the hub."""
        return f"{self.endpoint}/{self.repo}/resolve/{quote(self.revision, safe='')}/{quote(self.path)}"

    @property
    def name(self) -> str:
        """Its last name, as progress and messages say it."""
        return self.path.rsplit("/", 1)[-1]


class Crawling(DownloadError):
    """The bytes come too slowly from this hub, whichever backend asks; another hub may be faster."""


@dataclass(frozen=True, slots=True)
class Backend:
    """A way to move bytes.

    `missing(ctx)` is what this machine lacks for it, None when it can be used. `fetch(ctx, file, part)` brings
    `part` to `file.size` bytes and returns their sha256 where it hashed them as they came, else "". It raises
    DownloadError, NetworkError, HubRefused, WrongFile, CommandFailed, CommandMissing, DiskFull, HomeError or
    Interrupted; whatever it raises, what came is kept in `part`. `quick`: it can go on from what is there, and be left,
    at once. `limited`: it keeps to a limit of its rate.
    """

    name: str
    missing: Callable[[Context], Finding | None]
    fetch: Callable[[Context, RemoteFile, Path], str]
    quick: bool = True
    limited: bool = True


def nothing_missing(ctx: Context) -> Finding | None:
    """For backends that come with the tool."""
    return None
