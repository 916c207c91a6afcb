"""Have ComfyUI's page open with the workflow in place of the chooser of templates.

The page has no setting for that. With nothing to restore it shows the chooser (`Comfy.TutorialCompleted` is not set),
or loads a built-in graph for a model that is not here: `loadGraphData()` without a graph, in useWorkflowPersistence of
ComfyUI_frontend 1.27 to 1.58. A custom node of two small files gives the page an extension that loads the saved
workflow instead, on the first load alone and only when nothing is restored: open work and settings stay as they are.
Where the workflow was deleted it does nothing; a folder renamed to end in `.disabled` is ignored by ComfyUI.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from provision.comfyui.error_signatures import RESTART
from provision.comfyui.server_process import our_process
from provision.command import Fix
from provision.core.finding import Cost, Finding
from provision.core.moved_aside import move_aside
from provision.core.receipts import write_text
from provision.core.step import Context, Look
from provision.steps.workflow import kinds
from provision.steps.workflow.step import workflow_path
from provision.system.strict import Unreadable, read_text

FOLDER = "provision_first_page"
DISK_BYTES = 8192
OURS = "Written by provision"
"""Stands in every file of ours; a file without it is the user's, and is moved aside."""
INIT = '''"""Opens the workflow that provision saved when ComfyUI's page has nothing else to show; has no nodes.

Written by provision. To turn it off, rename this folder to end in .disabled.
"""

WEB_DIRECTORY = "./web"
NODE_CLASS_MAPPINGS = {}
'''
SCRIPT = """// Opens the workflow that provision saved when the page has nothing else to show. Written by provision.
import { app } from "../../scripts/app.js";
import { api } from "../../scripts/api.js";

const path = %s;

async function putInFront() {
  const answer = await api.getUserData(path);
  if (answer.status !== 200) return; // renamed or deleted: the page does as it always does
  const saved = await answer.json();
  const { setting, workflow: store } = app.extensionManager;
  if (!setting.get("Comfy.TutorialCompleted")) await setting.set("Comfy.TutorialCompleted", true);
  await (store.loadWorkflows ?? store.syncWorkflows)?.call(store);
  const file = store.getWorkflowByPath?.(path);
  await file?.load();
  const load = app.loadGraphData;
  app.loadGraphData = function (graph, ...rest) {
    app.loadGraphData = load; // the first load decides: what is restored is never replaced
    if (graph !== undefined) return load.call(app, graph, ...rest);
    return load.call(app, saved, true, true, file ?? path.split("/").pop().replace(/\\.json$/, ""));
  };
}

app.registerExtension({
  name: "provision.firstPage",
  setup: () => putInFront().catch((error) => console.warn("provision: the page opens as usual", error)),
});
"""


def folder(ctx: Context) -> Path:
    """The custom node's folder."""
    return ctx.home.custom_nodes / FOLDER


def wanted_files(ctx: Context) -> dict[Path, str]:
    """The two files and their texts."""
    place = f"workflows/{workflow_path(ctx).name}"
    return {folder(ctx) / "__init__.py": INIT, folder(ctx) / "web" / "first_page.js": SCRIPT % json.dumps(place)}


def check_first_page(ctx: Context) -> Iterable[Finding]:
    """Does the page open with the workflow, once there is one? An adopted install's page is left alone."""
    if ctx.home.adopted is not None or not workflow_path(ctx).exists():
        return
    where, name = ctx.home.shown(folder(ctx)), workflow_path(ctx).stem
    if folder(ctx).with_name(f"{FOLDER}.disabled").exists():
        yield kinds.PAGE_YOURS.ok(where, f"ComfyUI does not open with {name!r}: you turned that off.", detail=True)
    elif all(_text(path) == text for path, text in wanted_files(ctx).items()):
        yield kinds.PAGE_READY.ok(where, f"ComfyUI opens with {name!r}.", detail=True)
    else:
        fix = Fix(f"Add a custom node (two small files) that opens {name!r} first.")
        says = "ComfyUI opens with its template chooser."
        yield kinds.PAGE_CHOOSER.fixable(where, says, fix=fix, cost=Cost(disk_bytes=DISK_BYTES))


def apply_first_page(ctx: Context, finding: Finding) -> None:
    """Write the two files; others in their places are moved aside. Raises HomeError, DiskFull."""
    for path, text in wanted_files(ctx).items():
        if path.is_symlink() or (path.exists() and OURS not in _text(path)):
            move_aside(ctx, path)
        write_text(path, text)
    if our_process(ctx) is not None:
        ctx.note("ComfyUI opens with it after a restart:", RESTART)


def _text(path: Path) -> str:
    with suppress(OSError, Unreadable):
        return read_text(path)
    return ""


FIRST_PAGE = Look(check_first_page, (kinds.PAGE_CHOOSER,), apply_first_page)
