"""No look at a repository, no change in it and no question to a server runs what its configuration names.

Each vector proves itself: plain git falls for it.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from provision.comfyui import git_checkout
from provision.comfyui.git_remote import Revision, find_revision, read_remote_file
from provision.errors import GitError
from tests.support.hostile_git import VECTORS, Trap, Vector, git, make_checkout, trap

RELEASE = Revision("v0.39.0", "tag", None)
each_vector = pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector.name)


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_checkout(tmp_path_factory.mktemp("clean") / "ComfyUI")


@pytest.fixture(scope="module")
def upstream(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with a release more."""
    folder = tmp_path_factory.mktemp("remote") / "upstream"
    shutil.copytree(checkout, folder)
    (folder / "main.py").write_text("newer\n", encoding="utf-8")
    git(folder, "commit", "-qam", "newer")
    git(folder, "tag", "v0.39.0")
    return folder


@pytest.fixture
def at(checkout: Path, tmp_path: Path) -> Iterator[Trap]:
    shutil.copytree(checkout, tmp_path / "ComfyUI")
    with trap(tmp_path / "trap", tmp_path / "ComfyUI") as laid:
        yield laid


@each_vector
def test_plain_git_falls_for_it(at: Trap, vector: Vector) -> None:
    vector.lay(at)
    places = {"LOGIN": at.login, "OTHER": str(at.program.with_name("other"))}
    git(at.folder, *(places.get(word, word) for word in vector.proof), check=False)
    assert at.ran


@each_vector
def test_ours_does_not(at: Trap, vector: Vector, upstream: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    vector.lay(at)
    at.canary.unlink(missing_ok=True)
    monkeypatch.chdir(at.folder)
    look(at, vector)
    assert not at.ran, at.canary.read_text()
    ask(at, upstream)
    assert not at.ran, at.canary.read_text()
    change(at, vector, upstream)
    assert not at.ran, at.canary.read_text()


def look(at: Trap, vector: Vector) -> None:
    state = git_checkout.read_state(at.folder)
    assert (state.head is not None) == vector.keeps_tree, state
    assert git_checkout.has_commit_of(at.folder, "v0.38.1")
    assert git_checkout.commit_date(at.folder, "HEAD").startswith("20")
    git_checkout.is_broken(at.folder)
    git_checkout.find_locks(at.folder)
    assert git_checkout.stranger(at.folder, os.environ) is None


def ask(at: Trap, upstream: Path) -> None:
    """From that folder."""
    assert find_revision(str(upstream), "latest").name == RELEASE.name
    assert "0.38.1" in read_remote_file(f"file://{upstream}", "v0.38.1", "comfyui_version.py").text
    with pytest.raises(GitError):
        find_revision(at.login, "latest")


def change(at: Trap, vector: Vector, upstream: Path) -> None:
    (at.folder / "nodes.py").unlink()
    (at.folder / "main.py").write_text("mine\n", encoding="utf-8")
    if vector.keeps_tree:
        git_checkout.restore(at.folder)
        assert (at.folder / "nodes.py").is_file()
        git_checkout.stash(at.folder, "mine")
    else:  # as the step does with one that is broken
        at.git_dir.rename(at.folder / "broken.git")
    commit = git_checkout.fetch(at.folder, str(upstream), RELEASE, lambda line: None)
    git_checkout.place(at.folder, commit, RELEASE, ours=False)
    there = "newer\n" if vector.keeps_tree else "mine\n"
    assert (at.folder / "main.py").read_text(encoding="utf-8") == there
    assert git_checkout.read_state(at.folder).head == commit
    (git_checkout.git_dir(at.folder) / "index").write_bytes(b"")
    assert git_checkout.renew_index(at.folder)


def test_a_repository_further_up_is_none_of_ours(at: Trap) -> None:
    """As where somebody's home lies in a work tree, and the checkout has lost its `.git`."""
    at.config("core.fsmonitor")
    inner = make_checkout(at.folder / "inner" / "ComfyUI")
    shutil.rmtree(inner / ".git")
    git(inner, "status")
    assert at.ran
    at.canary.unlink()
    state = git_checkout.read_state(inner)
    assert (state.head, state.trouble) == (None, "not a git repository: HEAD is missing")
    assert git_checkout.has_commit_of(inner, "v0.38.1") is None
    assert not at.ran


def test_a_bare_repository_in_the_current_folder_is_not_read(
    at: Trap, upstream: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at.config("protocol.ext.allow", "always")
    at.config("core.bare", "true")
    at.config(f"url.ext::{at.program} %S .insteadOf", "/")
    bare = at.folder.with_name("bare")
    at.git_dir.rename(bare)
    git(bare, "ls-remote", str(upstream), check=False)
    assert at.ran
    at.canary.unlink()
    monkeypatch.chdir(bare)
    assert find_revision(str(upstream), "latest").name == RELEASE.name
    assert not at.ran


def test_another_work_tree_that_its_configuration_names_is_not_looked_at(at: Trap, tmp_path: Path) -> None:
    (tmp_path / "secret").mkdir()
    at.config("core.worktree", str(tmp_path / "secret"))
    state = git_checkout.read_state(at.folder)
    assert (state.deleted, state.modified) == ((), ())


def test_a_log_that_is_a_link_is_not_written_through(at: Trap, upstream: Path, tmp_path: Path) -> None:
    """Git adds a line to `logs/HEAD` with each checkout; it may be a link to a person's file."""
    victim = tmp_path / "zshrc"
    victim.write_text("mine\n", encoding="utf-8")
    shutil.rmtree(at.git_dir / "logs", ignore_errors=True)
    (at.git_dir / "logs").mkdir()
    (at.git_dir / "logs" / "HEAD").symlink_to(victim)
    git(at.folder, "commit", "-q", "--allow-empty", "-m", "x")
    assert victim.read_text(encoding="utf-8") != "mine\n"
    victim.write_text("mine\n", encoding="utf-8")
    git_checkout.read_state(at.folder)
    with pytest.raises(GitError):
        git_checkout.stash(at.folder, "x")
    commit = git_checkout.fetch(at.folder, str(upstream), RELEASE, lambda line: None)
    with pytest.raises(GitError):
        git_checkout.place(at.folder, commit, RELEASE, ours=True)
    assert victim.read_text(encoding="utf-8") == "mine\n"


@pytest.mark.parametrize("name", ["GIT_CONFIG_PARAMETERS", "GIT_EXTERNAL_DIFF", "GIT_DIR", "GIT_INDEX_FILE"])
def test_the_callers_environment_does_not_steer_git(at: Trap, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    value = f"'core.fsmonitor={at.program}'" if name == "GIT_CONFIG_PARAMETERS" else str(at.program)
    monkeypatch.setenv(name, value)
    assert git_checkout.read_state(at.folder).head is not None
    assert not at.ran
