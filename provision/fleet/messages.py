"""What this command and its driver say to each other: one JSON object a line, through pipes.

The driver gets one Job on its standard input and ends when that is closed; on its standard output are messages.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

KEY_UNKNOWN, KEY_CHANGED = KEY_SAYS = ("Its host key is not in known_hosts.", "Its host key has changed.")
LINE_MAX_BYTES = 256_000
"""Of one line that a Mac says; a whole report has 40 kB."""


class Phase(StrEnum):
    """What the driver does with a Mac."""

    CONNECTING = "connecting"
    LOOKING = "looking"
    SENDING = "sending"
    INSTALLING = "installing"
    RUNNING = "running"


class Outcome(StrEnum):
    """How it went with a Mac, in one word for its row."""

    OK = "ok"
    UNCHANGED = "unchanged"
    FAILED = "failed"
    DOWN = "down"
    """It could not be reached."""
    HUNG = "hung"
    """It said nothing for too long."""
    LOST = "lost"
    """The connection, or the command at its other end, ended in the middle."""
    FULL = "full"
    WRONG = "wrong"
    """It cannot do what is asked, or what it says makes no sense."""
    BUSY = "busy"
    """Another command works in its install folder."""
    STOPPED = "stopped"

    @property
    def good(self) -> bool:
        return self in (Outcome.OK, Outcome.UNCHANGED)


@dataclass(frozen=True, slots=True)
class Look:
    """What a Mac is, and what is there: strings as it says them, sizes in bytes; empty and 0 where it does not say."""

    home: str = ""
    """The person's home folder."""
    kind: str = ""
    """`Darwin arm64`, as uname has it."""
    chip: str = ""
    macos: str = ""
    free_bytes: int = 0
    memory_bytes: int = 0
    kit: str = ""
    """The sha256 of the kit that was installed last."""
    tool: bool = False
    """Whether there is a tool to run."""
    installed: bool = False
    """Whether there is an install folder."""
    console: str = ""
    """Who is logged in at its screen; empty where nobody is."""


@dataclass(frozen=True, slots=True)
class Wants:
    """What a Mac must be, before a byte is sent to it."""

    free_bytes: int = 0
    """What an install takes on its disk, where there is none yet."""
    lock: str = ""
    """The file of a lock, on this machine."""


@dataclass(frozen=True, slots=True)
class Target:
    """A Mac to work on: its name in ssh_config, and who to be there (empty: as ssh_config says)."""

    name: str
    user: str = ""
    home: str = "~/provision"
    args: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    address: str = ""
    port: int = 0


@dataclass(frozen=True, slots=True)
class Source:
    """A bundle on a web server, and the digest that it must have: the digest travels over SSH, the bundle does not."""

    url: str = ""
    digest: str = ""

    @property
    def words(self) -> tuple[str, ...]:
        """As `all` takes it."""
        return ("--from", self.url, "--from-sha256", self.digest) if self.url else ()


@dataclass(frozen=True, slots=True)
class Job:
    """What the driver is to do on each Mac: `words` follow the tool's name, and a Mac's own words follow them.

    `kit` is a file to install the tool from, empty where none is sent: a Mac without the tool is then left as it is.
    A Mac that says nothing for `silence_s` is given up. `images` is a folder for each Mac's first image, if wanted.
    """

    targets: tuple[Target, ...]
    words: tuple[str, ...]
    kit: str = ""
    parallel: int = 0
    silence_s: float = 60.0
    wants: Wants = Wants()
    images: str = ""
    source: Source = Source()
    waves: bool = False
    """In groups of 1, 2, 4, 8 ...: the Macs of a group that are done give their model to the next."""


@dataclass(frozen=True, slots=True)
class Message:
    """What happened on a Mac; `text` is a line that it said, or a sentence of ours. Bytes are those that were sent."""

    mac: str
    phase: Phase | None = None
    line: str = ""
    look: Look | None = None
    done_bytes: int = 0
    total_bytes: int = 0
    outcome: Outcome | None = None
    says: str = ""
    code: int | None = None
    """The exit code of the command there."""
