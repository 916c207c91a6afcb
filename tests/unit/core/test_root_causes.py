"""What follows from a fault of an earlier step is told apart from what stands for itself."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

import pytest

from provision.command import Fix
from provision.core.events import Event, FindingSeen
from provision.core.finding import ONLY_IN_LOGS, Finding, Verdict
from provision.core.runner import run
from provision.core.step import Context, Report, Step
from provision.output import views
from provision.output.layout import plain_text
from provision.steps.catalogue import CATALOGUE
from provision.steps.registry import STEPS
from tests.support.findings import fixable, ok, warn

Look = Callable[..., Report]


def wrong(id: str) -> Finding:
    return fixable(id, "here", f"{id} is seen.", fix=Fix("Mend it."))


@pytest.fixture
def look(context: Callable[..., Context]) -> Look:
    """A look at steps that see one finding each; that of a step which is named first is seen last."""

    def look(**findings: Finding) -> Report:
        steps = [
            Step(name, (), partial(slowly, len(findings) - place, finding))
            for place, (name, finding) in enumerate(findings.items())
        ]
        return run(steps, context(), apply=False)

    return look


def slowly(steps: int, finding: Finding, ctx: Context) -> list[Finding]:
    time.sleep(0.02 * steps)
    return [finding]


def causes(seen: Report) -> dict[str, str]:
    return {finding.id: finding.caused_by for step in seen.steps for finding in step.findings}


def test_what_was_installed_goes_with_the_environment(look: Look) -> None:
    seen = look(python_env=wrong("venv-missing"), torch=wrong("torch-missing"), server=wrong("server-stale"))
    assert causes(seen) == {"venv-missing": "", "torch-missing": "python_env", "server-stale": "python_env"}


def test_what_follows_is_no_cause(look: Look) -> None:
    seen = look(comfyui=wrong("comfyui-missing"), requirements=wrong("req-missing"), server=wrong("server-down"))
    assert causes(seen)["server-down"] == "comfyui"


@pytest.mark.parametrize("first", [ok("torch-ready", "torch", "fine"), warn("gpu-hidden", "torch", "hidden")])
def test_where_nothing_must_be_mended_nothing_follows(look: Look, first: Finding) -> None:
    assert causes(look(torch=first, server=wrong("server-down")))["server-down"] == ""


def test_a_fault_with_a_name_of_its_own_stands_for_itself(look: Look) -> None:
    assert causes(look(comfyui=wrong("git-lock"), server=wrong("port-busy")))["port-busy"] == ""


def test_what_is_well_follows_from_nothing(look: Look) -> None:
    seen = look(python_env=wrong("venv-dangling"), server=ok("server-up", "server", "It runs."))
    assert seen.step("server").findings[0].verdict is Verdict.OK
    assert causes(seen)["server-up"] == ""


def test_a_person_sees_the_cause_and_one_fix(look: Look) -> None:
    seen = look(python_env=wrong("venv-missing"), torch=wrong("torch-missing"))
    text = plain_text(views.checkup_lines(seen, ["1 problem (1 more caused by it)."]))
    assert "↳ torch        torch-missing is seen.  [torch-missing, because of python_env]" in text
    assert text.count("Mend it.") == 1


def test_causes_are_steps_before_the_findings_own() -> None:
    order = [*(step.name for step in STEPS), ONLY_IN_LOGS]
    for entry in CATALOGUE:
        assert all(order.index(cause) < order.index(entry.step) for cause in entry.follows), entry.id


def test_an_event_has_the_finding_as_the_report_has_it(look: Look, events: list[Event]) -> None:
    seen = look(python_env=wrong("venv-missing"), torch=wrong("torch-missing"), workflow=wrong("workflow-missing"))
    told = {event.step: event.finding.to_json() for event in events if isinstance(event, FindingSeen)}
    for step in seen.steps:
        assert step.to_json().findings == (told[step.name],)
    assert told["torch"].caused_by == "python_env"
    assert told["workflow"].caused_by is None
