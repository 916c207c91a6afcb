"""The comfyui step on real local repositories: fetched, repaired, moved, nothing of a person's lost."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from provision.comfyui import git_remote
from provision.core.events import Event, Note
from provision.core.runner import run_step
from provision.core.step import Context
from provision.errors import GitError
from provision.steps.comfyui.step import COMFYUI
from tests.support.hints import said

Make = Callable[..., Context]
ENV = {
    **os.environ,
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_SYSTEM": "/dev/null",
    "GIT_AUTHOR_NAME": "a",
    "GIT_AUTHOR_EMAIL": "a@b",
    "GIT_COMMITTER_NAME": "a",
    "GIT_COMMITTER_EMAIL": "a@b",
    "GIT_AUTHOR_DATE": "2025-10-08T12:00:00+00:00",
    "GIT_COMMITTER_DATE": "2025-10-08T12:00:00+00:00",
}


def sh(folder: Path, *words: str) -> str:
    return subprocess.run(
        ["git", *words], cwd=folder, env=ENV, check=True, capture_output=True, text=True
    ).stdout.strip()


@pytest.fixture
def upstream(tmp_path: Path) -> Path:
    """A repository with three releases, another tag, and a commit after the last release."""
    folder = tmp_path / "upstream"
    folder.mkdir()
    sh(folder, "init", "-q", "-b", "master")
    (folder / ".gitignore").write_text("/models/*\n!/models/checkpoints\n", encoding="utf-8")
    for number, version in enumerate(("v0.3.64", "v0.38.0", "v0.38.1")):
        (folder / "main.py").write_text(f"print({version!r})\n", encoding="utf-8")
        (folder / "comfyui_version.py").write_text(f'__version__ = "{version[1:]}"\n', encoding="utf-8")
        (folder / "nodes.py").write_text("x = 1\n" * (number + 1), encoding="utf-8")
        sh(folder, "add", "-A")
        sh(folder, "commit", "-q", "-m", version)
        sh(folder, "tag", version)
    sh(folder, "tag", "v9-test")
    (folder / "main.py").write_text("print('tip')\n", encoding="utf-8")
    sh(folder, "commit", "-qam", "tip")
    return folder


def context_for(make: Make, upstream: Path, ref: str = "latest") -> Context:
    return make(f"comfyui.url={upstream}", f"comfyui.ref={ref}")


def ids(ctx: Context) -> list[str]:
    return [finding.id for finding in COMFYUI.check(ctx)]


def test_latest_is_the_newest_release_tag(context: Make, upstream: Path) -> None:
    ctx = context_for(context, upstream)
    report = run_step(COMFYUI, ctx, apply=True)
    assert report.satisfied, report
    assert (ctx.home.comfyui / "main.py").read_text() == "print('v0.38.1')\n"
    receipt = ctx.receipts.read("comfyui")
    assert receipt["name"] == "v0.38.1"
    assert receipt["commit"] == sh(upstream, "rev-parse", "v0.38.1")
    assert str(receipt["date"]).startswith("2025-10-08")
    assert sh(ctx.home.comfyui, "rev-list", "--count", "HEAD") == "1"  # no history was moved


def test_second_run_changes_nothing_and_says_why(context: Make, upstream: Path) -> None:
    ctx = context_for(context, upstream)
    run_step(COMFYUI, ctx, apply=True)
    upstream.rename(upstream.with_name("gone"))  # no network is needed
    report = run_step(COMFYUI, ctx, apply=True)
    assert not report.changed
    assert "ComfyUI v0.38.1" in report.findings[0].says


@pytest.mark.parametrize("ref", ["v0.3.64", "master"])
def test_tag_and_branch(context: Make, upstream: Path, ref: str) -> None:
    ctx = context_for(context, upstream, ref)
    assert run_step(COMFYUI, ctx, apply=True).satisfied
    assert sh(ctx.home.comfyui, "rev-parse", "HEAD") == sh(upstream, "rev-parse", ref)


def test_whole_commit(context: Make, upstream: Path) -> None:
    commit = sh(upstream, "rev-parse", "v0.38.0")
    sh(upstream, "config", "uploadpack.allowAnySHA1InWant", "true")
    ctx = context_for(context, upstream, commit)
    assert run_step(COMFYUI, ctx, apply=True).satisfied
    assert sh(ctx.home.comfyui, "rev-parse", "HEAD") == commit


def test_unknown_ref_is_one_sentence_with_a_hint(context: Make, upstream: Path) -> None:
    report = run_step(COMFYUI, context_for(context, upstream, "v7.7.7"), apply=True)
    assert report.error is not None
    assert "no tag or branch 'v7.7.7'" in report.error.message
    assert "--comfyui latest" in said(report.error.hint)


def test_short_commit_is_explained(upstream: Path) -> None:
    with pytest.raises(GitError, match="short commit"):
        git_remote.find_revision(str(upstream), sh(upstream, "rev-parse", "HEAD")[:8])


def test_remote_that_is_not_there(context: Make, tmp_path: Path) -> None:
    report = run_step(COMFYUI, context_for(context, tmp_path / "nowhere"), apply=True)
    assert report.error is not None
    assert "does not answer git" in report.error.message


def test_a_model_that_came_first_is_kept(context: Make, upstream: Path) -> None:
    ctx = context_for(context, upstream)
    model = ctx.home.comfyui / "models" / "checkpoints" / "x.safetensors"
    model.parent.mkdir(parents=True)
    model.write_bytes(b"weights")
    assert run_step(COMFYUI, ctx, apply=True).satisfied
    assert model.read_bytes() == b"weights"


def test_sources_without_git_are_adopted_and_changes_kept(context: Make, upstream: Path) -> None:
    ctx = context_for(context, upstream)
    ctx.home.comfyui.mkdir()
    (ctx.home.comfyui / "main.py").write_text("mine\n", encoding="utf-8")
    report = run_step(COMFYUI, ctx, apply=True)
    assert report.satisfied, report
    assert (ctx.home.comfyui / "main.py").read_text() == "mine\n"
    assert (ctx.home.comfyui / "nodes.py").exists()
    assert "git-dirty" in ids(ctx)


def test_deleted_files_come_back_and_changed_ones_stay(context: Make, upstream: Path) -> None:
    ctx = context_for(context, upstream)
    run_step(COMFYUI, ctx, apply=True)
    (ctx.home.comfyui / "nodes.py").unlink()
    (ctx.home.comfyui / "main.py").write_text("mine\n", encoding="utf-8")
    assert "clone-partial" in ids(ctx)
    assert run_step(COMFYUI, ctx, apply=True).satisfied
    assert (ctx.home.comfyui / "nodes.py").exists()
    assert (ctx.home.comfyui / "main.py").read_text() == "mine\n"


def test_a_folder_that_a_person_put_elsewhere_stays_a_link(context: Make, upstream: Path, tmp_path: Path) -> None:
    place = "models/checkpoints/put_checkpoints_here"
    (upstream / place).parent.mkdir(parents=True)
    (upstream / place).touch()
    sh(upstream, "add", "-A")
    sh(upstream, "commit", "-q", "-m", "v0.39.0")
    sh(upstream, "tag", "v0.39.0")
    ctx = context_for(context, upstream)
    assert run_step(COMFYUI, ctx, apply=True).satisfied
    models = ctx.home.comfyui / "models"
    (ctx.home.comfyui / place).unlink()
    assert ids(ctx) == ["comfyui-ready"]
    models.rename(tmp_path / "disk")
    models.symlink_to(tmp_path / "disk")
    assert ids(ctx) == ["comfyui-ready"]
    (ctx.home.comfyui / "main.py").unlink()
    assert run_step(COMFYUI, ctx, apply=True).satisfied
    assert (ctx.home.comfyui / "main.py").is_file()
    assert models.is_symlink()


def test_without_git_it_says_so(context: Make, upstream: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ctx = context_for(context, upstream)
    assert run_step(COMFYUI, ctx, apply=True).satisfied
    monkeypatch.setenv("PATH", "/nowhere")
    error = run_step(COMFYUI, ctx, apply=False).error
    assert error is not None
    assert error.message == "git is not installed."


def test_broken_repository_is_made_again_and_changes_stay(context: Make, upstream: Path, events: list[Event]) -> None:
    ctx = context_for(context, upstream)
    run_step(COMFYUI, ctx, apply=True)
    (ctx.home.comfyui / "main.py").write_text("mine\n", encoding="utf-8")
    (ctx.home.comfyui / "custom_nodes").mkdir()
    (ctx.home.comfyui / "custom_nodes" / "n.py").write_text("n\n", encoding="utf-8")
    for name in ("HEAD", "index"):
        (ctx.home.comfyui / ".git" / name).write_bytes(b"\0" * 50)
    assert ids(ctx) == ["clone-partial"]
    assert run_step(COMFYUI, ctx, apply=True).satisfied
    assert (ctx.home.comfyui / "main.py").read_text() == "mine\n"
    assert (ctx.home.comfyui / "custom_nodes" / "n.py").exists()
    assert any(ctx.home.aside.iterdir())
    assert any("moved to" in event.says for event in events if isinstance(event, Note))


def test_missing_objects_are_fetched_again(context: Make, upstream: Path) -> None:
    ctx = context_for(context, upstream)
    run_step(COMFYUI, ctx, apply=True)
    objects = ctx.home.comfyui / ".git" / "objects"
    for path in [*objects.rglob("*.pack"), *objects.glob("??/*")]:
        path.unlink()
    assert ids(ctx) == ["clone-partial"]
    assert run_step(COMFYUI, ctx, apply=True).satisfied


def test_checkout_that_was_killed_is_finished(context: Make, upstream: Path) -> None:
    ctx = context_for(context, upstream)
    run_step(COMFYUI, ctx, apply=True)
    (ctx.home.state / "checkout-unfinished").touch()
    (ctx.home.comfyui / "main.py").write_text("prin", encoding="utf-8")  # half written by the killed run
    assert ids(ctx) == ["clone-partial"]
    assert run_step(COMFYUI, ctx, apply=True).satisfied
    assert (ctx.home.comfyui / "main.py").read_text() == "print('v0.38.1')\n"


def test_fetch_that_was_killed_is_done_again(context: Make, upstream: Path) -> None:
    ctx = context_for(context, upstream)
    ctx.home.comfyui.mkdir()
    sh(ctx.home.comfyui, "init", "-q")
    assert ids(ctx) == ["clone-partial"]
    assert run_step(COMFYUI, ctx, apply=True).satisfied


def test_another_ref_keeps_local_changes_in_the_stash(context: Make, upstream: Path) -> None:
    ctx = context_for(context, upstream)
    run_step(COMFYUI, ctx, apply=True)
    (ctx.home.comfyui / "main.py").write_text("mine\n", encoding="utf-8")
    ctx = context_for(context, upstream, "v0.3.64")
    assert "comfyui-ref" in ids(ctx)
    assert run_step(COMFYUI, ctx, apply=True).satisfied
    assert (ctx.home.comfyui / "main.py").read_text() == "print('v0.3.64')\n"
    assert "mine" in sh(ctx.home.comfyui, "stash", "show", "-p")


def test_a_checkout_that_a_person_moved_is_taken_as_it_is(context: Make, upstream: Path) -> None:
    ctx = context_for(context, upstream)
    run_step(COMFYUI, ctx, apply=True)
    (ctx.home.comfyui / "main.py").write_text("committed\n", encoding="utf-8")
    sh(ctx.home.comfyui, "commit", "-qam", "mine")
    assert ids(ctx) == ["comfyui-moved"]
    upstream.rename(upstream.with_name("gone"))
    assert run_step(COMFYUI, ctx, apply=True).satisfied
    assert ctx.receipts.read("comfyui")["commit"] == sh(ctx.home.comfyui, "rev-parse", "HEAD")


def test_a_pinned_checkout_that_a_person_moved_goes_back_with_what_is_theirs(context: Make, upstream: Path) -> None:
    run_step(COMFYUI, context_for(context, upstream), apply=True)
    ctx = context_for(context, upstream, "v0.3.64")
    run_step(COMFYUI, ctx, apply=True)
    code, pinned = ctx.home.comfyui, ctx.receipts.read("comfyui")["commit"]
    sh(code, "checkout", "-q", "v0.38.1")
    (code / "own.py").write_text("committed\n", encoding="utf-8")
    sh(code, "add", "own.py")
    sh(code, "commit", "-qm", "mine")
    lost = sh(code, "rev-parse", "HEAD")
    (code / "main.py").write_text("mine\n", encoding="utf-8")
    upstream.rename(upstream.with_name("gone"))
    assert "comfyui-ref" in ids(ctx)
    assert run_step(COMFYUI, ctx, apply=True).satisfied
    assert (sh(code, "rev-parse", "HEAD"), ids(ctx)) == (pinned, ["comfyui-ready"])
    assert sh(code, "rev-parse", f"kept-{lost[:8]}") == lost
    (kept,) = ctx.home.aside.iterdir()
    assert "+mine" in kept.read_text(encoding="utf-8")


def test_stale_lock_is_removed(context: Make, upstream: Path) -> None:
    ctx = context_for(context, upstream)
    run_step(COMFYUI, ctx, apply=True)
    lock = ctx.home.comfyui / ".git" / "index.lock"
    lock.touch()
    os.utime(lock, (1, 1))
    assert ids(ctx) == ["git-lock"]
    assert run_step(COMFYUI, ctx, apply=True).satisfied
    assert not lock.exists()


def test_hostile_git_environment_is_ignored(context: Make, upstream: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_DIR", "/nowhere")
    monkeypatch.setenv("GIT_WORK_TREE", "/nowhere")
    ctx = context_for(context, upstream)
    assert run_step(COMFYUI, ctx, apply=True).satisfied


def test_releases_are_ordered_by_number_not_by_text() -> None:
    refs = {f"refs/tags/v0.{n}.0": str(n) for n in (3, 9, 38, 100)} | {"refs/heads/master": "m", "refs/tags/v999": "x"}
    assert git_remote.newest_release(refs).name == "v0.100.0"
    assert git_remote.newest_release({"refs/heads/main": "m"}).kind == "branch"
    with pytest.raises(GitError):
        git_remote.newest_release({})
