"""Results of `--deep` checks, kept in memory for one run: `--deep` trusts no receipts, only what it saw itself."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping

from provision.core.finding import JSON, Finding

PARTS: Mapping[str, float] = {"torch": 20, "models": 30, "requirements": 40, "first_image": 60}
"""The steps that prove something at length, in the order in which they do, one alone at a time; in seconds, as expected
on an M1 Pro. What a CPU takes for an image is minutes."""


def part_says(step: str, says: str) -> str:
    """What is proven at this moment, and how far that is."""
    return f"{says}, part {[*PARTS].index(step) + 1} of {len(PARTS)}, usually {PARTS[step]:.0f} s"


class Proofs:
    """Findings of costly checks by their step and the facts that they depend on.

    `device` is where torch was seen to compute: `cpu`, `mps` ..., empty before it was seen.
    """

    def __init__(self) -> None:
        self.device = ""
        self._kept: dict[str, list[tuple[dict[str, JSON], tuple[Finding, ...]]]] = {}
        self._touched: set[str] = set()
        self._guard = threading.Lock()

    def recall(self, step: str, facts: Mapping[str, JSON]) -> tuple[Finding, ...] | None:
        """What was seen with exactly these facts; None where that was not looked at, or was touched since."""
        with self._guard:
            return next((found for known, found in self._kept.get(step, []) if known == facts), None)

    def keep(self, step: str, facts: Mapping[str, JSON], found: Iterable[Finding]) -> tuple[Finding, ...]:
        """Keep what was seen, and return it."""
        findings = tuple(found)
        with self._guard:
            self._kept.setdefault(step, []).append((dict(facts), findings))
        return findings

    def touch(self, step: str) -> None:
        """Forget what was seen of a step: it, or what it needs, is about to change."""
        with self._guard:
            self._kept.pop(step, None)
            self._touched.add(step)

    def is_touched(self, step: str) -> bool:
        """Whether a step, or what it needs, was changed in this run."""
        with self._guard:
            return step in self._touched
