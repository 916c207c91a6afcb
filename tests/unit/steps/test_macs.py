"""What the tool says on each recorded Mac, beside its recording: PROVISION_WRITE_DOCS=1 writes the pages anew."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from provision.core.finding import Finding, Verdict
from tests.support.macs import MACS, RecordedMac, mac_names, planned_on, said_on

# What each is recorded for: the findings that are not OK before anything is installed, beside what is always missing.
EXPECTED = {
    "guest": {"hw-guest", "mem-8gb", "mem-swaps"},
    "intel": {"hw-intel", "os-too-old"},
    "m1-8gb": {"mem-8gb", "mem-swaps"},
    "m1-pro-16gb": set(),
    "m2-air-low-power": {"low-power"},
    "m3-max": set(),
    "m4-mini": {"disk-low"},
    "m5": set(),
    "macos-13": {"os-too-old"},
    "macos-27": {"os27-psutil"},
    "no-tools": {"clt-missing"},
    "pressure": {"mem-pressure"},
    "rosetta": {"py-rosetta"},
    "stale-tools": {"clt-stale"},
}


def notable(name: str) -> dict[str, Finding]:
    steps = planned_on(name).steps[:2]
    return {found.id: found for step in steps for found in step.findings if found.verdict is not Verdict.OK}


@pytest.mark.parametrize("name", mac_names())
def test_the_page_of_each_mac_is_what_the_tool_says(name: str) -> None:
    page, said = MACS / f"{name}.txt", said_on(name)
    if os.environ.get("PROVISION_WRITE_DOCS"):
        page.write_text(said, encoding="utf-8")
    assert page.read_text(encoding="utf-8") == said, "PROVISION_WRITE_DOCS=1 bin/test tests/unit/steps/test_macs.py"


def test_each_mac_has_what_it_is_recorded_for_and_nothing_else() -> None:
    assert {name: set(notable(name)) for name in mac_names()} == EXPECTED


@pytest.mark.parametrize("name", mac_names())
def test_no_check_crashes_and_nothing_is_asked_that_was_not_recorded(name: str) -> None:
    report = planned_on(name)
    assert [step.error for step in report.steps if step.error] == []
    assert not {finding.id for step in report.steps for finding in step.findings} & {"check-crashed"}


@pytest.mark.parametrize("name", mac_names())
def test_every_output_has_its_source(name: str) -> None:
    mac = json.loads((MACS / f"{name}.json").read_text(encoding="utf-8"))
    for each in (*mac["commands"], mac["sysctl"]):
        assert each["source"]
        assert each["note"]


def test_sysctl_passes_over_what_a_mac_does_not_know() -> None:
    said = RecordedMac("intel").run(["/usr/sbin/sysctl", "-i", "hw.memsize", "hw.optional.arm64"])
    assert said.out == "hw.memsize: 17179869184\n"
    with pytest.raises(AssertionError, match="unscripted"):
        RecordedMac("intel").run(["/usr/bin/open", str(Path("/"))])
