"""What the runner itself can find, in every step."""

from __future__ import annotations

from provision.core.finding import ANY_STEP, Kind

CHECK_CRASHED = Kind(
    "check-crashed",
    ANY_STEP,
    "blocks",
    "hint",
    looks_at="whether a check came to its end",
    means="what this step looks at is not known; the traceback is in the tool's log",
    remedy="report it with the file that `provision doctor --report FILE` writes",
)
