"""What no step looks for: words that only a log shows."""

from __future__ import annotations

from provision.core.finding import ONLY_IN_LOGS, Kind

# fmt: off
ORIGIN_403 = Kind("origin-403", ONLY_IN_LOGS, "warns", "hint", "refused requests", "an empty 403 in the browser",
    "open the address that ComfyUI shows")
NIGHTLY_GAP = Kind("nightly-gap", ONLY_IN_LOGS, "blocks", "auto", "pip's words",
    "`No matching distribution found for torchvision`", "`provision all` takes the newest day that has all packages")
PIP_MANAGED = Kind("pip-managed", ONLY_IN_LOGS, "blocks", "auto", "pip's words", "`externally-managed-environment`",
    "`provision all` uses an environment of its own")
