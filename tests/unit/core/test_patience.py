"""How long a failure is ridden out, and when it is tried again."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field

import pytest

from provision.command import ours
from provision.core.patience import Outage, Patience, patience_of
from provision.errors import NetworkError, Passing, ProvisionError, UsageError

HINT = ours("doctor")


@dataclass
class Clock:
    """A clock that goes on by what is waited, and by what each try takes."""

    now_s: float = 0.0
    waits: list[float] = field(default_factory=list)

    def __call__(self) -> float:
        return self.now_s


def ridden(error: ProvisionError, clock: Clock, outage: Outage, *, each_s: float = 0.0) -> list[float]:
    """The waits until the error is raised, where each try takes `each_s`."""
    with suppress(type(error)):
        while True:
            clock.now_s += each_s
            clock.waits.append(outage.wait_s(error))
            clock.now_s += clock.waits[-1]
    return clock.waits


def outage(clock: Clock) -> Outage:
    return Outage(Patience(), clock)


def busy(passing: Passing | None = None, wait_s: float | None = None) -> NetworkError:
    return NetworkError("It fails.", hint=HINT, passing=passing, wait_s=wait_s)


def test_an_outage_is_ridden_out_for_five_minutes() -> None:
    clock = Clock()
    waits = ridden(busy(), clock, outage(clock))
    assert waits[:6] == [1, 2, 4, 8, 16, 30]
    assert clock.now_s == 300


@pytest.mark.parametrize(
    ("passing", "seconds"), [(Passing.NAME, 60), (Passing.ANSWER, 15), (Passing.BUSY, 300), (Passing.RATE_LIMIT, 300)]
)
def test_each_kind_has_its_time(passing: Passing, seconds: float) -> None:
    clock = Clock()
    ridden(busy(passing), clock, outage(clock))
    assert clock.now_s == seconds


def test_tries_that_take_long_count() -> None:
    clock = Clock()
    ridden(busy(), clock, outage(clock), each_s=20)
    assert 300 <= clock.now_s <= 341


def test_what_waits_without_its_clock_ends_too() -> None:
    stopped = Outage(Patience(), lambda: 0.0)
    assert sum(ridden(busy(), Clock(), stopped)) == 300


def test_what_stays_so_is_raised_at_once() -> None:
    class Refused(NetworkError):
        passing = None

    clock = Clock()
    assert ridden(Refused("No.", hint=HINT), clock, outage(clock)) == []


def test_a_server_is_left_alone_for_as_long_as_it_asks() -> None:
    clock = Clock()
    assert ridden(busy(Passing.RATE_LIMIT, 26.0), clock, outage(clock)) == [26.0] * 12
    clock = Clock()
    assert ridden(busy(Passing.RATE_LIMIT, 301.0), clock, outage(clock)) == [301.0]


def test_a_server_that_asks_for_hours_is_not_waited_for() -> None:
    clock = Clock()
    assert ridden(busy(Passing.BUSY, 3600.0), clock, outage(clock)) == []


def test_a_server_that_asks_for_no_time_at_all_is_not_stormed() -> None:
    clock = Clock()
    assert ridden(busy(Passing.BUSY, 0.0), clock, outage(clock))[:4] == [0, 1, 2, 4]


def test_what_comes_renews_the_patience_and_a_name_that_worked_is_an_outage() -> None:
    clock = Clock()
    these = outage(clock)
    ridden(busy(), clock, these)
    these.over()
    clock = Clock()
    ridden(busy(Passing.NAME), clock, these)
    assert sum(clock.waits) == 300


@pytest.mark.parametrize(
    ("text", "outage_s", "answer_s"), [("", 300, 15), ("0", 0, 0), ("5", 5, 5), ("3600", 3600, 15)]
)
def test_a_person_sets_it(text: str, outage_s: float, answer_s: float) -> None:
    patience = patience_of({"PROVISION_PATIENCE": text})
    assert (patience.outage_s, patience.answer_s) == (outage_s, answer_s)


@pytest.mark.parametrize("text", ["soon", "-1", "1e3", "99999", "9" * 5000, "\u00b2", "nan", "5\x1b[2J"])
def test_nonsense_is_one_sentence(text: str) -> None:
    with pytest.raises(UsageError, match=r"PROVISION_PATIENCE is '[^\x1b]{1,83}', not a number of seconds") as error:
        patience_of({"PROVISION_PATIENCE": text})
    assert error.value.exit_code == 2
