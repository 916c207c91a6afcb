"""Storms: a few seeded tries in an ordinary run, all of them with `--storms`. The options are in tests/conftest.py."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.storms import tally as tallies
from tests.storms.small_disk import ROOMY, SmallDisk, small_disk
from tests.storms.tally import Tally
from tests.storms.weather import Place, make_place
from tests.support.forks import Forks


@pytest.fixture(scope="session")
def long_storm(pytestconfig: pytest.Config) -> bool:
    """Whether all tries are wanted."""
    return bool(pytestconfig.getoption("--storms"))


@pytest.fixture(scope="session")
def storm_seed(pytestconfig: pytest.Config) -> int:
    """From which everything random follows."""
    return int(pytestconfig.getoption("--storm-seed"))


@pytest.fixture
def storm_size(long_storm: bool) -> Callable[[int, int], int]:
    """How many tries: the short number or the long one."""
    return lambda short, long: long if long_storm else short


@pytest.fixture
def storm_tries(pytestconfig: pytest.Config, long_storm: bool) -> Callable[[int, int], range]:
    """The numbers of the tries: short or long, or the one that `--storm-try` names."""
    one = pytestconfig.getoption("--storm-try")
    return lambda short, long: range(one, one + 1) if one is not None else range(long if long_storm else short)


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
        one.over()
        record_property("storm", one.row())
    if found := [one.says() for one in opened if one.found]:
        pytest.fail("\n\n".join(found), pytrace=False)


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory, loaded: Forks) -> Iterator[Place]:
    """A folder with a whole rehearsed home in it, which is brought back for each try."""
    with make_place(tmp_path_factory.mktemp("storm").resolve(), loaded) as made:
        yield made


@pytest.fixture
def disk(place: Place) -> Iterator[SmallDisk]:
    """A roomy disk for the home."""
    place.clear()
    with small_disk(place.disk, ROOMY) as made:
        yield made
        place.end_all()


def pytest_report_header(config: pytest.Config) -> str:
    return f"storms: seed {config.getoption('--storm-seed')}, {'all' if config.getoption('--storms') else 'a few'}"


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if not config.getoption("--write-storms") or "PYTEST_XDIST_WORKER" in os.environ:
        return
    reports = [report for kind in terminalreporter.stats.values() for report in kind]
    rows = {
        (str(report.nodeid), str(value["storm"])): value
        for report in reports
        for name, value in getattr(report, "user_properties", ())
        if name == "storm"
    }
    place: Path = tallies.PAGE
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(tallies.page(rows.values()), encoding="utf-8")
    terminalreporter.write_line(f"Wrote {place}.")
