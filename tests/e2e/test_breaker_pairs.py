"""Two faults at once: both are named, and `doctor --fix --yes` mends them in the order in which they depend.

Of the pairs that can be mended some are mended here; all of them with `--all-pairs`.
"""

from __future__ import annotations

import pytest

from tests.breakers.pairs import Pair, sample
from tests.breakers.patient import Patient

PAIRS = sample()
MENDED_HERE = 12


def pairs_to_mend(config: pytest.Config) -> list[Pair]:
    pairs = [pair for pair in PAIRS if pair.mends]
    return pairs if config.getoption("--all-pairs") else pairs[:MENDED_HERE]


@pytest.mark.parametrize("pair", PAIRS, ids=str)
def test_both_are_named(sick: Patient, pair: Pair, pytestconfig: pytest.Config) -> None:
    pair.break_it(sick)
    seen = sick.doctor()
    assert pair.ids <= seen.ids, seen.says()
    assert seen.faults <= pair.ids | pair.first.beside | pair.second.beside, seen.says()
    if pair not in pairs_to_mend(pytestconfig):
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
