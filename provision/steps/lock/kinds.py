"""The kinds of findings of the step `lock`."""

from __future__ import annotations

from provision.core.causes import RUN
from provision.core.finding import FINE, NOTHING, Kind

# fmt: off
LOCK_READY = Kind("lock-ready", "lock", "informs", "none", "provision.lock against what is here", FINE, NOTHING)
LOCK_MISSING = Kind("lock-missing", "lock", "warns", "auto", "whether there is a provision.lock",
    "the same set cannot be had again, here or elsewhere", "it is written")
LOCK_STALE = Kind("lock-stale", "lock", "warns", "auto",
    "versions, commit, weights and flags in it against what is here", "`--locked` would rebuild something else",
    "it is written again", (*RUN, "models"))
LOCK_PARTIAL = Kind("lock-partial", "lock", "warns", "hint",
    "whether every package in it can be had again: by its hash, and a nightly of torch by its age",
    "`--locked` refuses it, or finds no such torch", "remove it, with the package index at hand; or a release of torch")
