"""Findings as tests make them: of the catalogue's kind where there is one of that id, else of one that is made up."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from provision.command import Command, Fix
from provision.core.finding import Consent, Cost, Finding, Kind, Verdict
from provision.steps.catalogue import known


def kind(id: str) -> Kind:
    """The catalogue's, or one that is made up."""
    return known(id) or Kind(id, "a step", "warns", "auto", "something", "something", "something")


def ok(id: str, subject: str, says: str, **more: Any) -> Finding:
    """As `Kind.ok`."""
    return kind(id).ok(subject, says, **more)


def warn(id: str, subject: str, says: str, **more: Any) -> Finding:
    """As `Kind.warn`."""
    return kind(id).warn(subject, says, **more)


def fixable(id: str, subject: str, says: str, **more: Any) -> Finding:
    """As `Kind.fixable`."""
    return kind(id).fixable(subject, says, **more)


def blocked(id: str, subject: str, says: str, **more: Any) -> Finding:
    """As `Kind.blocked`."""
    return kind(id).blocked(subject, says, **more)


def finding_of(line: dict[str, Any]) -> Finding:
    """A finding from its JSON."""
    fix, consent = line["fix"], line["consent"]
    command = Command(tuple(fix["argv"])) if fix and fix["argv"] else None
    return Finding(
        kind(line["id"]),
        line["subject"],
        Verdict(line["verdict"]),
        line["message"],
        fix and Fix(fix["message"], command),
        consent and Consent(**consent),
        Cost(**line["cost"]),
        line["caused_by"] or "",
        bool(line.get("detail")),
        facts=line["facts"],
    )


def seen(findings: Iterable[Finding]) -> list[tuple[str, Verdict]]:
    """Each finding's id and verdict."""
    return [(finding.id, finding.verdict) for finding in findings]
