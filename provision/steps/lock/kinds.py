"""The kinds of findings of the step `lock`."""

from __future__ import annotations

from provision.core.causes import RUN
from provision.core.finding import FINE, NOTHING, Kind

# fmt: off
LOCK_READY = Kind("lock-ready", "lock", "informs", "none", "provision.lock against what is installed", FINE, NOTHING)
LOCK_MISSING = Kind("lock-missing", "lock", "warns", "auto", "whether provision.lock exists",
    "this install cannot be rebuilt", "written")
LOCK_STALE = Kind("lock-stale", "lock", "warns", "auto",
    "its versions, commit, weights and flags against what is installed", "`--locked` would rebuild something else",
    "written again", (*RUN, "models"))
LOCK_PARTIAL = Kind("lock-partial", "lock", "warns", "hint",
    "whether every package in it can be installed again (hashes; age of a nightly torch)",
    "`--locked` rejects it, or does not find that torch", "remove it and run `provision all` online; or use a "
                                                          "release of torch")
