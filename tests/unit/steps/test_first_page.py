"""What makes ComfyUI's page begin with the workflow: written once, left alone where a person said so."""

from __future__ import annotations

import ast
import json
from dataclasses import replace
from pathlib import Path

from provision.core.finding import Finding, Verdict
from provision.core.home import Adopted, Home
from provision.core.manifest import load_manifest
from provision.core.step import Context
from provision.steps.workflow.first_page import FOLDER, OURS, apply_first_page, check_first_page, folder, wanted_files
from provision.steps.workflow.step import workflow_path
from tests.support.fake_machine import FakeMachine


def context(root: Path, *sets: str) -> Context:
    home = Home(root / "home")
    home.prepare()
    ctx = Context(FakeMachine(), load_manifest("sdxl-turbo", sets), home)
    workflow_path(ctx).parent.mkdir(parents=True, exist_ok=True)
    workflow_path(ctx).write_text("{}")
    return ctx


def only(ctx: Context) -> Finding:
    (finding,) = check_first_page(ctx)
    return finding


def test_it_is_a_custom_node_that_names_the_workflow_of_the_list(tmp_path: Path) -> None:
    ctx = context(tmp_path)
    assert (only(ctx).id, only(ctx).verdict) == ("page-chooser", Verdict.FIXABLE)
    apply_first_page(ctx, only(ctx))
    assert (only(ctx).id, only(ctx).verdict) == ("page-ready", Verdict.OK)
    told = ast.parse((folder(ctx) / "__init__.py").read_text()).body
    set_ = {ast.unparse(line.targets[0]): ast.literal_eval(line.value) for line in told if isinstance(line, ast.Assign)}
    assert set_ == {"WEB_DIRECTORY": "./web", "NODE_CLASS_MAPPINGS": {}}
    script = (folder(ctx) / "web" / "first_page.js").read_text()
    assert f"const path = {json.dumps('workflows/' + workflow_path(ctx).name)};" in script
    assert "%s" not in script


def test_a_title_cannot_become_a_script(tmp_path: Path) -> None:
    ctx = context(tmp_path, 'title="; alert(1); //')
    [line] = [
        line for line in wanted_files(ctx)[folder(ctx) / "web" / "first_page.js"].splitlines() if "const path" in line
    ]
    assert json.loads(line.removeprefix("const path = ").removesuffix(";")) == f"workflows/{workflow_path(ctx).name}"


def test_it_follows_the_name_of_the_workflow(tmp_path: Path) -> None:
    ctx = context(tmp_path)
    apply_first_page(ctx, only(ctx))
    other = context(tmp_path, "title=Another")
    assert only(other).id == "page-chooser"
    apply_first_page(other, only(other))
    assert only(other).id == "page-ready"
    assert not other.home.aside.exists()


def test_what_is_not_ours_is_moved_aside(tmp_path: Path) -> None:
    ctx = context(tmp_path)
    (mine := folder(ctx) / "__init__.py").parent.mkdir(parents=True)
    mine.write_text("mine = 1\n")
    apply_first_page(ctx, only(ctx))
    assert [path.read_text() for path in ctx.home.aside.iterdir()] == ["mine = 1\n"]
    assert all(OURS in text for text in wanted_files(ctx).values())


def test_a_person_can_turn_it_off_and_it_stays_off(tmp_path: Path) -> None:
    ctx = context(tmp_path)
    apply_first_page(ctx, only(ctx))
    folder(ctx).rename(folder(ctx).with_name(f"{FOLDER}.disabled"))
    assert (only(ctx).id, only(ctx).verdict) == ("page-yours", Verdict.OK)


def test_the_page_of_an_adopted_install_is_its_owners(tmp_path: Path) -> None:
    ctx = context(tmp_path)
    theirs = Adopted(base=tmp_path / "ComfyUI", code=tmp_path / "ComfyUI")
    assert list(check_first_page(replace(ctx, home=replace(ctx.home, adopted=theirs)))) == []


def test_the_workflow_comes_first(tmp_path: Path) -> None:
    ctx = context(tmp_path)
    workflow_path(ctx).unlink()
    assert list(check_first_page(ctx)) == []
