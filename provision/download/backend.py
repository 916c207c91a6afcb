"""What a backend is: it downloads one file's bytes into a part, and resumes one.

Size, hash, header and the final name are not its business: see `obtain`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from provision.command import Fix, program
from provision.core.finding import Kind
from provision.core.step import Context
from provision.errors import CommandFailed, CommandMissing, DownloadError, HubRefused, NetworkError
from provision.system.machine import Machine
from provision.system.parsers import Version
from provision.system.which_git import find_git

PASSING_ON = (DownloadError, NetworkError, HubRefused, CommandFailed, CommandMissing)
"""Failures of a backend that another may not have. A full disk, a wrong file or a Ctrl-C is the same for all."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where bytes can be asked for. `headers` hold the token only where the hub itself is asked."""

    url: str
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class HubFile:
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


class TooSlow(DownloadError):
    """The bytes come too slowly from this hub, whichever backend asks; another hub may be faster."""


@dataclass(frozen=True, slots=True)
class Program:
    """A program that a backend runs.

    `missing` and `ready` are the kinds of its findings, `name` is also that of its formula and package. `ask` are the
    words that it answers with its version, which `parse` reads; what answers otherwise `is_not` the program meant.
    """

    missing: Kind
    ready: Kind
    name: str
    ask: tuple[str, ...]
    parse: Callable[[str], Version]
    is_not: str


@dataclass(frozen=True, slots=True)
class Backend:
    """A way to move bytes: a module of `backends/` each, and a word in its registry.

    `fetch(ctx, file, part)` brings `part` to `file.size` bytes and returns their sha256 where it hashed them as they
    came. It raises DownloadError, NetworkError, HubRefused, WrongFile, CommandFailed, CommandMissing, DiskFull,
    HomeError or Interrupted; whatever it raises, what came is kept in `part`.

    `script(ctx, file, part)` are the lines of sh that do it by hand; `part` is quoted, `$home` and `$python` are set.
    `needs` are programs beside git, `writers` the names of those that write to the part: they outlive a kill. `then` is
    the backend that goes on where this one alone was asked for and fails. `quick`: it can go on from what is there,
    and be left, at once. `limited`: it keeps to a limit of its rate.
    """

    name: str
    fetch: Callable[[Context, HubFile, Path], str | None]
    script: Callable[[Context, HubFile, str], Iterator[str]]
    aliases: tuple[str, ...] = ()
    needs: tuple[Program, ...] = ()
    writers: tuple[str, ...] = ()
    then: str | None = None
    quick: bool = True
    limited: bool = True

    def usable(self, machine: Machine) -> bool:
        """Whether the programs that it needs are on this machine."""
        return all(machine.which(name) for program in self.needs for name in (program.ask[0], program.name))


def find_program(machine: Machine, name: str) -> Path:
    """Where a program that a backend needs lies. Raises CommandMissing."""
    found = find_git(machine).path if name == "git" else machine.which(name)
    if found is None:
        raise CommandMissing(
            f"{name} is not on this machine.",
            hint=Fix(f"Install {name}, or choose another backend: --backend http.", program("brew", "install", name)),
        )
    return found
