"""What `doctor --fix` plans from a look, asks beforehand, and does for some findings alone."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from provision.command import Fix
from provision.core import mending_plan
from provision.core.events import MendingPlanned
from provision.core.finding import Cost, Finding
from provision.core.runner import run
from provision.core.step import Context, Report, Step, StepReport
from provision.errors import ConsentNeeded
from provision.output import views
from provision.output.layout import plain_text
from tests.support.findings import blocked, fixable, ok, warn

DO = Fix("It is done.")


def step(name: str, *needs: str) -> Step:
    return Step(name, needs, lambda ctx: ())


STEPS = (step("a"), step("b", "a"), step("c", "a"), step("d", "c"))


def seen(**findings: list[Finding]) -> Report:
    return Report(tuple(StepReport(s.name, tuple(findings.get(s.name, ())), False, 0) for s in STEPS), 0)


LOOK = seen(
    a=[ok("a-fine", "x", "fine"), warn("a-litter", "x", "Litter.", fix=DO, asks="Move it?")],
    b=[fixable("b-gone", "x", "It is gone.", fix=DO, cost=Cost(2_000_000))],
    c=[blocked("c-yours", "x", "Yours.", fix=DO)],
    d=[fixable("d-late", "x", "Late.", fix=DO, cost=Cost(7))],
)


def test_the_plan_is_in_order_with_bytes_and_questions() -> None:
    mends = mending_plan.plan_mending(STEPS, LOOK)
    assert [(mend.step, mend.id, mend.asks, mend.download_bytes, mend.waits_for) for mend in mends] == [
        ("a", "a-litter", "Move it?", 0, ""),
        ("b", "b-gone", "", 2_000_000, ""),
        ("d", "d-late", "", 7, "c"),
    ]
    planned = MendingPlanned(mends=mends, then=mending_plan.needing(STEPS, {"b", "c"}))
    assert planned.download_bytes == 2_000_000
    assert plain_text(views.mending_lines(planned)) == (
        "To be fixed, in this order:\n"
        " 1. a: Litter.  [a-litter]\n"
        "    → Asks first: Move it?\n"
        " 2. b: It is gone.  [b-gone]\n"
        "    → It is done. Downloads 2.0 MB.\n"
        "2.0 MB to download in total.\n"
        "Then steps that depend on it are checked again, and fixed if needed: d.\n"
        "First fix what blocks c: d-late."
    )
    assert plain_text(views.mending_lines(MendingPlanned(mends=()))) == "Nothing can be fixed automatically."


def test_what_steps_need_and_who_needs_them() -> None:
    assert mending_plan.needs_of(STEPS, ["d"]) == ["a", "c"]
    assert mending_plan.needs_of(STEPS, ["a"]) == []
    assert mending_plan.needing(STEPS, ["a"]) == ("b", "c", "d")


def test_questions_are_asked_once_and_nobody_there_is_no() -> None:
    asked: list[str] = []

    def consent(question: str) -> bool:
        asked.append(question)
        return True

    assert mending_plan.ask_beforehand(LOOK, consent) == {"a-litter"}
    assert asked == ["Litter. Move it?"]

    def nobody(question: str) -> bool:
        raise ConsentNeeded(question, hint=Fix("--yes"))

    assert mending_plan.ask_beforehand(LOOK, nobody) == frozenset()


def test_one_finding_alone_with_what_its_step_needs(context: Callable[..., Context]) -> None:
    """The other fault of its step stays; what it needs is mended; what comes of the mending is mended with it."""
    state = {"a": "bad", "wanted": "bad", "other": "bad"}

    def check_a(ctx: Context) -> list[Finding]:
        return [fixable("a-bad", "a", "", fix=DO)] if state["a"] == "bad" else []

    def check_b(ctx: Context) -> list[Finding]:
        found = [fixable("b-other", "b", "", fix=DO)] if state["other"] == "bad" else []
        found += [fixable("b-wanted", "b", "", fix=DO)] if state["wanted"] == "bad" else []
        return found + ([fixable("b-unproven", "b", "", fix=DO)] if state["wanted"] == "unproven" else [])

    def apply(ctx: Context, finding: Finding) -> None:
        state["a" if finding.id == "a-bad" else "wanted"] = "fine" if finding.id != "b-wanted" else "unproven"

    steps = (Step("a", (), check_a, apply), Step("b", ("a",), check_b, apply), Step("c", ("b",), check_a, apply))
    look = run(steps, context(), apply=False)
    chosen = mending_plan.narrowed(steps, look, ["b-wanted"])
    assert [each.name for each in chosen] == ["a", "b"]
    report = run(chosen, context(), apply=True)
    assert report.ok
    assert [each.mended for each in report.steps] == [("a-bad",), ("b-wanted", "b-unproven")]
    assert state == {"a": "fine", "wanted": "fine", "other": "bad"}


@pytest.mark.parametrize(("keep", "ids"), [(False, ["b-gone"]), (True, ["b-gone", "c-yours"])])
def test_a_report_of_some_findings(keep: bool, ids: list[str]) -> None:
    left = mending_plan.only(LOOK, ["b-gone"], keep_blocked=keep)
    assert [finding.id for each in left.steps for finding in each.findings] == ids


def test_what_is_left_stands_with_the_worst_first() -> None:
    rows = [(id, str(verdict)) for _, verdict, id, _, _ in views.shown_trouble(LOOK)]
    assert rows == [("c-yours", "blocked"), ("b-gone", "fixable"), ("d-late", "fixable"), ("a-litter", "warn")]
