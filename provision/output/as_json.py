"""Values as `--json` has them, and what each of its lines says beside them (docs/json.md)."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal

from provision.core.finding import JSON
from provision.core.step import StepJson
from provision.errors import ErrorJson

SCHEMA = 2
"""Counts the changes that a reader has to follow; new keys and new types of events are none."""
NAMES = {
    "says": "message",
    "mended": "fixed",
    "mends": "fixes",
    "does": "action",
    "asks": "question",
    "brings": "provides",
    "waits_for": "blocked_by",
    "again": "repeat",
}
"""What the code calls otherwise than a reader would."""
DISPLAY = frozenset({"passing", "detail"})
"""Fields that only steer how a value is shown."""


@dataclass(frozen=True, slots=True)
class Run:
    """A command at work: its name (None where there is none of that name), its id, this machine's name, its start."""

    command: str | None = None
    id: str = field(default_factory=lambda: os.urandom(6).hex())
    host: str = field(default_factory=lambda: os.uname().nodename)
    began: float = field(default_factory=time.time)

    def line(self, type: str, **values: JSON) -> dict[str, JSON]:
        """A line, written now."""
        at = timestamp(time.time())
        return {"schema": SCHEMA, "type": type, "at": at, "run": self.id, "host": self.host, **values}


@dataclass(frozen=True, slots=True)
class Line:
    """What every line has: `at` is UTC, `run` the command's id, `host` the machine's name."""

    schema: Literal[2]
    type: str
    at: str
    run: str
    host: str


@dataclass(frozen=True, slots=True)
class ReportLine(Line):
    """The last line. `ok` says whether the exit code is 0, `error` why it is not; `seconds` are the whole command's."""

    command: str | None
    ok: bool
    error: ErrorJson | None
    changed: bool
    seconds: float
    steps: tuple[StepJson, ...]


def timestamp(seconds: float) -> str:
    """A time since 1970 as UTC: `2026-11-26T09:30:00.125Z`."""
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{int(seconds % 1 * 1000):03}Z"


def names(kind: Any) -> dict[str, str]:
    """The fields of a dataclass that JSON has, each with its name there."""
    return {each.name: NAMES.get(each.name, each.name) for each in fields(kind) if each.name not in DISPLAY}


def as_object(value: Any) -> Mapping[str, JSON]:
    """A dataclass as a JSON object, whose values may be dataclasses still; seconds to the millisecond."""
    if hasattr(value, "to_json"):
        return as_object(value.to_json())
    return {name: _rounded(name, getattr(value, held)) for held, name in names(value).items()}


def _rounded(name: str, value: JSON) -> JSON:
    return round(value, 3) if isinstance(value, float) and name.endswith(("seconds", "_s")) else value
