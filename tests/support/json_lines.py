"""Lines of `--json`, held against the schema: each is one that it names, and has no key that it does not name."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from typing import Any

from jsonschema import Draft202012Validator

from tests.support.paths import CHECKOUT

SCHEMA = CHECKOUT / "docs" / "schema" / "provision-2.schema.json"
Json = dict[str, Any]


@cache
def strict() -> Json:
    """The schema, closed to further keys."""
    schema: Json = json.loads(SCHEMA.read_text(encoding="utf-8"))
    for name, definition in schema["$defs"].items():
        if "properties" in definition and name not in ("Line", "ReportLine"):
            definition["unevaluatedProperties"] = False
    return schema


@cache
def validator(name: str) -> Draft202012Validator:
    """Of one kind of line: an event's type, `COMMAND: KIND`, or `failed`."""
    whole = strict()
    return Draft202012Validator({"$defs": whole["$defs"], "$ref": f"#/$defs/{name}"})


def kinds_of(line: Json) -> list[str]:
    """The kinds that a line may be of."""
    if line["type"] != "report":
        return [line["type"]]
    return ["failed", *(name for name in strict()["$defs"] if name.startswith(f"{line['command']}: "))]


def check(line: Json) -> None:
    """Raise AssertionError for a line that is none, with what is wrong with it."""
    wrong = {kind: next(validator(kind).iter_errors(line), None) for kind in kinds_of(line)}
    assert None in wrong.values(), {kind: error and error.message for kind, error in wrong.items()}


def check_all(lines: Sequence[Json], code: int | None) -> None:
    """The same for all lines of a command that ended by itself with this exit code."""
    for line in lines:
        check(line)
    assert [line["type"] for line in lines].count("report") == 1, "one report"
    assert len({line["run"] for line in lines}) == 1
    assert (lines[-1]["type"], lines[-1]["ok"]) == ("report", code == 0)
    assert (lines[-1]["error"] is None) == (code == 0), "an error is why a command is not ok"


def read(text: str) -> list[Json]:
    """The lines of an output."""
    return [json.loads(line) for line in text.splitlines()]
