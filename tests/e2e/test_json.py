"""What `--json` prints is what `docs/schemas` says, and holds nothing that is not said there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from tests.e2e.conftest import Ended, Tool
from tests.support.paths import CHECKOUT


def validator(name: str) -> Draft202012Validator:
    """A schema of ours that takes no key that it does not name."""
    schema: dict[str, Any] = json.loads((CHECKOUT / "docs" / "schemas" / f"{name}.json").read_text(encoding="utf-8"))
    for definition in schema["$defs"].values():
        if "properties" in definition:
            definition["additionalProperties"] = False
    return Draft202012Validator(schema)


def held_against(ended: Ended, name: str) -> None:
    *events, report = ended.lines
    event = validator("event")
    for line in events:
        event.validate(line)
    validator(name).validate(report)


@pytest.mark.parametrize("name", ["report", "all", "doctor", "plan", "status", "event"])
def test_a_schema_is_one_and_not_everything_fits_it(name: str) -> None:
    Draft202012Validator.check_schema(validator(name).schema)
    assert not validator(name).is_valid({"type": "report", "ok": True})
    assert not validator(name).is_valid({})


def test_real_output_is_as_the_schemas_say(tool: Tool, tmp_path: Path) -> None:
    nothing_yet = tool.run("status")
    held_against(nothing_yet, "status")
    assert nothing_yet.report["installed"] is False
    held_against(tool.run("plan", "--rehearse"), "plan")
    held_against(tool.run("all", "--rehearse"), "all")
    held_against(tool.run("check"), "doctor")
    held_against(tool.run("status"), "status")
    (tool.home / "ComfyUI" / "models" / "checkpoints" / "sd_xl_turbo_1.0_fp16.safetensors").unlink()
    held_against(tool.run("doctor"), "doctor")
    held_against(tool.run("doctor", "--fix", "--yes"), "doctor")
    held_against(tool.run("stop"), "report")
    refused = tool.run("all", "--manifest", str(tmp_path / "none.toml"))
    held_against(refused, "report")
    assert refused.report["error"]["code"] == "manifest"
