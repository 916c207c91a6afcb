"""States of a machine, each with `all --rehearse` and then `doctor`: a picture comes, or the cause is said.

An ordinary run sets up many harmless ones at once, by the seed; `--states` takes each alone.
What came stands in docs/dev/states.md, which `PROVISION_WRITE_DOCS=1` with `--states` writes.
"""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from provision.core.image import Quality, judge
from tests.states import page
from tests.states.network import FAKETIME
from tests.states.state import BUGS, DOCTOR, Ended, Place, State, Stops
from tests.states.table import STATES

SIDE = 512


@pytest.fixture
def each(pytestconfig: pytest.Config) -> None:
    """Before a place is made: whether each state is wanted alone."""
    if not pytestconfig.getoption("--states"):
        pytest.skip("--states takes each alone")


@pytest.fixture
def place(tmp_path: Path, uv_cache: Path) -> Iterator[Place]:
    """A person's folder with nothing in it; what is started there is ended."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "GIT_", "PIP_"))}
    found = Place(tmp_path, {**kept, "HOME": str(tmp_path / "person"), "UV_CACHE_DIR": str(uv_cache)})
    found.person.mkdir()
    yield found
    found.later.close()
    if os.path.lexists(found.home / "state" / "server.json"):
        found.run("stop", plain=True)


@pytest.mark.parametrize("state", STATES, ids=lambda state: state.name)
def test_a_picture_comes_or_the_cause_is_said(each: None, place: Place, state: State) -> None:
    _skip_without(state.needs)
    came = _tried(place, [state])
    page.settle(state, came)


def test_many_at_once(pytestconfig: pytest.Config, place: Place) -> None:
    """Those that only set variables and write files, as many as do not meet in one of them."""
    simple = [state for state in STATES if state.simple]
    random.Random(pytestconfig.getoption("--storm-seed")).shuffle(simple)
    taken: set[str] = set()
    together: list[State] = []
    for state in simple:
        asked = state.environ.keys() | state.files.keys()
        if taken.isdisjoint(asked):
            together.append(state)
            taken |= asked
    _tried(place, together)


def test_the_page_has_a_row_of_each_state_and_no_other() -> None:
    assert set(page.recorded()) == {state.name for state in STATES}


def _skip_without(need: str) -> None:
    there = {
        "": True,
        "root": os.geteuid() == 0 and shutil.which("unshare") is not None,
        "faketime": FAKETIME is not None,
    }
    if not there[need]:
        pytest.skip(f"this state cannot be made without {need}")


def _tried(place: Place, states: list[State]) -> str:
    """Set the states up, run the command and `doctor`; what came, in words."""
    for state in states:
        place.give(state.environ, state.files)
        place.name, place.words = state.home, list(state.words)
        if state.set_up is not None:
            state.set_up(place)
    before = place.untouched()
    ran = place.run(*place.words)
    looked = place.run(*DOCTOR)
    assert place.untouched() == before
    for ended in (ran, looked):
        assert not [bug for bug in BUGS if bug in ended.err + ended.out], (ended.err, ended.out[-3000:])
        assert not place.secret or place.secret not in ended.err + ended.out
    stops = next((state.stops for state in states if state.stops), None)
    if stops is not None:
        return _stopped(stops, ran, looked)
    _came(place, ran, looked, frozenset().union(*(state.warns for state in states)))
    return "a picture" if place.words[0] == "all" else "the model"


def _came(place: Place, ran: Ended, looked: Ended, warns: frozenset[str]) -> None:
    assert ran.code == 0, (ran.causes(), ran.err)
    if place.words[0] == "all":
        assert judge((place.home / "first-image.png").read_bytes(), SIDE, SIDE).verdict is Quality.OK
        assert (looked.code, looked.causes()) == (0, []), (looked.report, looked.err)
        assert looked.warnings() <= warns, looked.report
    assert not looked.err, looked.err


def _stopped(stops: Stops, ran: Ended, looked: Ended) -> str:
    causes = ran.causes()
    assert ran.code == stops.code, (ran.report, ran.err)
    (cause,) = causes
    assert cause.id == stops.id, causes
    assert not [word for word in stops.words if word not in f"{cause.says} {cause.hint}"], causes
    assert not stops.seen or stops.seen in looked.named(), (looked.report, looked.err)
    return f"`{cause.id}`"
