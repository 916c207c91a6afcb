"""What uv says of the packages that it brings, read from its lines. Pure.

uv tells of a wheel over a megabyte when it begins and when it is here (`Downloading torch (83.4MiB)`, ` Downloaded
torch`), and of all of them once they are in place (`Installed 12 packages in 40ms`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from provision.core.events import Progress, Unit, Work
from provision.system.parsers import SIZE, parse_size

BEGUN = re.compile(rf"\s*Downloading (\S+) \(({SIZE})\)")
HERE = re.compile(r"\s*Downloaded (\S+)")
INSTALLED = re.compile(r"\s*Installed (\d{1,9}) packages? ")


@dataclass(slots=True)
class Wheels:
    """The packages of one install, as far as uv tells of them."""

    sizes: dict[str, int] = field(default_factory=dict)
    here: set[str] = field(default_factory=set)

    def hear(self, line: str) -> Progress | None:
        """How far the packages are after a line: bytes of wheels, in the end packages; None where it does not tell."""
        if found := INSTALLED.match(line):
            return _packages(int(found[1]), int(found[1]), "packages")
        if found := BEGUN.match(line):
            self.sizes[found[1]] = parse_size(found[2])
        elif (found := HERE.match(line)) and found[1] in self.sizes:
            self.here.add(found[1])
        else:
            return None
        return _packages(sum(self.sizes[name] for name in self.here), sum(self.sizes.values()), "bytes")


def _packages(done: int, total: int, unit: Unit) -> Progress:
    return Progress(kind=Work.INSTALL, subject="packages", done=done, total=total, unit=unit)
