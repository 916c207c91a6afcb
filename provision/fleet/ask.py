"""What was typed after `provision fleet`: the hosts file, what to do, and on which Macs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from provision.command import Command, Fix, ours
from provision.core.overrides import nearest
from provision.errors import UsageError

VERBS = {
    "all": ("all", "--json", "--yes"),
    "plan": ("plan", "--json"),
    "doctor": ("doctor", "--json"),
    "status": ("status", "--json"),
    "stop": ("stop", "--run", "--json"),
    "update": ("update", "--json", "--yes"),
    "report": ("status", "--json"),
}
"""What is run on each Mac."""
ANSWERED_HERE = ("urls", "keys")
SENDING = ("all", "plan", "update")
"""What installs the tool where it is missing, or is another one."""
CHANGING = ("all", "update", "stop")
RECORDED = ("all", "update")
"""What the record remembers."""
WITH_ARGS = ("all", "plan")
"""What the words of the hosts file go with, and a bundle."""


@dataclass(frozen=True, slots=True)
class Ask:
    """What was typed: the hosts file, what to do, more words for it, and which Macs."""

    hosts: Path
    inventory: bool
    verb: str
    rest: tuple[str, ...]
    only: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    retry: bool = False
    tunnel: bool = False
    source: str = ""
    """A bundle: a folder here, or an address with its digest."""
    digest: str = ""
    waves: bool = False
    locked: Path | None = None
    """A lock on this machine, which is sent along."""

    def again(self, *words: str) -> Command:
        """The command for the same Macs, with other words."""
        where = ("--inventory", str(self.hosts)) if self.inventory else (str(self.hosts),)
        return ours("fleet", *where, *words)

    def retried(self) -> Command:
        """The same command for the Macs that are not done."""
        given = ("--from", self.source) if self.source else ()
        digest = ("--from-sha256", self.digest) if self.digest else ()
        lock = ("--locked", str(self.locked)) if self.locked is not None else ()
        waves, rest = ("--waves",) if self.waves else (), ("--", *self.rest) if self.rest else ()
        only = [word for name in self.only for word in ("--only", name)]
        tags = [word for name in self.tags for word in ("--tag", name)]
        return self.again(self.verb, *given, *digest, *lock, *waves, *only, *tags, "--retry", *rest)


def parse_words(typed: Sequence[str], inventory: Path | None) -> tuple[Path, str, tuple[str, ...]]:
    """The hosts file, what to do, and what follows that. Raises UsageError."""
    words = list(typed)
    if inventory is None and not words:
        raise UsageError("Which Macs? Name a file that lists them.", hint=ours("fleet", "macs.toml", "all"))
    hosts = inventory or Path(words.pop(0))
    verb = words.pop(0) if words else "all"
    known = (*VERBS, *ANSWERED_HERE)
    if verb not in known:
        raise UsageError(
            f"`fleet` has no {verb[:80]!r}.", hint=Fix(f"Nearest: {nearest(verb, known) or ', '.join(known)}")
        )
    return hosts.expanduser().absolute(), verb, tuple(words)
