"""Which custom nodes are at fault, by halves: few tries, and the fewest nodes."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, log2

import pytest

from provision.steps.node_trial import culprits

EIGHT = tuple("abcdefgh")


def found(guilty: set[str], names: Sequence[str] = EIGHT) -> tuple[tuple[str, ...], int]:
    tries = 0

    def is_wrong(some: Sequence[str]) -> bool:
        nonlocal tries
        tries += 1
        return guilty <= set(some)

    said: list[tuple[int, int]] = []
    result = culprits(names, is_wrong, lambda loaded, left: said.append((loaded, left)))
    assert len(said) == tries
    assert all(0 < loaded < len(names) and left > 0 for loaded, left in said)
    return result, tries


@pytest.mark.parametrize("guilty", EIGHT)
def test_one_node_is_found_in_few_starts(guilty: str) -> None:
    result, tries = found({guilty})
    assert result == (guilty,)
    assert tries <= ceil(log2(len(EIGHT))) + 1


def test_nodes_that_are_wrong_only_together_are_all_named() -> None:
    assert set(found({"b", "g"})[0]) == {"b", "g"}
    assert set(found({"a", "d", "h"})[0]) == {"a", "d", "h"}
    assert found({"a"}, ["a"]) == (("a",), 0)
