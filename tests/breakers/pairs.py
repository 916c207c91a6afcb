"""Pairs of faults at once: a sample of those that can be together, the same each time."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from dataclasses import dataclass

from tests.breakers.breaker import Breaker
from tests.breakers.patient import Patient
from tests.breakers.registry import BREAKERS

SEED, MENDED, LEFT = 20_261_122, 25, 35
LATE = frozenset({"python"})
"""Things of which the other breaker may still have need: they are broken last."""
EARLY = frozenset({"server"})
"""What is broken by starting the server anew: that must still be possible."""
APART = frozenset({"programs", "deadline"})
"""Things for which the doctor must be another process, or wait for seconds: not in pairs."""


@dataclass(frozen=True, slots=True)
class Pair:
    """Two faults, in the order in which they come about."""

    first: Breaker
    second: Breaker

    def __str__(self) -> str:
        return f"{self.first.name} + {self.second.name}"

    @property
    def ids(self) -> set[str]:
        """Both must be named."""
        return {self.first.id, self.second.id}

    @property
    def mends(self) -> bool:
        """Whether the doctor must mend both."""
        return self.first.mends and self.second.mends

    def break_it(self, at: Patient) -> None:
        """Break both."""
        self.first.break_it(at)
        self.second.break_it(at)


def sample() -> list[Pair]:
    """The pairs: so many that the doctor must mend, and so many that leave something to a person."""
    chance, possible = random.Random(SEED), list(_possible())
    mended = chance.sample([pair for pair in possible if pair.mends], MENDED)
    return mended + chance.sample([pair for pair in possible if not pair.mends], LEFT)


def _possible() -> Iterator[Pair]:
    """Pairs of different things, that a look without `--deep` names, in one process."""
    usable = [each for each in BREAKERS if not (each.deep or each.root or each.things & APART)]
    for pair in itertools.combinations(usable, 2):
        first, second = sorted(pair, key=_when)
        if not first.things & second.things:
            yield Pair(first, second)


def _when(breaker: Breaker) -> int:
    return -1 if breaker.things & EARLY else 1 if breaker.things & LATE else 0
