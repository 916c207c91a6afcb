"""How long it will still take: rates that fall when nothing comes, times that do not jump, the end of a whole run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provision.comfyui.git_remote import parse_receiving
from provision.core.estimate import (
    REHEARSED_S,
    USUAL_S,
    Countdown,
    Job,
    Pace,
    Rate,
    believable,
    must_work,
    run_seconds_left,
    step_seconds_left,
)
from provision.core.events import Event, Progress, RunStarted, StepFinished, StepPlanned, StepStarted, Work
from provision.environment.uv_lines import Wheels
from provision.output.run_state import RunState
from provision.output.views import total_text
from provision.system.strict import convert
from tests.support.event_streams import read_stream
from tests.support.mac_stream import NEEDS, RATE, REFUSED, SIZE, STALLED, mac_stream

# -- a rate ---------------------------------------------------------------------------------------------


def test_a_rate_is_known_after_a_second_and_forgets_what_is_old() -> None:
    rate = Rate()
    for now, done in ((100.0, 0), (100.5, 50)):
        rate.add(now, done)
        assert rate.at(now) is None
    rate.add(101.0, 1000)
    assert rate.at(101.0) == 1000
    for second in range(2, 40):
        rate.add(100.0 + second, 1000 + 10 * (second - 1))
    assert rate.at(139.0) == pytest.approx(10)


def test_a_rate_falls_while_nothing_comes_and_is_then_unknown() -> None:
    rate = Rate()
    for second in range(6):
        rate.add(float(second), second * 100)
    assert rate.at(5.0) == 100
    rates = [rate.at(5.0 + idle) or 0 for idle in range(14)]
    assert rates == sorted(rates, reverse=True)
    assert rate.at(40.0) is None
    assert rate.idle_s(15.0) == 10.0


def test_a_rate_starts_anew_when_the_bytes_fall() -> None:
    rate = Rate()
    for second in range(4):
        rate.add(float(second), second * 100)
    rate.add(4.0, 0)
    assert rate.at(4.0) is None
    rate.add(5.0, 7)
    assert rate.at(5.0) == 7


@given(st.lists(st.tuples(st.floats(0, 5), st.integers(0, 10**12)), max_size=30), st.floats(0, 60))
def test_a_rate_is_never_negative(steps: Iterable[tuple[float, int]], later: float) -> None:
    rate, now = Rate(), 0.0
    for wait, done in steps:
        now += wait
        rate.add(now, done)
        assert (rate.at(now + later) or 1) > 0
        assert 0 <= rate.idle_s(now + later) <= now + later


# -- a time left ----------------------------------------------------------------------------------------


def test_a_time_left_runs_down_with_the_clock_and_does_not_jump() -> None:
    left = Countdown()
    assert left.at(0.0, 100.0) == 100.0
    shown = [left.at(t / 8, 100.0 - t / 8) for t in range(1, 40)]
    assert shown == pytest.approx([100.0 - t / 8 for t in range(1, 40)]), "an estimate that holds is shown as it is"
    jumped = [left.at(5.0 + t / 8, 40.0) or 0 for t in range(1, 200)]
    assert all(abs(a - b) < 3 for a, b in pairwise(jumped)), "a new one is neared, not jumped to"
    assert jumped[-1] == pytest.approx(40.0, abs=5)
    assert left.at(31.0, None) is None
    assert left.at(32.0, 7.0) == 7.0, "after the unknown it begins anew"


@pytest.mark.parametrize(("taken", "left"), [(0, 20), (15, 5), (20, 0), (40, 10)])
def test_work_that_is_overdue_is_not_about_to_end(taken: float, left: float) -> None:
    assert step_seconds_left(20, taken) == left


# -- a whole run ----------------------------------------------------------------------------------------


def test_steps_that_run_at_once_share_the_line_and_cost_their_time_once() -> None:
    assert run_seconds_left([Job("a", (), 100, 5), Job("b", (), 100, 0)], 10) == pytest.approx(25)
    assert run_seconds_left([Job("a", (), 0, 5), Job("b", (), 0, 8)], None) == 8
    chain = [Job("a", (), 50, 1), Job("b", ("a",), 0, 3), Job("c", ("b", "gone"), 0, 4)]
    assert run_seconds_left(chain, 10) == pytest.approx(13)
    assert run_seconds_left([], None) == 0


def test_what_cannot_be_known_is_none() -> None:
    assert run_seconds_left([Job("a", (), 1, 0)], None) is None
    assert run_seconds_left([Job("a", ("b",)), Job("b", ("a",))], 1) is None


@given(st.lists(st.tuples(st.integers(0, 10**10), st.floats(0, 1000)), max_size=6), st.floats(1e3, 1e9))
def test_a_run_takes_no_less_than_the_line_and_no_more_than_all_in_turn(
    sizes: list[tuple[int, float]], rate: float
) -> None:
    jobs = [Job(str(place), (str(place - 1),) if place % 2 else (), *size) for place, size in enumerate(sizes)]
    left = run_seconds_left(jobs, rate)
    assert left is not None
    line = sum(size for size, _ in sizes) / rate
    assert line * 0.999 - 1 <= left <= (line + sum(seconds for _, seconds in sizes)) * 1.001 + 1


def test_what_comes_after_work_has_work() -> None:
    assert must_work(NEEDS, ["models"]) == {"models", "first_image"}
    assert must_work(NEEDS, []) == set()


def test_a_pace_is_kept_and_read_again_whatever_was_done_to_it() -> None:
    pace = Pace(5e6, {"torch": 12.5})
    assert convert(pace.to_json(), Pace) == believable(pace) == pace
    assert convert({}, Pace) == Pace()
    assert believable(Pace(-1.0, {"torch": -2.0, "models": 1e300, "server": 3})) == Pace(None, {"server": 3.0})
    assert Pace(None, {"torch": 3.0}).expected_s("torch") == 3.0


# -- recorded runs --------------------------------------------------------------------------------------


def told(moments: list[tuple[float, Event]], state: RunState) -> list[tuple[float, float | None]]:
    """What is shown as left of the run, twice a second."""
    shown, now, coming = list[tuple[float, float | None]](), 0.0, list(moments)
    while coming:
        now += 0.5
        while coming and coming[0][0] <= now:
            state.add(*coming.pop(0))
        shown.append((now, state.seconds_left(now)))
    return shown


def test_the_time_left_of_a_recorded_run_comes_true() -> None:
    moments = read_stream("rehearsal")
    end, state = moments[-1][0], RunState(Pace(), REHEARSED_S)
    shown = told(moments, state)
    known = [(now, left) for now, left in shown if left is not None]
    assert shown[0][1] is None, "before a byte was seen, nothing is promised"
    assert len(known) > 0.7 * len(shown)
    assert all(0 <= left < 3 * end for _, left in known)
    assert known[-1][1] < 2
    pace = state.measured_pace()
    assert pace.bytes_per_s == pytest.approx(3e6, rel=0.3), "the line was limited to 3 MB/s"
    assert set(pace.seconds) == {"python_env", "torch", "comfyui", "models", "requirements", "workflow", "server",
                                 "first_image"}  # fmt: skip


@pytest.mark.parametrize("pace", [REHEARSED_S, USUAL_S])
def test_the_share_of_a_run_never_falls_and_is_whole_only_at_its_end(pace: Mapping[str, float]) -> None:
    state, seen = RunState(Pace(), pace), []
    for now, event in read_stream("rehearsal"):
        state.add(now, event)
        if state.under_way:
            seen.append(state.share(now))
    shares = [share for share in seen if share is not None]
    assert shares == sorted(shares)
    assert len(shares) > 0.5 * len(seen)
    assert all(0 < share < 1 for share in shares)


def test_a_run_that_measures_nothing_assumes_and_does_not_stay_silent() -> None:
    state = RunState()
    state.add(0.0, RunStarted(needs={"models": (), "lock": ("models",)}))
    state.add(0.1, StepPlanned(step="models", download_bytes=125_000_000, disk_bytes=0))
    assert state.seconds_left(0.2) is None
    left = state.seconds_left(3.0)
    assert left is not None
    assert 10 < left < 40
    assert "unknown" not in total_text(state, 3.0)


def test_the_next_run_knows_more() -> None:
    moments = read_stream("rehearsal")
    first = RunState(Pace(), REHEARSED_S)
    told(moments, first)
    second = RunState(first.measured_pace(), REHEARSED_S)
    knows = [left for now, left in told(moments, second) if 1 < now < 5]
    assert all(left is not None for left in knows)
    end = moments[-1][0]
    assert all(abs(left - (end - 3)) < end / 2 for left in knows if left is not None)


def at(second: float, moments: list[tuple[float, Event]]) -> RunState:
    state = RunState()
    for moment in moments:
        if moment[0] <= second:
            state.add(*moment)
    return state


def test_a_line_that_stands_still_promises_nothing() -> None:
    moments = mac_stream()
    moving = at(18.0, moments)
    assert moving.bytes_per_s(18.0) == pytest.approx(RATE, rel=0.05)
    left = moving.seconds_left(18.0)
    assert left is not None
    assert SIZE / RATE < left < 3 * SIZE / RATE
    assert at(STALLED, moments).seconds_left(STALLED) is None
    refused = at(REFUSED, moments)
    assert refused.steps["models"].waiting == "huggingface.co answers 503."


def test_wheels_count_when_uv_tells_of_them() -> None:
    state = at(12.0, mac_stream())
    torch = state.steps["torch"]
    (task,) = torch.moving
    assert (task.at.done, task.at.total) == (int(5.2 * 2**20), int(5.2 * 2**20) + int(83.4 * 2**20))
    assert task.seconds_left(12.0) is None, "nothing is told of a wheel while it comes"
    assert not at(41.5, mac_stream()).steps["torch"].moving


def test_two_installs_of_a_step_are_added_up() -> None:
    state, lines = RunState(), ("Downloading a (2MB)", " Downloaded a", "Installed 1 package in 1s")
    state.add(0.0, StepPlanned(step="torch", download_bytes=9_000_000, disk_bytes=0))
    for wheels in (Wheels(), Wheels()):
        for line in lines[:2]:
            state.add(1.0, replace(wheels.hear(line), step="torch"))  # type: ignore[type-var]
    assert (state.bytes_moved(), state.bytes_left()) == (4_000_000, 5_000_000)
    state.add(2.0, replace(wheels.hear(lines[2]), step="torch"))  # type: ignore[type-var]
    assert (state.bytes_moved(), state.bytes_left()) == (4_000_000, 0), "all that were to come are here"


def test_a_fetch_moves_bytes_once_git_tells_them() -> None:
    state = RunState()
    for second, rest in enumerate(("1% (10/1000)", "9% (90/1000), 3.00 MiB | 1 MiB/s", "10% (100/1000), 4.00 MiB")):
        told = parse_receiving(f"Receiving objects:  {rest}", "ComfyUI")
        state.add(second, replace(told, step="comfyui"))  # type: ignore[type-var]
    [task] = state.steps["comfyui"].moving
    assert (task.at.unit, state.bytes_moved()) == ("bytes", 4 * 2**20)


def test_a_download_that_goes_on_counts_only_what_it_moves() -> None:
    state = RunState()
    state.add(0.0, StepStarted(step="models"))
    for second in range(5):
        state.add(float(second), Progress(step="models", subject="x", done=6_000 + second * 10, total=7_000))
    assert state.bytes_moved() == 40
    assert state.bytes_left() == 960
    assert state.unfinished()[0].at.subject == "x"
    state.add(5.0, Progress(step="models", kind=Work.VERIFY, subject="x", done=1, total=7_000))
    assert state.bytes_moved() == 40, "what is read from the disk moves nothing"


def test_what_needs_a_step_that_failed_does_not_wait_for_it() -> None:
    state = at(15.0, mac_stream())
    end = StepFinished(step="torch", verdict="blocked", says="It broke.", changed=True, seconds=1)
    state.add(16.0, end)
    assert state.blocked(state.steps["requirements"])
    assert state.blocked(state.steps["first_image"])
    assert not state.blocked(state.steps["workflow"])
