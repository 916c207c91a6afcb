"""The kinds of findings of the step `requirements`."""

from __future__ import annotations

from provision.core.causes import PACKED
from provision.core.finding import FINE, NOTHING, Kind

# fmt: off
REQ_READY = Kind("req-ready", "requirements", "informs", "none", "requirements.txt against what is installed", FINE,
    NOTHING)
REQ_MISSING = Kind("req-missing", "requirements", "blocks", "auto", "requirements.txt against what is installed",
    "`No module named ...`, `ASSETS_STARTUP_FAILED: missing_packages`", "installed; torch stays as it is", PACKED)
REQ_UNPROVEN = Kind("req-unproven", "requirements", "warns", "auto",
    "whether ComfyUI was seen to import with these packages", "nothing yet", "ComfyUI's own quick test is run", PACKED,
    adds_only=True)
FRONTEND_MISSING = Kind("frontend-missing", "requirements", "blocks", "auto", "comfyui-frontend-package",
    "`comfyui-frontend-package is not installed`", "installed", PACKED)
FRONTEND_OLD = Kind("frontend-old", "requirements", "warns", "auto", "comfyui-frontend-package against its pin",
    "`Installed frontend version ... is lower than the recommended version`", "installed")
IMPORTS_READY = Kind("imports-ready", "requirements", "informs", "none",
    "whether all of ComfyUI imports now (`--deep`)", FINE, NOTHING)
REQ_BROKEN = Kind("req-broken", "requirements", "blocks", "auto", "the same: a package on record whose files are gone",
    "`No module named ...`, though pip says that it is there", "its files are written again")
CU_OLD_DEPS = Kind("cu-old-deps", "requirements", "blocks", "auto", "the same: what it imports and does not ask for",
    "an old ComfyUI ends with `No module named 'requests'`", "installed; torch stays as it is")
IMPORT_FAILED = Kind("import-failed", "requirements", "blocks", "hint", "the same: how its quick test ended",
    "ComfyUI does not start", "what it said: logs/quick-test.log", PACKED)
NODE_REFUSED = Kind("node-refused", "requirements", "warns", "hint",
    "the same: custom nodes, which can change nothing", "how it loads is not known",
    "`provision launch` loads it for real, and says what it changed")
PACKAGES_CHANGED = Kind("packages-changed", "requirements", "warns", "consent",
    "packages before and after each start of ComfyUI", "a custom node installed what others may not work with",
    "the versions from before, after a yes")
