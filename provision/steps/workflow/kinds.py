"""The kinds of findings of the step `workflow`."""

from __future__ import annotations

from provision.core.finding import FINE, NOTHING, Kind

# fmt: off
WORKFLOW_READY = Kind("workflow-ready", "workflow", "informs", "none", "the workflow file and its receipt", FINE,
    NOTHING)
WORKFLOW_YOURS = Kind("workflow-yours", "workflow", "informs", "none", "whether you edited it",
    "it is not changed", NOTHING)
WORKFLOW_MISSING = Kind("workflow-missing", "workflow", "warns", "auto", "the workflow file",
    "it is missing from ComfyUI's workflow list", "written", ("comfyui",))
WORKFLOW_OLD = Kind("workflow-old", "workflow", "warns", "auto", "its settings against the manifest",
    "its settings are out of date", "updated, unless you edited it")
PAGE_READY = Kind("page-ready", "workflow", "informs", "none", "what ComfyUI opens with", FINE, NOTHING)
PAGE_YOURS = Kind("page-yours", "workflow", "informs", "none", "whether you turned that off",
    "it is not changed", NOTHING)
PAGE_CHOOSER = Kind("page-chooser", "workflow", "warns", "auto", "what ComfyUI opens with",
    "ComfyUI opens with its template chooser, or a workflow for a missing model",
    "a custom node of two small files is added; it works after a restart", ("comfyui",))
