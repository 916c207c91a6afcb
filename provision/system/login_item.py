"""What starts a program when a person logs in, whoever keeps it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

PREFIX = "comfy-provision."
OF = "PROVISION_LOGIN_OF"
"""The variable in which an item has the id of the home that it starts."""


@dataclass(frozen=True, slots=True)
class LoginItem:
    """A program with its words, for a home by path and id, the log that it writes, and the PATH that it finds."""

    program: tuple[str, ...]
    words: tuple[str, ...]
    home: str
    id: str
    log: str
    path: str = ""

    @property
    def name(self) -> str:
        """Its name, which no other folder's has."""
        return f"{PREFIX}{hashlib.sha256(self.home.encode()).hexdigest()[:8]}"

    @property
    def argv(self) -> tuple[str, ...]:
        return (*self.program, *self.words)

    @property
    def is_runnable(self) -> bool:
        """Whether its program is there."""
        return Path(self.program[0]).is_file() if self.program else False


def from_argv(argv: list[str], id: str, log: str, path: str) -> LoginItem | None:
    """An item by its command line, whose last two words are `--home HOME`; None for another program's."""
    if "launch" not in argv or argv[-2:-1] != ["--home"]:
        return None
    at = argv.index("launch")
    return LoginItem(tuple(argv[:at]), tuple(argv[at:]), argv[-1], id, log, path)
