"""Results of `--deep` checks, kept in memory for one run: `--deep` trusts no receipts, only what it saw itself."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping

from provision.core.finding import JSON, Finding


class Proofs:
    """Findings of costly checks by their step and the facts that they depend on."""

    def __init__(self) -> None:
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
