"""Two faults at once: both are named, and `doctor --fix --yes` mends them in the order in which they depend.

An ordinary run takes some of the pairs, `--all-pairs` every one.
"""

from __future__ import annotations

import pytest

from tests.breakers.pairs import Pair, sample
from tests.breakers.patient import Patient

PAIRS = sample()
MENDED, LEFT = 10, 14
"""How many of them an ordinary run takes: pairs that are mended, and others."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "pair" in metafunc.fixturenames:
        mended, left = ([pair for pair in PAIRS if pair.mends is mends] for mends in (True, False))
        some = [*mended[:MENDED], *left[:LEFT]]
        metafunc.parametrize("pair", PAIRS if metafunc.config.getoption("--all-pairs") else some, ids=str)


def test_both_are_named_and_mended(sick: Patient, pair: Pair) -> None:
    pair.break_it(sick)
    seen = sick.doctor()
    assert pair.ids <= seen.ids, seen.says()
    assert seen.faults <= pair.ids | pair.first.beside | pair.second.beside, seen.says()
    if not pair.mends:
        return
    fixed = sick.doctor(fix=True)
    after = sick.doctor()
    assert fixed.ok, fixed.says()
    assert after.ok, after.says()
    assert after.faults == set(), after.says()
    assert sick.proven()
    assert sick.lost() == []


def test_the_sample_is_worth_its_name() -> None:
    assert len(PAIRS) == len(set(map(str, PAIRS))) == 60
    assert len([pair for pair in PAIRS if pair.mends]) == 25
