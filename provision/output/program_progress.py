"""What uv and git say of the bytes that they bring, read from their lines. Pure.

uv tells of a wheel over a megabyte when it begins and when it is there (`Downloading torch (83.4MiB)`, ` Downloaded
torch`); git tells of its one pack again and again (`Receiving objects:  45% (450/1000), 4.50 MiB | 2.10 MiB/s`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

BEGUN = re.compile(r"^\s*Downloading (\S+) \((?P<size>[\d.]+) ?(?P<unit>[KMG]?i?B)\)")
HERE = re.compile(r"^\s*Downloaded (\S+)")
WHOLE = re.compile(r"^\s*Prepared \d+ packages? |Receiving objects: 100%.*, done\.$")
RECEIVING = re.compile(r"Receiving objects:.*?,\s*(?P<size>[\d.]+) (?P<unit>[KMG]?i?B|bytes)")
FACTORS = {"B": 1, "bytes": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30,
           "KB": 10**3, "MB": 10**6, "GB": 10**9}  # fmt: skip


@dataclass(slots=True)
class ProgramBytes:
    """The bytes of one step's programs, as far as they tell."""

    wheels: dict[str, int] = field(default_factory=dict)
    here: set[str] = field(default_factory=set)
    pack_bytes: int = 0
    whole: bool = False
    """Whether they say that all is here."""

    def hear(self, line: str) -> bool:
        """Take in a line; whether it told of bytes."""
        self.whole = WHOLE.search(line) is not None or (self.whole and not BEGUN.match(line))
        if found := BEGUN.match(line):
            self.wheels[found[1]] = _bytes(found)
            self.here.discard(found[1])
        elif found := HERE.match(line):
            self.here.add(found[1])
        elif found := RECEIVING.search(line):
            self.pack_bytes = _bytes(found)
        else:
            return False
        return True

    @property
    def done_bytes(self) -> int:
        """What is here: whole wheels, and git's pack so far."""
        return self.pack_bytes + sum(size for name, size in self.wheels.items() if name in self.here)

    @property
    def total_bytes(self) -> int | None:
        """What was announced; None where nothing was, as with git."""
        return sum(self.wheels.values()) if self.wheels else None


def _bytes(found: re.Match[str]) -> int:
    return int(float(found["size"]) * FACTORS[found["unit"]])
