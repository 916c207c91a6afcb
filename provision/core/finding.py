"""What a check saw, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from provision.command import Fix

JSON = object  # str, int, float, bool, None, and lists and dicts of these


class Verdict(StrEnum):
    """From best to worst."""

    OK = "ok"
    WARN = "warn"
    FIXABLE = "fixable"
    """We can mend it."""
    BLOCKED = "blocked"
    """A person must act first."""

    @property
    def rank(self) -> int:
        """0 is best; for sorting and for `worst`."""
        return list(Verdict).index(self)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that a check saw.

    `id` is stable and documented (`ckpt-truncated`); `subject` is what it is about (a path, a package, a
    host); `says` is one sentence with the values seen. `facts` may hold `download_bytes` and `disk_bytes`:
    what the fix will move over the network and what it will add to the disk.
    """

    id: str
    subject: str
    verdict: Verdict
    says: str
    fix: Fix | None = None
    facts: Mapping[str, JSON] = field(default_factory=dict)

    @property
    def is_detail(self) -> bool:
        """Whether only `-v` and `--json` show it (`detail` in `facts`)."""
        return self.verdict is Verdict.OK and self.facts.get("detail") is True

    def quantity(self, name: str) -> int:
        """A number of bytes in `facts`, 0 when it is not there."""
        value = self.facts.get(name, 0)
        return value if isinstance(value, int) else 0

    def to_json(self) -> dict[str, JSON]:
        """The finding as it stands in `--json` and in reports, its command still a value."""
        fix: JSON = None if self.fix is None else {"says": self.fix.says, "argv": self.fix.command or []}
        return {
            "id": self.id,
            "subject": self.subject,
            "verdict": str(self.verdict),
            "says": self.says,
            "fix": fix,
            "facts": dict(self.facts),
        }


def ok(id: str, subject: str, says: str, **facts: JSON) -> Finding:
    """A finding that asks for nothing."""
    return Finding(id, subject, Verdict.OK, says, None, facts)


def warn(id: str, subject: str, says: str, *, fix: Fix | None = None, **facts: JSON) -> Finding:
    """Something a person should know, and that stops nothing."""
    return Finding(id, subject, Verdict.WARN, says, fix, facts)


def fixable(id: str, subject: str, says: str, *, fix: Fix, **facts: JSON) -> Finding:
    """Something that `apply` will do."""
    return Finding(id, subject, Verdict.FIXABLE, says, fix, facts)


def blocked(id: str, subject: str, says: str, *, fix: Fix, **facts: JSON) -> Finding:
    """Something that a person must do first."""
    return Finding(id, subject, Verdict.BLOCKED, says, fix, facts)


def worst(findings: Iterable[Finding]) -> Verdict:
    """The worst verdict, OK when there is none."""
    return max((f.verdict for f in findings), key=lambda v: v.rank, default=Verdict.OK)
