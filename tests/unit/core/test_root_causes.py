"""What follows from a fault of an earlier step is told apart from what stands for itself."""

from __future__ import annotations

import pytest

from provision.core.catalogue import CATALOGUE
from provision.core.finding import Finding, Fix, Verdict, fixable, ok, warn
from provision.core.root_causes import follows_from, with_causes
from provision.core.step import Report, StepReport
from provision.output import views
from provision.steps.registry import STEPS


def wrong(id: str) -> Finding:
    return fixable(id, "here", f"{id} is seen.", fix=Fix("Mend it."))


def report(**findings: Finding) -> Report:
    steps = [StepReport(name, (finding,), changed=False, seconds=0) for name, finding in findings.items()]
    return with_causes(Report(tuple(steps), 0))


def causes(seen: Report) -> dict[str, str]:
    return {finding.id: follows_from(finding) for step in seen.steps for finding in step.findings}


def test_what_was_installed_goes_with_the_environment() -> None:
    seen = report(python_env=wrong("venv-missing"), torch=wrong("torch-missing"), server=wrong("server-stale"))
    assert causes(seen) == {"venv-missing": "", "torch-missing": "python_env", "server-stale": "python_env"}


def test_what_follows_is_no_cause() -> None:
    seen = report(comfyui=wrong("comfyui-missing"), requirements=wrong("req-missing"), server=wrong("server-down"))
    assert causes(seen)["server-down"] == "comfyui"


@pytest.mark.parametrize("first", [ok("torch-ready", "torch", "fine"), warn("gpu-hidden", "torch", "hidden")])
def test_where_nothing_must_be_mended_nothing_follows(first: Finding) -> None:
    assert causes(report(torch=first, server=wrong("server-down")))["server-down"] == ""


def test_a_fault_with_a_name_of_its_own_stands_for_itself() -> None:
    assert causes(report(comfyui=wrong("git-lock"), server=wrong("port-busy")))["port-busy"] == ""


def test_what_is_well_follows_from_nothing() -> None:
    seen = report(python_env=wrong("venv-dangling"), server=ok("server-up", "server", "It runs."))
    assert seen.step("server").findings[0].verdict is Verdict.OK
    assert causes(seen)["server-up"] == ""


def test_a_person_sees_the_cause_and_one_fix() -> None:
    seen = report(python_env=wrong("venv-missing"), torch=wrong("torch-missing"))
    text = views.checkup_text(seen, "1 finding(s), 1 more that follow from them.")
    assert "↳ torch-missing is seen.  [torch-missing, follows from python_env]" in text
    assert text.count("Mend it.") == 1


def test_causes_are_steps_before_the_findings_own() -> None:
    order = [step.name for step in STEPS]
    for entry in CATALOGUE:
        assert all(order.index(cause) < order.index(entry.step) for cause in entry.follows), entry.id
