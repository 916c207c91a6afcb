"""A person's configuration of git may lead to a server; it breaks nothing, asks nobody, is named where it misleads."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from provision.comfyui import git_checkout, git_remote
from provision.comfyui.git_remote import find_revision
from provision.comfyui.git_ways import NO_QUESTIONS, without_questions
from provision.core.step import Context
from provision.errors import GitError
from provision.steps.tools.git_configuration import check_configuration
from tests.support.hints import said
from tests.support.hostile_git import git, make_checkout

Contexts = Callable[..., Context]
DEAD = "http://127.0.0.1:9/"


@pytest.fixture
def upstream(tmp_path: Path) -> Path:
    return make_checkout(tmp_path / "upstream")


def configure(*lines: str) -> None:
    """Write the person's ~/.gitconfig."""
    (Path.home() / ".gitconfig").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def bring(upstream: Path, folder: Path) -> str:
    """Fetch the newest release of a repository and check it out; returns its commit."""
    url = f"file://{upstream}"
    revision = find_revision(url, "latest")
    commit = git_checkout.fetch(folder, url, revision, lambda line: None)
    git_checkout.place(folder, commit, revision, ours=True)
    return commit


def test_what_a_person_has_for_other_work_touches_no_checkout(upstream: Path, tmp_path: Path) -> None:
    canary, hooks, template = tmp_path / "canary", tmp_path / "hooks", tmp_path / "template" / "hooks"
    program = f"#!/bin/sh\ntouch {canary}\nexit 2\n"
    for folder in (hooks, template):
        folder.mkdir(parents=True)
        for name in ("post-checkout", "reference-transaction", "post-index-change"):
            (folder / name).write_text(program, encoding="utf-8")
            (folder / name).chmod(0o755)
    (attributes := tmp_path / "attributes").write_text("* filter=mine eol=crlf\n", encoding="utf-8")
    configure(
        f"[core]\nhooksPath = {hooks}\nattributesFile = {attributes}\nautocrlf = true\nfsmonitor = touch {canary}",
        f'[filter "mine"]\nsmudge = touch {canary}\nprocess = touch {canary}\nrequired = true',
        f"[init]\ntemplateDir = {template.parent}\ndefaultObjectFormat = sha256\ndefaultRefFormat = reftable",
        f"[credential]\nhelper = !touch {canary}",
        "[fetch]\nfsckObjects = true\nrecurseSubmodules = on-demand\n[transfer]\nfsckObjects = true",
        "[safe]\nbareRepository = explicit\n[color]\nui = always\n[protocol]\nallow = never",
    )
    commit = bring(upstream, tmp_path / "ComfyUI")
    assert commit == git(upstream, "rev-parse", "v0.38.1").strip()
    assert (tmp_path / "ComfyUI" / "main.py").read_bytes() == (upstream / "main.py").read_bytes()
    assert git_checkout.read_state(tmp_path / "ComfyUI").modified == ()
    assert not canary.exists()


def test_a_mirror_that_is_dead_is_done_without(upstream: Path, tmp_path: Path) -> None:
    configure(f'[url "{DEAD}"]\ninsteadOf = file://{tmp_path}/')
    assert bring(upstream, tmp_path / "ComfyUI") == git(upstream, "rev-parse", "v0.38.1").strip()


def test_a_configuration_that_git_cannot_read_is_done_without_and_named(
    upstream: Path, tmp_path: Path, context: Contexts
) -> None:
    configure("[user")
    assert bring(upstream, tmp_path / "ComfyUI") == git(upstream, "rev-parse", "v0.38.1").strip()
    (finding,) = check_configuration(context())
    place = str(Path.home() / ".gitconfig")
    assert (finding.id, finding.subject) == ("git-config", place)
    assert "bad config line 1" in finding.says
    assert f"mv {place} {place}.broken" in said(finding.fix)
    configure("[user]\nname = me")
    assert list(check_configuration(context())) == []


@pytest.mark.parametrize(
    ("lines", "key"),
    [
        ((f'[url "{DEAD}"]', "insteadOf = http://127.0.0.1:1/"), f"url.{DEAD}.insteadof"),
        ((f"[http]\nproxy = http://me:secret@{DEAD.removeprefix('http://')}",), "http.proxy"),
    ],
)
def test_a_setting_that_leads_nowhere_is_named_with_its_file(lines: tuple[str, ...], key: str) -> None:
    configure(*lines)
    with pytest.raises(GitError) as failed:
        find_revision("http://127.0.0.1:1/a/b", "latest")
    place = Path.home() / ".gitconfig"
    assert f"{place} sets {key} to " in failed.value.message
    assert "secret" not in failed.value.message
    assert f"git config --file {place} --unset-all {key}" in said(failed.value.hint)


def test_an_ssh_that_waits_is_ended_and_done_without(
    upstream: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It asks for a passphrase, or for a host's key; on the way to a mirror that the person's git prefers."""
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "ssh").write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/asked\nexec sleep 600\n', encoding="utf-8")
    (programs / "ssh").chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(git_remote, "ASK_S", 0.5)
    configure(f'[url "ssh://git@127.0.0.1/"]\ninsteadOf = file://{tmp_path}/')
    assert find_revision(f"file://{upstream}", "latest").name == "v0.38.1"
    assert (tmp_path / "asked").read_text(encoding="utf-8").startswith(NO_QUESTIONS)


def test_a_fetch_that_says_nothing_is_ended(upstream: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    revision = find_revision(f"file://{upstream}", "latest")
    program = tmp_path / "bin" / "git"
    program.parent.mkdir()
    real = shutil.which("git")
    program.write_text(
        f"#!{sys.executable}\nimport os, sys, time\n"
        f"time.sleep(600) if 'fetch' in sys.argv else os.execv({real!r}, [{real!r}, *sys.argv[1:]])\n",
        encoding="utf-8",
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(git_remote, "SILENCE_S", 0.5)
    with pytest.raises(GitError, match="git was silent for"):
        git_checkout.fetch(tmp_path / "ComfyUI", f"file://{upstream}", revision, lambda line: None)


@pytest.mark.parametrize(
    ("asked", "made"),
    [
        ("ssh", f"ssh {NO_QUESTIONS}"),
        ("/usr/bin/ssh -i ~/.ssh/work -o BatchMode=no", f"/usr/bin/ssh {NO_QUESTIONS} -i ~/.ssh/work -o BatchMode=no"),
        ("plink -batch", "plink -batch"),
        ("sshpass -f word ssh", "sshpass -f word ssh"),
    ],
)
def test_no_ssh_asks(asked: str, made: str) -> None:
    assert without_questions(asked) == made
