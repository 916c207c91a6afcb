"""Storms: a few seeded tries in an ordinary run, all of them with `--storms`. The options are in tests/conftest.py."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.storms.tally import Tally


@pytest.fixture(scope="session")
def long_storm(pytestconfig: pytest.Config) -> bool:
    """Whether all tries are wanted."""
    return bool(pytestconfig.getoption("--storms"))


@pytest.fixture(scope="session")
def storm_seed(pytestconfig: pytest.Config) -> int:
    """From which everything random follows."""
    return int(pytestconfig.getoption("--storm-seed"))


@pytest.fixture
def tally(
    request: pytest.FixtureRequest, storm_seed: int, record_property: Callable[[str, object], None]
) -> Iterator[Callable[[str], Tally]]:
    """Opens the account of a storm; the test fails, after all of its tries, when anything was found."""
    opened: list[Tally] = []

    def opening(storm: str) -> Tally:
        opened.append(Tally(storm, storm_seed))
        return opened[-1]

    yield opening
    for one in opened:
        record_property("storm", one.row())
    found = [one.says() for one in opened if one.found]
    if found:
        pytest.fail("\n\n".join(found), pytrace=False)
