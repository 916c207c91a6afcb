"""What the runner itself can find, in every step."""

from __future__ import annotations

from provision.core.finding import ANY_STEP, Kind

CHECK_CRASHED = Kind(
    "check-crashed",
    ANY_STEP,
    "blocks",
    "hint",
    looks_at="whether a check finished",
    means="the check of this step crashed; the traceback is in provision's log",
    remedy="report it with the file that `provision doctor --report FILE` writes",
)
