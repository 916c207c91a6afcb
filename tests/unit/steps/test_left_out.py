"""The home left out of backups and the index: asked once, remembered, undone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from provision.command import ours
from provision.core.events import Event
from provision.core.home import Home
from provision.core.ownership import is_at_the_top
from provision.core.step import Context, Options
from provision.errors import ConsentNeeded
from provision.steps.hardware.left_out import leave_out, take_in_again
from provision.system.machine import Ran
from tests.support.fake_machine import FakeMachine

Make = Callable[..., Context]


@pytest.fixture
def mac(home: Home) -> FakeMachine:
    return FakeMachine({f"/usr/bin/tmutil {verb} {home.root}": "" for verb in ("addexclusion", "removeexclusion")})


def answering(ctx: Context, yes: bool) -> tuple[Context, list[str]]:
    """The context of a person who gives that answer, and what was asked."""
    asked: list[str] = []

    def consent(question: str) -> bool:
        asked.append(question)
        return yes

    return replace(ctx, consent=consent), asked


def test_after_a_yes_both_are_told_and_nobody_asks_again(context: Make, home: Home, mac: FakeMachine) -> None:
    ctx, asked = answering(context(machine=mac), yes=True)
    leave_out(ctx)
    leave_out(ctx)
    assert len(asked) == 1
    assert str(home.root) in asked[0]
    assert mac.ran == [f"/usr/bin/tmutil addexclusion {home.root}"]
    assert (home.root / ".metadata_never_index").is_file()
    take_in_again(ctx)
    assert mac.ran[1:] == [f"/usr/bin/tmutil removeexclusion {home.root}"]
    assert not (home.root / ".metadata_never_index").exists()


def test_a_no_is_remembered(context: Make, home: Home, mac: FakeMachine) -> None:
    ctx, asked = answering(context(machine=mac), yes=False)
    leave_out(ctx)
    leave_out(ctx)
    take_in_again(ctx)
    assert (len(asked), mac.ran) == (1, [])


def test_where_nobody_can_answer_a_later_run_asks(context: Make, mac: FakeMachine) -> None:
    ctx = context(machine=mac)
    leave_out(replace(ctx, consent=nobody))
    again, asked = answering(ctx, yes=True)
    leave_out(again)
    assert len(asked) == 1


def nobody(question: str) -> bool:
    raise ConsentNeeded("Confirmation needed, but there is no terminal.", hint=ours("all", "--yes"))


def test_where_nobody_can_answer_a_flag_decides_and_may_change_it(context: Make, home: Home, mac: FakeMachine) -> None:
    verbs = {"exclude": "addexclusion", "keep": "removeexclusion"}
    for wanted in ("keep", "exclude", "exclude", "ask", "keep", "ask", "exclude"):
        leave_out(replace(context(machine=mac, options=Options(time_machine=wanted)), consent=nobody))
        assert (home.root / ".metadata_never_index").exists() == (mac.ran[-1:] == [line(home, "addexclusion")])
    assert mac.ran == [line(home, verbs[each]) for each in ("exclude", "keep", "exclude")]


def line(home: Home, verb: str) -> str:
    return f"/usr/bin/tmutil {verb} {home.root}"


def test_neither_linux_nor_a_rehearsal_asks(context: Make, mac: FakeMachine) -> None:
    for ctx in (context(machine=FakeMachine(system="Linux")), context(machine=mac, options=Options(rehearsal=True))):
        silent, asked = answering(ctx, yes=True)
        leave_out(silent)
        assert asked == []


def test_what_time_machine_refuses_is_said(context: Make, home: Home, events: list[Event], mac: FakeMachine) -> None:
    mac.commands[line(home, "addexclusion")] = Ran((), 1, "", "Error (-5000) while attempting.\n")
    leave_out(answering(context(machine=mac), yes=True)[0])
    assert any("Time Machine was not told (Error (-5000)" in str(event) for event in events)


def test_what_it_writes_is_known_as_ours() -> None:
    assert is_at_the_top(".metadata_never_index")
