"""What is known of a finding before it is met: its step, how bad it is, who mends it, and texts for people."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Severity = Literal["blocks", "spoils", "warns", "informs"]
"""Nothing works; pictures fail or are wrong; something is worth knowing; all is as it should be."""
Mending = Literal["auto", "consent", "hint", "none"]
"""The tool mends it at once; after a yes or `--yes`; a person must; there is nothing to mend."""
ANY_STEP = "any step"
ONLY_IN_LOGS = "a log"
"""What no step looks for: `doctor LOGFILE` knows its words."""


@dataclass(frozen=True, slots=True)
class Known:
    """A finding by its id: its step, how bad it is, who mends it, and three texts for people.

    `follows` are the steps whose faults bring it about: once those are mended it is gone, or mended with them.
    """

    id: str
    step: str
    severity: Severity
    fix: Mending
    looks_at: str
    means: str
    remedy: str
    follows: tuple[str, ...] = ()
