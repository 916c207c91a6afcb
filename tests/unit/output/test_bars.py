"""Bars in characters, and what the machine draws."""

from __future__ import annotations

import pytest

from provision.output.bars import bar, bars_text
from provision.system.power_draw import parse_battery, parse_card, read_watts
from tests.support.fake_machine import FakeMachine

ROWS = (("one", 1.0, "1 s", "mend"), ("a longer one", 4.0, "4 s", "mend"), ("theirs", 2.0, "2 s, published", "other"))


@pytest.mark.parametrize("columns", [60, 80, 120])
def test_bars_are_as_long_as_their_numbers_and_fit(columns: int) -> None:
    lines = bars_text(ROWS, columns).splitlines()
    one, four, theirs = (line.count("█") + line.count("░") for line in lines)
    assert (one, theirs) == (four // 4, pytest.approx(four / 2, abs=0.5))
    assert max(map(len, lines)) <= columns
    assert len({line.index(row[2]) for line, row in zip(lines, ROWS, strict=True)}) == 1


def test_a_narrow_terminal_gets_words() -> None:
    assert bars_text(ROWS, 30).splitlines()[0] == "one           1 s"
    assert bars_text((), 80) == ""


@pytest.mark.parametrize(("share", "drawn"), [(0, "    "), (0.001, "▏   "), (0.5, "██  "), (0.53, "██▏ "), (1, "████")])
def test_eighths(share: float, drawn: str) -> None:
    assert bar(share, 4) == drawn


def test_a_macbook_tells_its_load_without_a_password() -> None:
    said = '"PowerTelemetryData" = {"SystemPowerIn"=12010,"SystemLoad"=11380,"BatteryPower"=0}'
    assert parse_battery(said) == pytest.approx(11.38)
    assert parse_battery('"SystemLoad"=0') is None
    assert parse_battery('"SystemLoad"=18446744073709551615') is None
    assert parse_battery("no such service") is None


def test_cards_are_added_up() -> None:
    assert parse_card("71.20\n30.1\n") == pytest.approx(101.3)
    assert parse_card("[N/A]\n") is None


def test_nothing_is_told_where_nothing_tells() -> None:
    assert read_watts(FakeMachine(system="Linux")) is None
