"""`docs/schemas/*.json`: JSON Schemas (2020-12) of what `--json` prints, made from types by msgspec.

Each line but the last is an event (`event.json`); the last is the report of the command. A test holds real output
against them.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Literal

from msgspec import UNSET, Struct, UnsetType
from msgspec.json import schema_components

from provision.comfyui.server_status import ServerStatus
from provision.core import events
from provision.core.finding import Consent, Cost, Verdict
from provision.core.receipt_kinds import ComfyReceipt, ImageReceipt, TorchReceipt

DIALECT = "https://json-schema.org/draft/2020-12/schema"


class Error(Struct):
    """What failed: a code that never changes (see errors.md), a sentence, what to do next and what to type for it."""

    code: str
    message: str
    hint: str
    command: list[str] | None


class Fix(Struct):
    """What to do: a sentence, and what to type, for this home; empty where there is nothing to type."""

    says: str
    argv: list[str]


class Finding(Struct, kw_only=True):
    """One thing that a check saw (see doctor.md); `caused_by` is the step from whose fault it follows."""

    id: str
    subject: str
    verdict: Verdict
    says: str
    fix: Fix | None
    consent: Consent | None
    cost: Cost
    caused_by: str | None
    detail: bool
    paths: list[str]
    facts: dict[str, object]


class FindingSeen(Finding, kw_only=True):
    """A check saw something."""

    step: str


class Note(Struct):
    """One sentence that a person should read now, and the command that goes with it.

    `passing`: it tells what is being done just now, and is soon no news any more.
    """

    step: str
    says: str
    command: list[str] | None
    passing: bool


class MendingPlanned(Struct):
    """Everything that `doctor --fix` is about to do, in its order; `then` are steps that are looked at again."""

    step: str
    mends: list[events.Mend]
    then: list[str]
    download_bytes: int


class Step(Struct):
    """What one step saw and did; `waits_for` is the step that keeps it from being looked at."""

    name: str
    ok: bool
    verdict: Verdict
    changed: bool
    mended: list[str]
    seconds: float
    findings: list[Finding]
    error: Error | None
    waits_for: str | None


class Report(Struct, kw_only=True):
    """The last line; `ok` is the exit code's truth."""

    schema: Literal[1]
    type: Literal["report"]
    ok: bool
    changed: bool
    steps: list[Step]
    seconds: float | UnsetType = UNSET
    error: Error | UnsetType = UNSET


class Adopted(Struct):
    """The install of somebody else's that the home goes by."""

    base: str
    code: str
    python: str | None


@dataclass(frozen=True, kw_only=True)
class Image(ImageReceipt):
    """The first image, and where it lies."""

    path: str


class Rehearsal(Struct):
    """Bytes of model files that the rehearsal's hub sent, in all and by file."""

    hub_sent_bytes: int
    hub_sent_by_file: dict[str, int]


class All(Report, kw_only=True):
    """The report of `all` and of `download`; `url` is ComfyUI's page."""

    command: str
    home: str
    url: str
    adopted: Adopted | UnsetType = UNSET
    image: Image | UnsetType = UNSET
    rehearsal: Rehearsal | UnsetType = UNSET


class Left(Struct):
    """What is still to be mended, or worth knowing, after `doctor --fix`."""

    step: str
    id: str
    verdict: Verdict


class Doctor(Report, kw_only=True):
    """The report of `doctor` and of `check`; with `--fix` what was mended, and what is left."""

    command: Literal["doctor", "check"]
    mended: list[str] | UnsetType = UNSET
    left: list[Left] | UnsetType = UNSET
    adopted: Adopted | UnsetType = UNSET


class Plan(Report, kw_only=True):
    """The report of `plan`; `peak_bytes` is the most that will be on the disk at once."""

    command: Literal["plan"]
    download_bytes: int
    disk_bytes: int
    peak_bytes: int
    expected_s: float
    bytes_per_s: float
    bytes_per_s_measured: bool
    commands: str | UnsetType = UNSET


@dataclass(frozen=True, kw_only=True)
class Server(ServerStatus):
    """ComfyUI as it runs; `queue` counts what it paints and what waits."""

    port: int | None
    memory_bytes: int | None
    queue: tuple[int | None, int | None]


class Status(Report, kw_only=True):
    """The report of `status`; of what is not installed `home` and `installed` alone."""

    home: str
    installed: bool
    comfyui: ComfyReceipt | UnsetType = UNSET
    torch: TorchReceipt | UnsetType = UNSET
    first_image: ImageReceipt | UnsetType = UNSET
    before: str | UnsetType | None = UNSET
    server: Server | UnsetType = UNSET
    disk_bytes: dict[str, int] | UnsetType = UNSET
    last_image: str | UnsetType | None = UNSET
    out_of_date: list[str] | UnsetType = UNSET
    adopted: Adopted | UnsetType = UNSET


REPORTS = {"report": Report, "all": All, "doctor": Doctor, "plan": Plan, "status": Status}


PRINTED: dict[type[events.Event], type] = {
    events.FindingSeen: FindingSeen,
    events.Note: Note,
    events.MendingPlanned: MendingPlanned,
}
"""Events that are printed otherwise than they are held."""


def schemas() -> dict[str, str]:
    """Each schema by its file's name."""
    made = {name: _schema(name, [kind]) for name, kind in REPORTS.items()}
    made["event"] = _event_schema()
    return {f"{name}.json": json.dumps(schema, indent=2) + "\n" for name, schema in made.items()}


def _event_schema() -> dict[str, Any]:
    """One of the events; each says its type and its step."""
    held = [kind for kind in vars(events).values() if isinstance(kind, type) and issubclass(kind, events.Event)]
    kinds = {PRINTED.get(kind, kind): kind.type for kind in held if kind is not events.Event}
    schema = _schema("event", list(kinds))
    for kind, type_ in kinds.items():
        definition = schema["$defs"][kind.__name__]
        definition["properties"]["type"] = {"const": type_}
        definition["required"] = sorted({"type", "step", *definition.get("required", [])})
    return {**schema, "oneOf": [{"$ref": f"#/$defs/{kind.__name__}"} for kind in kinds]}


def _schema(name: str, kinds: list[type]) -> dict[str, Any]:
    of_object = lambda _: {"description": "Any value of JSON."}  # noqa: E731
    roots, definitions = schema_components(kinds, schema_hook=of_object, ref_template="#/$defs/{name}")
    head = {"$schema": DIALECT, "title": f"provision --json: {name}"}
    return {**head, **(roots[0] if len(kinds) == 1 else {}), "$defs": definitions}
