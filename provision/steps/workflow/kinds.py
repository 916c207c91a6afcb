"""The kinds of findings of the step `workflow`."""

from __future__ import annotations

from provision.core.finding import FINE, NOTHING, Kind

# fmt: off
WORKFLOW_READY = Kind("workflow-ready", "workflow", "informs", "none", "the workflow file and its receipt", FINE,
    NOTHING)
WORKFLOW_YOURS = Kind("workflow-yours", "workflow", "informs", "none", "whether a person edited it",
    "it is left as it is", NOTHING)
WORKFLOW_MISSING = Kind("workflow-missing", "workflow", "warns", "auto", "the workflow file",
    "it is not in the list of ComfyUI's page", "written", ("comfyui",))
WORKFLOW_OLD = Kind("workflow-old", "workflow", "warns", "auto", "its settings against the manifest",
    "it has older settings", "written again; only if nobody edited it")
PAGE_READY = Kind("page-ready", "workflow", "informs", "none", "what ComfyUI's page shows first", FINE, NOTHING)
PAGE_YOURS = Kind("page-yours", "workflow", "informs", "none", "the same: whether you turned ours off",
    "it is left as it is", NOTHING)
PAGE_CHOOSER = Kind("page-chooser", "workflow", "warns", "auto", "the same",
    "the page begins with its chooser of templates, or a graph for a model that is not here",
    "a custom node of two small files is written, which ComfyUI loads when it starts next", ("comfyui",))
