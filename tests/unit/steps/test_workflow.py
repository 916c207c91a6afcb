"""The workflow in ComfyUI's list: saved, kept up to date, and never taken from a person who edited it."""

from __future__ import annotations

import json
from pathlib import Path

from provision.core.finding import Finding, Verdict
from provision.core.home import Home
from provision.core.manifest import load_manifest
from provision.core.step import Context
from provision.steps.workflow.step import WORKFLOW, apply_workflow, check_workflow, workflow_path
from tests.support.fake_machine import FakeMachine


def context(root: Path, *sets: str) -> Context:
    home = Home(root / "home")
    home.prepare()
    return Context(FakeMachine(), load_manifest("sdxl-turbo", sets), home)


def only(ctx: Context) -> Finding:
    (finding,) = check_workflow(ctx)
    return finding


def test_it_is_saved_where_the_page_lists_it(tmp_path: Path) -> None:
    ctx = context(tmp_path)
    missing = only(ctx)
    assert (missing.id, missing.verdict) == ("workflow-missing", Verdict.FIXABLE)
    apply_workflow(ctx, missing)
    path = ctx.home.comfyui / "user" / "default" / "workflows" / "SDXL-Turbo 1.0.json"
    assert path == workflow_path(ctx)
    assert json.loads(path.read_text())["version"] == 0.4
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]
    ready = only(ctx)
    assert (ready.id, ready.verdict) == ("workflow-ready", Verdict.OK)


def test_ours_follows_the_manifest(tmp_path: Path) -> None:
    apply_workflow(context(tmp_path), only(context(tmp_path)))
    changed = context(tmp_path, "first_image.steps=4")
    old = only(changed)
    assert (old.id, old.verdict) == ("workflow-old", Verdict.FIXABLE)
    apply_workflow(changed, old)
    assert only(changed).id == "workflow-ready"
    assert "4, 1.0" in workflow_path(changed).read_text().replace("\n", "").replace("   ", "")


def test_a_persons_edit_stays(tmp_path: Path) -> None:
    ctx = context(tmp_path)
    apply_workflow(ctx, only(ctx))
    path = workflow_path(ctx)
    edited = json.loads(path.read_text())
    edited["nodes"][1]["widgets_values"] = ["a blue fox"]
    path.write_text(json.dumps(edited))
    for seen in (only(ctx), only(context(tmp_path, "first_image.steps=4"))):
        assert (seen.id, seen.verdict) == ("workflow-yours", Verdict.OK)
        assert "edited by you" in seen.says


def test_another_layout_of_the_same_content_is_no_edit(tmp_path: Path) -> None:
    ctx = context(tmp_path)
    apply_workflow(ctx, only(ctx))
    path = workflow_path(ctx)
    path.write_text(json.dumps(json.loads(path.read_text()), indent=None))
    assert only(ctx).id == "workflow-ready"


def test_a_file_that_was_there_before_us_is_a_persons(tmp_path: Path) -> None:
    ctx = context(tmp_path)
    workflow_path(ctx).parent.mkdir(parents=True)
    workflow_path(ctx).write_text("not even JSON")
    assert only(ctx).id == "workflow-yours"


def test_a_kill_between_receipt_and_file_leaves_the_old_one_ours(tmp_path: Path) -> None:
    ctx = context(tmp_path)
    apply_workflow(ctx, only(ctx))
    path, before = workflow_path(ctx), workflow_path(ctx).read_text()
    changed = context(tmp_path, "first_image.steps=4")
    apply_workflow(changed, only(changed))
    path.write_text(before)
    assert only(changed).id == "workflow-old"


def test_the_step_waits_for_comfyui() -> None:
    assert WORKFLOW.needs == ("comfyui",)
