"""What is kept by a step's name knows every step."""

from __future__ import annotations

from provision.cli.commands.plan_script import ORDER
from provision.core.estimate import USUAL_S
from provision.steps.registry import STEPS

NAMES = {step.name for step in STEPS}


def test_each_step_has_its_usual_seconds() -> None:
    assert set(USUAL_S) == NAMES


def test_each_step_has_its_place_in_the_script_but_the_lock_which_says_what_was_done() -> None:
    assert set(ORDER) == NAMES - {"lock"}
    assert len(ORDER) == len(set(ORDER))
