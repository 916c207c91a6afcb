"""The workflow file: text to image with the manifest's settings, where ComfyUI's page lists it.

The page lists `user/default/workflows/*.json` (app/user_manager.py). The receipt holds the digest of the file that we
wrote; a file with another one was edited by the user, and is never overwritten.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from provision.comfyui.workflow_graph import listed_name, ui_workflow, workflow_file_name
from provision.command import Fix
from provision.core.finding import Cost, Finding
from provision.core.receipt_kinds import WorkflowReceipt
from provision.core.receipts import read_json, write_json
from provision.core.step import Context, Step
from provision.steps.workflow import kinds

DISK_BYTES = 8192


def workflow_path(ctx: Context) -> Path:
    """Where ComfyUI's page finds the workflow."""
    name = workflow_file_name(ctx.manifest.title, ctx.manifest.name)
    return ctx.home.base / "user" / "default" / "workflows" / name


def wanted_workflow(ctx: Context) -> dict[str, Any]:
    """The workflow as the manifest has it. Raises ManifestError when there is no checkpoint."""
    model, file = ctx.manifest.checkpoint(ctx.options.precision)
    return ui_workflow(ctx.manifest.first_image, listed_name(model, file))


def check_workflow(ctx: Context) -> Iterable[Finding]:
    """Is the workflow there, and is it the manifest's or one that the user edited?"""
    path, wanted, cost = workflow_path(ctx), digest(wanted_workflow(ctx)), Cost(disk_bytes=DISK_BYTES)
    shown, here = ctx.home.shown(path), read_digest(path)
    if not path.exists():
        says, fix = "The workflow is not in ComfyUI's list yet.", Fix(f"Save it as {shown}.")
        yield kinds.WORKFLOW_MISSING.fixable(shown, says, fix=fix, cost=cost)
    elif here == wanted:
        yield kinds.WORKFLOW_READY.ok(shown, f"{path.stem!r} is in ComfyUI's list")
    elif here is not None and here in ours(ctx):
        says, fix = "has settings that the manifest no longer has.", Fix("Update it: you have not edited it.")
        yield kinds.WORKFLOW_OLD.fixable(shown, f"{path.stem!r} {says}", fix=fix, cost=cost)
    else:
        says = f"{path.stem!r} was edited by you and is not changed; delete it to get the original"
        yield kinds.WORKFLOW_YOURS.ok(shown, says)


def apply_workflow(ctx: Context, finding: Finding) -> None:
    """Save the workflow. Raises HomeError, DiskFull."""
    path, workflow = workflow_path(ctx), wanted_workflow(ctx)
    # The receipt first, with the digest of our file that is there: a kill in between must not make that one the user's.
    ctx.receipts.write("workflow", WorkflowReceipt(ctx.home.shown(path), digest(workflow), read_digest(path)))
    write_json(path, workflow)


def ours(ctx: Context) -> tuple[str | None, str | None]:
    """Digests of what we wrote."""
    receipt = ctx.receipts.read("workflow", WorkflowReceipt)
    return receipt.digest, receipt.before


def digest(workflow: object) -> str:
    """A digest of a workflow's content, independent of spaces and the order of keys."""
    return hashlib.sha256(json.dumps(workflow, sort_keys=True).encode()).hexdigest()


def read_digest(path: Path) -> str | None:
    """The digest of a workflow file; None when it is not JSON."""
    return None if (workflow := read_json(path)) is None else digest(workflow)


WORKFLOW = Step(
    "workflow",
    needs=("comfyui",),
    check=check_workflow,
    apply=apply_workflow,
    about="the text-to-image workflow",
)
