"""The workflows: YAML that says what it should, actions pinned to a commit, shell that shellcheck accepts."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.paths import CHECKOUT

WORKFLOWS = sorted((CHECKOUT / ".github" / "workflows").glob("*.yml"))
EXPRESSION = re.compile(r"\$\{\{.*?\}\}")


def load(path: Path) -> dict[Any, Any]:
    found = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert isinstance(found, dict)
    return found


def steps(path: Path) -> Iterator[dict[str, Any]]:
    for job in load(path)["jobs"].values():
        yield from job["steps"]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_may_only_read_and_its_actions_cannot_change(path: Path) -> None:
    assert load(path)["permissions"] == {"contents": "read"}
    assert all("timeout-minutes" in job for job in load(path)["jobs"].values())
    used = [step["uses"] for step in steps(path) if "uses" in step]
    assert used
    assert all(re.fullmatch(r"actions/[a-z-]+@[0-9a-f]{40}", each) for each in used)


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_its_shell_is_sound_and_no_input_becomes_a_command(path: Path) -> None:
    shellcheck = shutil.which("shellcheck")
    for step in steps(path):
        if "run" not in step:
            continue
        script = step["run"]
        assert "inputs." not in script, "an input goes through env, never into the text of a script"
        subprocess.run(["bash", "-n"], input=script, text=True, check=True)
        if shellcheck is not None:
            plain = EXPRESSION.sub("value", script)
            ran = subprocess.run(
                [shellcheck, "-s", "bash", "-"], input=plain, text=True, capture_output=True, check=False
            )
            assert ran.returncode == 0, ran.stdout


def test_on_a_mac_no_step_hides_what_a_later_one_would_tell() -> None:
    mac = load(next(path for path in WORKFLOWS if path.stem == "mac"))
    for name in ("checks", "rehearse", "probe"):
        _, _, *later = mac["jobs"][name]["steps"]  # after the checkout, and what the rest stands on
        assert [step["name"] for step in later if step.get("if") != "always()"] == []


def test_the_macs_rehearse_probe_and_on_demand_do_it_all() -> None:
    mac = load(next(path for path in WORKFLOWS if path.stem == "mac"))
    assert set(mac["jobs"]) == {"checks", "rehearse", "probe", "all"}
    said = {name: " ".join(step.get("run", "") for step in job["steps"]) for name, job in mac["jobs"].items()}
    assert "-m contrib.mac_checks --change" in said["checks"]
    assert "--rehearse" in said["rehearse"]
    assert "provision/environment/torch_probe.py" in said["probe"]
    assert "--rehearse" not in said["all"]
    assert mac["jobs"]["all"]["if"] == "github.event_name == 'workflow_dispatch' && inputs.all"
    kept = [step["with"]["path"] for step in mac["jobs"]["all"]["steps"] if "upload-artifact" in step.get("uses", "")]
    assert all(name in kept[0] for name in ("state/report.json", "first-image.png", "logs/"))
