"""What a check saw, what that means, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Literal, TypedDict, Unpack

from provision.command import Command, Fix
from provision.errors import ErrorJson

JSON = object  # str, int, float, bool, None, and lists and dicts of these
Severity = Literal["blocks", "spoils", "warns", "informs"]
"""Nothing works; pictures fail or are wrong; something is worth knowing; all is as it should be."""
Mending = Literal["auto", "consent", "hint", "none"]
"""Fixed at once; after a yes or `--yes`; by a person; nothing to fix."""
ANY_STEP = "any step"
ONLY_IN_LOGS = "a log"
"""What no step looks for: `doctor LOGFILE` knows its words."""
FINE = "no problem"
NOTHING = "nothing to do"


class Verdict(StrEnum):
    """From best to worst."""

    OK = "ok"
    WARN = "warn"
    FIXABLE = "fixable"
    """We can fix it."""
    BLOCKED = "blocked"
    """Somebody must act first."""

    @property
    def rank(self) -> int:
        """0 is best; for sorting and for `worst`."""
        return list(Verdict).index(self)


@dataclass(frozen=True, slots=True)
class Cost:
    """Bytes that a fix moves over the network and adds to the disk."""

    download_bytes: int = 0
    disk_bytes: int = 0

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.download_bytes + other.download_bytes, self.disk_bytes + other.disk_bytes)


FREE = Cost()


@dataclass(frozen=True, slots=True)
class Consent:
    """The question before a fix; `agreement` is the id under which a yes is stored."""

    question: str
    agreement: str


class More(TypedDict, total=False):
    """Fields that most findings leave as they are (see Finding)."""

    cost: Cost
    detail: bool
    paths: tuple[Path, ...]
    facts: Mapping[str, JSON]


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of finding: its stable id, its step, how bad it is, who fixes it, and three texts for people.

    `follows` are the steps whose faults cause it.
    """

    id: str
    step: str
    severity: Severity
    fix: Mending
    looks_at: str
    means: str
    remedy: str
    follows: tuple[str, ...] = ()
    adds_only: bool = False
    """Its fix changes no existing file: it adds one, tests, or records."""

    def ok(self, subject: str, says: str, **more: Unpack[More]) -> Finding:
        """A finding that asks for nothing."""
        return Finding(self, subject, Verdict.OK, says, **more)

    def warn(self, subject: str, says: str, *, fix: Fix | None = None, asks: str = "", **more: Unpack[More]) -> Finding:
        """Something worth knowing that stops nothing; fixed after a yes where it `asks`."""
        return Finding(self, subject, Verdict.WARN, says, fix, self._consent(asks), **more)

    def fixable(self, subject: str, says: str, *, fix: Fix, asks: str = "", **more: Unpack[More]) -> Finding:
        """Something that `apply` fixes, after a yes where it `asks`."""
        return Finding(self, subject, Verdict.FIXABLE, says, fix, self._consent(asks), **more)

    def blocked(self, subject: str, says: str, *, fix: Fix, asks: str = "", **more: Unpack[More]) -> Finding:
        """Something to be done by a person first, or agreed to where it `asks`."""
        return Finding(self, subject, Verdict.BLOCKED, says, fix, self._consent(asks), **more)

    def _consent(self, asks: str) -> Consent | None:
        return Consent(asks, self.id) if asks else None


@dataclass(frozen=True, slots=True)
class FixJson:
    """What to do: a sentence, and a command to run."""

    message: str
    argv: Command | None


@dataclass(frozen=True, slots=True)
class FindingJson:
    """One thing that a check saw (`id`: see doctor.md); `caused_by` is the step whose fault causes it."""

    id: str
    subject: str
    verdict: Verdict
    message: str
    fix: FixJson | None
    consent: Consent | None
    cost: Cost
    caused_by: str | None
    paths: tuple[Path, ...]
    facts: Mapping[str, JSON]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that a check saw; a Kind makes it.

    `subject` is what it is about (a path, a package, a host); `says` is one sentence with the values seen; `caused_by`
    is the step whose fault causes it, or empty; a `detail` is shown only by `-v` and `--json`. `paths` are further
    files that its fix takes. `facts` are for readers of the JSON: no code reads them.
    """

    kind: Kind
    subject: str
    verdict: Verdict
    says: str
    fix: Fix | None = None
    consent: Consent | None = None
    cost: Cost = FREE
    caused_by: str = ""
    detail: bool = False
    paths: tuple[Path, ...] = ()
    facts: Mapping[str, JSON] = field(default_factory=dict)

    @property
    def id(self) -> str:
        return self.kind.id

    def to_json(self) -> FindingJson:
        """The finding as it stands in `--json`, in events and in reports."""
        return FindingJson(
            self.id,
            self.subject,
            self.verdict,
            self.says,
            None if self.fix is None else FixJson(self.fix.says, self.fix.command),
            self.consent,
            self.cost,
            self.caused_by or None,
            self.paths,
            self.facts,
        )

    def to_error(self) -> ErrorJson:
        """The finding as the reason why a command is not satisfied."""
        fix = self.fix or Fix()
        return ErrorJson(self.id, self.says, fix, fix.command)


def worst(findings: Iterable[Finding]) -> Verdict:
    """The worst verdict, OK when there is none."""
    return max((f.verdict for f in findings), key=lambda v: v.rank, default=Verdict.OK)


def cost_of(findings: Iterable[Finding]) -> Cost:
    """The cost of fixing all of them that are FIXABLE."""
    return sum((finding.cost for finding in findings if finding.verdict is Verdict.FIXABLE), FREE)
