"""The kinds of findings of the step `requirements`."""

from __future__ import annotations

from provision.core.causes import PACKED
from provision.core.finding import FINE, NOTHING, Kind

# fmt: off
REQ_READY = Kind("req-ready", "requirements", "informs", "none", "requirements.txt against what is installed", FINE,
    NOTHING)
REQ_MISSING = Kind("req-missing", "requirements", "blocks", "auto", "requirements.txt against what is installed",
    "`No module named ...`, `ASSETS_STARTUP_FAILED: missing_packages`", "installed; torch is not changed", PACKED)
REQ_UNPROVEN = Kind("req-unproven", "requirements", "warns", "auto",
    "whether ComfyUI starts with these packages", "nothing yet", "ComfyUI's own quick test is run", PACKED,
    adds_only=True)
FRONTEND_MISSING = Kind("frontend-missing", "requirements", "blocks", "auto", "comfyui-frontend-package",
    "`comfyui-frontend-package is not installed`", "installed", PACKED)
FRONTEND_OLD = Kind("frontend-old", "requirements", "warns", "auto", "comfyui-frontend-package against its pin",
    "`Installed frontend version ... is lower than the recommended version`", "installed")
IMPORTS_READY = Kind("imports-ready", "requirements", "informs", "none",
    "whether all of ComfyUI imports now (`--deep`)", FINE, NOTHING)
REQ_BROKEN = Kind("req-broken", "requirements", "blocks", "auto", "an installed package whose files "
                                                                  "are gone (`--deep`)",
    "`No module named ...`, though pip lists it", "reinstalled")
CU_OLD_DEPS = Kind("cu-old-deps", "requirements", "blocks", "auto", "imports missing from requirements.txt (`--deep`)",
    "an old ComfyUI exits with `No module named 'requests'`", "installed; torch is not changed")
IMPORT_FAILED = Kind("import-failed", "requirements", "blocks", "hint", "the result of ComfyUI's quick test (`--deep`)",
    "ComfyUI does not start", "see logs/quick-test.log", PACKED)
NODE_MISSING = Kind("node-missing", "requirements", "warns", "auto",
    "whether each custom node that was added is in its folder", "its nodes are missing in ComfyUI",
    "put back at its commit", PACKED)
NODE_REFUSED = Kind("node-refused", "requirements", "warns", "hint",
    "custom nodes, in a sandbox (`--deep`)", "whether it loads is unknown",
    "`provision launch` loads it, and says what it changed")
PACKAGES_CHANGED = Kind("packages-changed", "requirements", "warns", "consent",
    "packages before and after each start of ComfyUI", "a custom node installed packages that may break others",
    "the previous versions, after a yes")
