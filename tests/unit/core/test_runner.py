"""The loop over steps: order, concurrency, mending, and what failure and interruption leave behind."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterable
from dataclasses import replace

import pytest

from provision.command import Fix, ours, program
from provision.core.events import ApplyStarted, Event, FindingSeen, Note, Output, RunStarted, StepFinished, StepStarted
from provision.core.finding import Finding, Verdict
from provision.core.runner import run
from provision.core.step import Apply, Check, Context, Step
from provision.errors import DiskFull, ErrorJson, GitError, Interrupted, StartOver
from provision.system.local_machine import LocalMachine
from tests.support.findings import blocked, fixable, ok, warn
from tests.support.hints import said

PATIENCE_S = 20.0
"""Longer than any test may take: who waits so long has hung."""
Contexts = Callable[..., Context]


def fine(ctx: Context) -> Iterable[Finding]:
    return [ok("fine", "here", "all is well")]


def closed(ctx: Context) -> Iterable[Finding]:
    return [blocked("closed", "here", "a person must act", fix=Fix("act"))]


def faulty(ctx: Context) -> Iterable[Finding]:
    return [fixable("fault", "here", "something is missing.", fix=Fix("bring it"))]


def step(name: str, *needs: str, check: Check = fine, apply: Apply | None = None) -> Step:
    return Step(name, needs, check, apply)


class Parts:
    """A machine's part made of several things, each missing until it is applied."""

    def __init__(self, *names: str) -> None:
        self.missing = list(names)
        self.checks = 0

    def check(self, ctx: Context) -> Iterable[Finding]:
        self.checks += 1
        if not self.missing:
            yield ok("parts", "all", "every part is here")
        for name in self.missing:
            yield fixable("part", name, f"{name} is missing", fix=Fix(f"bring {name}"))

    def apply(self, ctx: Context, finding: Finding) -> None:
        self.missing.remove(finding.subject)


# -- order and concurrency ------------------------------------------------------------------------------


def test_a_step_starts_after_those_that_it_needs(context: Contexts) -> None:
    seen: list[str] = []

    def noted(name: str) -> Check:
        def check(ctx: Context) -> Iterable[Finding]:
            seen.append(name)
            return fine(ctx)

        return check

    steps = [step("a", check=noted("a")), step("b", "a", check=noted("b")), step("c", "a", "b", check=noted("c"))]
    report = run(steps, context(), apply=True)
    assert seen == ["a", "b", "c"]
    assert [part.name for part in report.steps] == ["a", "b", "c"]
    assert report.ok
    assert not report.changed


def test_independent_steps_apply_at_the_same_time(context: Contexts) -> None:
    meeting = threading.Barrier(3)
    parts = [Parts("x"), Parts("y"), Parts("z")]

    def applied(part: Parts) -> Apply:
        def apply(ctx: Context, finding: Finding) -> None:
            meeting.wait(PATIENCE_S)  # broken unless all three are here at once
            part.apply(ctx, finding)

        return apply

    steps = [step(name, check=p.check, apply=applied(p)) for name, p in zip("abc", parts, strict=True)]
    assert run(steps, context(), apply=True).ok


def test_what_a_person_must_do_keeps_nothing_from_being_mended_beside_it(context: Contexts) -> None:
    mended: list[str] = []

    def check(ctx: Context) -> list[Finding]:
        more = [] if mended else [fixable("open", "here", "we can", fix=Fix("do"))]
        return [blocked("closed", "here", "a person must act", fix=Fix("act")), *more]

    step = Step("a", (), check, lambda ctx, finding: mended.append(finding.id))
    report = run((step, Step("b", ("a",), lambda ctx: ())), context(), apply=True)
    assert (mended, report.step("a").mended) == (["open"], ("open",))
    assert [part.verdict for part in report.steps] == [Verdict.BLOCKED, Verdict.BLOCKED]
    assert report.step("b").waits_for == "a"


def test_a_blocked_step_leaves_its_dependents_waiting_and_the_others_running(context: Contexts) -> None:
    steps = [step("a", check=closed), step("b", "a"), step("c", "b"), step("d"), step("e", "d")]
    report = run(steps, context(), apply=True)
    assert [(part.name, part.waits_for, part.satisfied) for part in report.steps] == [
        ("a", None, False),
        ("b", "a", False),
        ("c", "b", False),
        ("d", None, True),
        ("e", None, True),
    ]
    assert report.step("b").findings == ()
    assert not report.ok


def test_a_warning_stops_nobody(context: Contexts) -> None:
    report = run([step("a", check=lambda ctx: [warn("w", "here", "know this")]), step("b", "a")], context(), apply=True)
    assert report.ok
    assert report.step("a").verdict is Verdict.WARN


def test_a_need_that_is_not_part_of_the_run_is_not_waited_for(context: Contexts) -> None:
    assert run([step("models", "tools", "hardware")], context(), apply=True).ok


# -- check, apply, check again --------------------------------------------------------------------------


def test_what_is_missing_is_applied_and_checked_again(context: Contexts, events: list[Event]) -> None:
    parts = Parts("engine", "weights")
    report = run([step("a", check=parts.check, apply=parts.apply)], context(), apply=True)
    assert report.ok
    assert report.changed
    assert parts.checks == 3, "one look, then one after each thing mended"
    assert [event.again for event in events if isinstance(event, StepStarted)] == [False, True, True]
    assert [event.says for event in events if isinstance(event, ApplyStarted)] == ["bring engine", "bring weights"]
    assert [event.finding.id for event in events if isinstance(event, FindingSeen)] == ["parts"]
    (finished,) = (event for event in events if isinstance(event, StepFinished))
    assert (finished.verdict, finished.changed, finished.says) == ("ok", True, "every part is here")
    (begun,) = (event for event in events if isinstance(event, RunStarted))
    assert begun.needs == {"a": ()}
    assert {event.step for event in events if event is not begun} == {"a"}, "the runner stamps the step's name"


@pytest.mark.parametrize("count", [1, 12, 40])
def test_however_many_things_are_missing_all_are_mended(context: Contexts, count: int) -> None:
    parts = Parts(*(f"part-{number}" for number in range(count)))
    assert run([step("a", check=parts.check, apply=parts.apply)], context(), apply=True).ok


def test_a_second_run_changes_nothing(context: Contexts) -> None:
    parts = Parts("engine")
    steps = [step("a", check=parts.check, apply=parts.apply)]
    assert run(steps, context(), apply=True).changed
    assert not run(steps, context(), apply=True).changed


def test_a_fault_that_is_still_there_after_its_fix_is_our_bug_and_says_so(context: Contexts) -> None:
    report = run([step("a", check=faulty, apply=lambda ctx, finding: None), step("b", "a")], context(), apply=True)
    error = report.step("a").error
    assert error is not None
    assert error.code == "not_satisfied"
    assert "something is missing" in error.message
    assert said(error.hint)
    assert report.step("b").waits_for == "a"


def test_a_step_without_apply_is_only_looked_at(context: Contexts) -> None:
    report = run([step("a", check=faulty)], context(), apply=True)
    assert (report.ok, report.changed, report.step("a").error) == (False, False, None)


def test_without_apply_nothing_changes_and_nothing_waits(context: Contexts) -> None:
    parts, meeting = Parts("x"), threading.Barrier(2)

    def together(check: Check) -> Check:
        def met(ctx: Context) -> Iterable[Finding]:
            meeting.wait(PATIENCE_S)
            return check(ctx)

        return met

    steps = [step("a", check=together(parts.check), apply=parts.apply), step("b", "a", check=together(closed))]
    report = run(steps, context(), apply=False)
    assert parts.missing == ["x"]
    assert [part.waits_for for part in report.steps] == [None, None]
    assert [part.verdict for part in report.steps] == [Verdict.FIXABLE, Verdict.BLOCKED]


def test_a_look_that_needs_what_is_not_there_waits_for_it(context: Contexts) -> None:
    def cannot(ctx: Context) -> Iterable[Finding]:
        raise GitError("git is not installed.", hint=ours("doctor"))

    report = run([step("a", check=closed), step("b", "a", check=cannot)], context(), apply=False)
    assert (report.step("b").waits_for, report.step("b").error) == ("a", None)
    alone = run([step("a"), step("b", "a", check=cannot)], context(), apply=False).step("b")
    assert (alone.waits_for, alone.error and alone.error.code) == (None, "git")


# -- failure --------------------------------------------------------------------------------------------


def test_an_error_while_applying_is_in_the_report_and_others_run(context: Contexts, events: list[Event]) -> None:
    def fails(ctx: Context, finding: Finding) -> None:
        ctx.note("trying")
        raise GitError("The clone broke off.", hint=ours("all"))

    report = run([step("a", check=faulty, apply=fails), step("b"), step("c", "a")], context(), apply=True)
    assert report.error == ErrorJson("git", "The clone broke off.", Fix(command=ours("all")), ours("all"))
    assert report.step("a").changed, "what an apply that broke off changed is not known"
    assert (report.step("b").satisfied, report.step("c").waits_for) == (True, "a")
    finished = {event.step: event.says for event in events if isinstance(event, StepFinished)}
    assert finished["a"] == "The clone broke off."
    assert [event.step for event in events if isinstance(event, Note)] == ["a"]


def test_an_error_while_checking_is_in_the_report(context: Contexts) -> None:
    def check(ctx: Context) -> Iterable[Finding]:
        yield ok("first", "here", "well")
        raise DiskFull("The disk is full.", hint=program("df", "-h"))

    error = run([step("a", check=check)], context(), apply=True).step("a").error
    assert error is not None
    assert error.code == "disk_full"


@pytest.mark.parametrize("place", ["check", "apply"])
def test_an_unexpected_exception_propagates_and_ends_the_others(context: Contexts, place: str) -> None:
    working = threading.Event()
    ended = threading.Event()

    def works(ctx: Context) -> Iterable[Finding]:
        working.set()
        try:
            ctx.machine.sleep(PATIENCE_S)
        except Interrupted:
            ended.set()
            raise
        return fine(ctx)

    def breaks(ctx: Context, finding: Finding | None = None) -> Iterable[Finding]:
        working.wait(PATIENCE_S)
        raise ZeroDivisionError("our bug")

    second = step("b", check=breaks) if place == "check" else step("b", check=faulty, apply=breaks)  # type: ignore[arg-type]
    with pytest.raises(ZeroDivisionError, match="our bug"):
        run([step("a", check=works), second], context(), apply=True)
    assert ended.is_set(), "the step before it in the list was told to stop"


def test_a_look_makes_a_crash_a_finding_and_names_the_rest(context: Contexts, events: list[Event]) -> None:
    def crashes(ctx: Context) -> Iterable[Finding]:
        yield ok("first", "here", "well")
        raise ZeroDivisionError("our bug")

    report = run([step("a", check=crashes), step("b", "a", check=faulty)], context(), apply=False)
    first, crash = report.step("a").findings
    assert (first.id, crash.id, crash.verdict, crash.subject) == ("first", "check-crashed", Verdict.BLOCKED, "a")
    assert "ZeroDivisionError: our bug" in crash.says
    assert "in crashes" in str(crash.facts["traceback"])
    assert "ZeroDivisionError: our bug" in [event.line for event in events if isinstance(event, Output)]
    assert [finding.id for finding in report.step("b").findings] == ["fault"]


def test_a_look_that_is_interrupted_is_no_crash(context: Contexts) -> None:
    def stops(ctx: Context) -> Iterable[Finding]:
        raise Interrupted("Stopped.", hint=Fix("again"))

    with pytest.raises(Interrupted):
        run([step("a", check=stops)], context(), apply=False)


# -- interruption ---------------------------------------------------------------------------------------


def waiting(started: threading.Barrier, ended: list[str], name: str) -> Check:
    """A check that runs a child for longer than the test may take."""

    def check(ctx: Context) -> Iterable[Finding]:
        started.wait(PATIENCE_S)
        try:
            ctx.machine.run(["sleep", str(PATIENCE_S)])
        except Interrupted:
            ended.append(name)
            raise
        return fine(ctx)

    return check


def test_interrupted_in_one_step_ends_the_others(context: Contexts) -> None:
    started, ended = threading.Barrier(2), list[str]()

    def stops(ctx: Context) -> Iterable[Finding]:
        started.wait(PATIENCE_S)
        raise Interrupted("Stopped.", hint=Fix("again"))

    ctx = context()
    with pytest.raises(Interrupted):
        run([step("a", check=waiting(started, ended, "a")), step("b", check=stops)], ctx, apply=True)
    assert ended == ["a"]
    assert ctx.machine.stopping.is_set()


def test_ctrl_c_ends_every_step_and_starts_no_other(context: Contexts, monkeypatch: pytest.MonkeyPatch) -> None:
    started, ended, late = threading.Barrier(3), list[str](), list[str]()
    before = signal.signal(signal.SIGINT, signal.default_int_handler)

    def presses(ctx: Context) -> Iterable[Finding]:
        started.wait(PATIENCE_S)
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
        return fine(ctx)

    steps = [
        step("a", check=waiting(started, ended, "a")),
        step("b", check=waiting(started, ended, "b")),
        step("c", check=presses),
        step("d", "a", check=lambda ctx: late.append("d") or fine(ctx)),  # type: ignore[func-returns-value]
    ]
    try:
        with pytest.raises(KeyboardInterrupt):
            run(steps, context(), apply=True)
    finally:
        signal.signal(signal.SIGINT, before)
    assert sorted(ended) == ["a", "b"]
    assert late == []


def test_a_run_on_an_interrupted_machine_does_nothing(context: Contexts) -> None:
    machine = LocalMachine()
    machine.interrupt()
    parts = Parts("x")
    with pytest.raises(Interrupted):
        run([step("a", check=parts.check, apply=parts.apply)], replace(context(), machine=machine), apply=True)
    assert parts.checks == 0


# -- starting over ----------------------------------------------------------------------------------------


def test_a_step_may_have_an_earlier_one_and_all_that_need_it_done_again(context: Contexts) -> None:
    ran: list[str] = []
    wishes = ["b", "c"]

    def noted(name: str) -> Check:
        def check(ctx: Context) -> Iterable[Finding]:
            ran.append(name)
            return faulty(ctx) if name == "d" and wishes else fine(ctx)

        return check

    def wish(ctx: Context, finding: Finding) -> None:
        raise StartOver("Once more.", hint=ours("all"), step=wishes.pop(0))

    steps = [
        step("a", check=noted("a")),
        step("b", "a", check=noted("b")),
        step("x", "a", check=noted("x")),
        step("c", "b", check=noted("c")),
        step("d", "c", check=noted("d"), apply=wish),
    ]
    report = run(steps, context(), apply=True)
    assert sorted(ran[:5]) == ["a", "b", "c", "d", "x"]
    assert ran[5:] == ["b", "c", "d", "c", "d"]
    assert report.ok
    assert report.step("d").changed, "what any round changed was changed"
    assert [part.name for part in report.steps] == ["a", "b", "x", "c", "d"]


def test_what_did_not_run_before_does_not_run_because_of_another_round(context: Contexts) -> None:
    def wish(ctx: Context, finding: Finding) -> None:
        raise StartOver("Once more.", hint=ours("all"), step="b")

    steps = [step("m", check=closed), step("b", check=faulty, apply=wish), step("d", "m", "b")]
    report = run(steps, context(), apply=True)
    assert report.step("d").waits_for in ("m", "b")
    error = report.step("b").error
    assert error is not None, "it ends, though the wish never does"
    assert error.code == "start_over"


def test_a_step_that_is_not_among_these_cannot_be_done_again(context: Contexts) -> None:
    def wish(ctx: Context, finding: Finding) -> None:
        raise StartOver("Once more.", hint=ours("all"), step="elsewhere")

    report = run([step("a", check=faulty, apply=wish)], context(), apply=True)
    assert said(report.step("a").error.hint) == "provision all"


def test_a_deep_look_proves_one_thing_after_the_other(context: Contexts) -> None:
    order: list[tuple[str, int]] = []

    def seen(name: str) -> Check:
        def check(ctx: Context) -> Iterable[Finding]:
            order.append((name, threading.get_ident()))
            yield ok("x", "x", "")

        return check

    names = ["torch", "models", "requirements", "first_image"]
    steps = [step(name, *names[:place], check=seen(name)) for place, name in enumerate(names)]
    ctx = context()
    report = run(steps, replace(ctx, options=replace(ctx.options, deep=True)), apply=False)
    assert [name for name, _ in order] == names
    assert len({thread for _, thread in order}) == 1, "no two at a time"
    assert report.ok
