"""The comfyui step where there is no git: brought as an archive, repaired, moved, nothing of a person's lost."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from provision.comfyui.source_tree import NAME
from provision.core.finding import Verdict
from provision.core.lockfile import LockedEngine
from provision.core.patience import Patience
from provision.core.receipt_kinds import ComfyReceipt
from provision.core.runner import run, run_step
from provision.core.step import Context, Step
from provision.rehearsal.engine_repo import EngineRepo, make_engine_repo
from provision.steps.comfyui.step import COMFYUI
from provision.steps.lock.step import describe
from provision.steps.tools.git import lost_git
from provision.steps.tools.step import apply_tools, check_tools
from provision.system.local_machine import LocalMachine
from provision.system.machine import Ran
from tests.support.fake_machine import FakeMachine
from tests.support.hub import Hub
from tests.support.paths import FACTS

Make = Callable[..., Context]


@pytest.fixture(scope="module")
def repo(tmp_path_factory: pytest.TempPathFactory) -> EngineRepo:
    return make_engine_repo(tmp_path_factory.mktemp("root") / "git/Comfy-Org/ComfyUI.git")


@pytest.fixture
def hub(repo: EngineRepo) -> Iterator[Hub]:
    with Hub(repo.path.parents[2]) as served:
        yield served


At = Callable[[str], Context]


@pytest.fixture
def at(context: Make, hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> At:
    """A context for a revision, on a machine without git."""
    monkeypatch.setattr("provision.system.local_machine.EXTRA_PATH", ())
    machine = LocalMachine({"PATH": str(tmp_path / "no programs")})

    def make(ref: str) -> Context:
        made = context(f"comfyui.url={hub.url}/Comfy-Org/ComfyUI", f"comfyui.ref={ref}", machine=machine)
        return replace(made, patience=Patience(0, 0, 0, 0))

    return make


def bring(ctx: Context) -> None:
    report = run_step(COMFYUI, ctx, apply=True)
    assert report.satisfied, report


def seen(ctx: Context) -> list[tuple[str, Verdict]]:
    return [(finding.id, finding.verdict) for finding in COMFYUI.check(ctx)]


def receipt(ctx: Context) -> ComfyReceipt:
    return ctx.receipts.read("comfyui", ComfyReceipt)


def version(ctx: Context) -> str:
    return (ctx.home.comfyui / "comfyui_version.py").read_text(encoding="utf-8").split('"')[1]


READY = [("comfyui-ready", Verdict.OK)]


@pytest.mark.parametrize(("ref", "name", "has"), [("latest", "v0.38.1", "0.38.1"), ("v0.3.64", "v0.3.64", "0.3.64")])
def test_without_git_it_comes_as_an_archive(at: At, ref: str, name: str, has: str) -> None:
    ctx = at(ref)
    (found,) = COMFYUI.check(ctx)
    assert found.fix is not None
    assert "archive" in found.fix.says
    bring(ctx)
    assert (receipt(ctx).name, receipt(ctx).source, version(ctx)) == (name, "archive", has)
    assert not (ctx.home.comfyui / ".git").exists()
    assert sorted(path.name for path in ctx.home.state.iterdir() if "comfyui" in path.name) == [
        "comfyui-archives",
        NAME,
    ]
    assert seen(ctx) == READY
    assert not run_step(COMFYUI, ctx, apply=True).changed


def test_it_has_the_commit_date_and_tree_that_git_would_have_brought(at: At, context: Make) -> None:
    bring(ctx := at("latest"))
    here = receipt(ctx)
    shutil.rmtree(ctx.home.comfyui)
    ctx.receipts.drop("comfyui")
    bring(by_git := context(f"comfyui.url={ctx.manifest.comfyui.url}"))
    assert (by_git.home.comfyui / ".git").is_dir()
    for one in ("name", "commit", "tree"):
        assert getattr(receipt(by_git), one) == getattr(here, one)
    assert receipt(by_git).date.startswith(here.date[:19])


def test_what_was_deleted_comes_again_and_what_was_changed_stays(at: At) -> None:
    bring(ctx := at("latest"))
    (ctx.home.comfyui / "nodes.py").write_text("mine\n", encoding="utf-8")
    assert seen(ctx) == [*READY, ("git-dirty", Verdict.WARN)]
    (ctx.home.comfyui / "server.py").unlink()
    assert seen(ctx) == [("clone-partial", Verdict.FIXABLE)]
    assert run_step(COMFYUI, ctx, apply=True).mended == ("clone-partial",)
    assert (ctx.home.comfyui / "server.py").is_file()
    assert (ctx.home.comfyui / "nodes.py").read_text(encoding="utf-8") == "mine\n"
    assert seen(ctx) == [*READY, ("git-dirty", Verdict.WARN)]


@pytest.mark.parametrize("ref", ["v0.38.0", "master"])
def test_another_revision_takes_its_place_and_an_edit_is_moved_aside(at: At, ref: str) -> None:
    bring(ctx := at("latest"))
    (ctx.home.comfyui / "README.md").write_text("mine\n", encoding="utf-8")
    (ctx.home.comfyui / "models/checkpoints/own.safetensors").write_text("a model", encoding="utf-8")
    bring(other := at(ref))
    assert receipt(other).name == ref
    assert seen(other) == READY
    (kept,) = other.home.aside.iterdir()
    assert kept.read_text(encoding="utf-8") == "mine\n"
    assert (ctx.home.comfyui / "models/checkpoints/own.safetensors").is_file()


def test_the_commit_that_is_here_is_recorded_and_nothing_is_downloaded(at: At, hub: Hub) -> None:
    bring(ctx := at("v0.38.0"))
    asked = len(hub.requests)
    assert seen(at(receipt(ctx).commit)) == [("comfyui-moved", Verdict.FIXABLE)]
    bring(at(receipt(ctx).commit))
    assert len(hub.requests) == asked


def test_git_that_comes_later_changes_nothing(at: At, context: Make) -> None:
    bring(ctx := at("latest"))
    with_git = context(f"comfyui.url={ctx.manifest.comfyui.url}")
    assert seen(with_git) == READY
    (ctx.home.comfyui / "server.py").unlink()
    bring(with_git)
    assert receipt(with_git).source == "archive"
    bring(context(f"comfyui.url={ctx.manifest.comfyui.url}", "comfyui.ref=v0.38.0"))
    assert (version(ctx), (ctx.home.comfyui / ".git").exists()) == ("0.38.0", False)


def test_the_files_of_a_person_that_were_there_first_stay(at: At) -> None:
    ctx = at("latest")
    ctx.home.comfyui.mkdir(parents=True)
    (ctx.home.comfyui / "main.py").write_text("mine\n", encoding="utf-8")
    bring(ctx)
    assert (ctx.home.comfyui / "main.py").read_text(encoding="utf-8") == "mine\n"
    assert seen(ctx) == [*READY, ("git-dirty", Verdict.WARN)]


def test_a_list_that_was_lost_is_made_again(at: At) -> None:
    bring(ctx := at("latest"))
    (ctx.home.comfyui / "nodes.py").write_text("mine\n", encoding="utf-8")
    (ctx.home.state / NAME).write_text("{}", encoding="utf-8")
    assert seen(ctx) == [("clone-partial", Verdict.FIXABLE)]
    bring(ctx)
    assert seen(ctx) == [*READY, ("git-dirty", Verdict.WARN)]


def test_another_content_of_the_same_commit_is_refused(at: At) -> None:
    bring(ctx := at("latest"))
    state = ctx.home.state / "receipts" / "comfyui.json"
    told = json.loads(state.read_text(encoding="utf-8"))
    state.write_text(json.dumps(told | {"tree": "0" * 40}), encoding="utf-8")
    (ctx.home.comfyui / "server.py").unlink()
    report = run_step(COMFYUI, ctx, apply=True)
    assert report.error is not None
    assert "has other content than when it was installed" in report.error.message
    assert not (ctx.home.comfyui / "server.py").exists()


def test_a_lock_has_the_tree_and_no_other_content_is_taken_for_it(at: At) -> None:
    bring(ctx := at("latest"))
    lock = describe(ctx)
    assert lock.comfyui.tree == receipt(ctx).tree != ""
    shutil.rmtree(ctx.home.comfyui)
    ctx.receipts.drop("comfyui")
    locked = at(lock.comfyui.commit)
    wrong = replace(lock, comfyui=LockedEngine(lock.comfyui.url, lock.comfyui.commit, (), "0" * 40))
    refused = run_step(COMFYUI, replace(locked, options=replace(locked.options, locked=wrong)), apply=True)
    assert refused.error is not None
    assert "is not what the lock has" in refused.error.message
    bring(replace(locked, options=replace(locked.options, locked=lock)))


def test_tools_say_that_git_is_not_there_and_not_needed(at: At) -> None:
    (found,) = check_tools(ctx := at("latest"))
    assert (found.id, found.verdict) == ("git-missing", Verdict.OK)
    assert "archive" in found.says
    for needs in (at("latest"), replace(ctx, options=replace(ctx.options, backend="git-lfs"))):
        (needs.home.comfyui / ".git").mkdir(parents=True, exist_ok=True)
        assert next(iter(check_tools(needs))).verdict is Verdict.BLOCKED
        (needs.home.comfyui / ".git").rmdir()


# -- a checkout whose git was lost ----------------------------------------------------------------------------------


def recorded(name: str) -> Ran:
    file, _, record = name.partition("/")
    told = json.loads((FACTS / f"{file}.json").read_text(encoding="utf-8"))
    found = next(each for each in told if each["name"] == record)
    return Ran(tuple(found["command"]), found["code"], found["out"], found["err"])


CLT = "/Library/Developer/CommandLineTools/usr/bin/xcrun"
LOST = {
    "clt-missing": ("missing", "git/missing", ()),
    "clt-stale": ("gone", "git/stale", ()),
    "xcode-license": ("xcode", "git/license", ("/Applications/Xcode.app/Contents/Developer/usr/bin/xcrun",)),
}
LICENSE = "/usr/bin/defaults read /Applications/Xcode.app/Contents/Resources/LicenseInfo licenseID"
AGREED = "/usr/bin/defaults read /Library/Preferences/com.apple.dt.Xcode IDELast{}LicenseAgreedTo"
NOT_AGREED = {LICENSE: "EA1881\n", AGREED.format("GM"): "EA1647\n", AGREED.format("Beta"): Ran((), 1)}


@pytest.mark.parametrize("id", LOST)
def test_a_home_that_lost_its_tools_says_which_and_runs_no_stub(
    id: str, context: Make, repo: EngineRepo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_git = context(f"comfyui.url={repo.path}")
    bring(with_git)
    tools, says, programs = LOST[id]
    (stub := tmp_path / "bin" / "git").parent.mkdir()
    (tmp_path / "said").write_text(recorded(says).err, encoding="utf-8")
    lines = ("#!/bin/sh", f'echo "$*" >>{tmp_path}/log', f"/bin/cat {tmp_path}/said >&2", f"exit {recorded(says).code}")
    stub.write_text("\n".join(lines), encoding="utf-8")
    stub.chmod(0o755)
    monkeypatch.setenv("PATH", str(stub.parent))
    answers = {"/usr/bin/xcode-select -p": recorded(f"xcode_select/{tools}"), "/usr/bin/git --version": recorded(says)}
    mac = FakeMachine({**answers, **NOT_AGREED}, programs={"git": "/usr/bin/git", **{name: name for name in programs}})
    ctx = replace(with_git, machine=mac)
    steps = (Step("tools", (), check_tools, apply_tools), COMFYUI)
    for apply in (False, True):
        report = run(steps, ctx, apply=apply)
        verdict = Verdict.BLOCKED if id == "xcode-license" else Verdict.FIXABLE
        assert next((each.id, each.verdict) for each in report.steps[0].findings) == (id, verdict)
        assert (report.steps[1].waits_for, report.steps[1].findings) == ("tools", ())
    alone = run((COMFYUI,), ctx, apply=False).steps[0]
    assert alone.error is not None
    assert "cannot be looked at" in alone.error.message
    lost = lost_git(ctx)
    assert lost is not None
    assert lost.id == id
    assert not [line for line in mac.ran if "git" in line]
    assert not (tmp_path / "log").exists()
