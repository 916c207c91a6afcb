"""A checkout that belongs to another user: git refuses it, and so do we, in words, unless the person allows it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from provision.comfyui.git_checkout import stranger
from provision.command import program
from provision.core.finding import Verdict
from provision.core.home import Adopted, Home
from provision.core.step import Context
from provision.steps.comfyui.step import COMFYUI
from provision.system.local_machine import LocalMachine
from tests.support.hostile_git import git, make_checkout

OTHER = 12_345
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")


@pytest.fixture
def code(tmp_path: Path) -> Path:
    """As of another user: the folder and the repository."""
    made = make_checkout(tmp_path / "ComfyUI")
    for path in (made, made / ".git"):
        os.chown(path, OTHER, OTHER)
    return made


def allow(*values: str) -> None:
    for value in values:
        git(Path("/"), "config", "--file", str(Path.home() / ".gitconfig"), "--add", "safe.directory", value)


@needs_root
def test_git_itself_refuses_it_and_reads_no_allowance_of_the_repository(code: Path) -> None:
    git(code, "config", "--file", str(code / ".git" / "config"), "safe.directory", "*")
    with pytest.raises(subprocess.CalledProcessError) as refused:
        git(code, "status")
    assert "dubious ownership" in refused.value.stderr
    assert stranger(code, os.environ) == OTHER


@needs_root
@pytest.mark.parametrize("part", ["", ".git"])
def test_each_part_counts(tmp_path: Path, part: str) -> None:
    code = make_checkout(tmp_path / "ComfyUI")
    assert stranger(code, os.environ) is None
    os.chown(code / part, OTHER, OTHER)
    assert stranger(code, os.environ) == OTHER


@needs_root
def test_what_the_person_allows_is_read(code: Path) -> None:
    for values, allowed in (
        (("/elsewhere",), False),
        ((str(code),), True),
        (("",), False),
        (("*",), True),
        (("",), False),
        ((f"{code.parent}/*",), True),
        (("", f"{code.parent}"), False),
        (("~/ComfyUI",), False),
    ):
        allow(*values)
        assert (stranger(code, os.environ) is None) == allowed, values


@needs_root
def test_the_user_who_called_sudo_counts(code: Path) -> None:
    assert stranger(code, {**os.environ, "SUDO_UID": str(OTHER)}) is None
    assert stranger(code, {**os.environ, "SUDO_UID": "4"}) == OTHER
    assert stranger(code, {**os.environ, "SUDO_UID": "x"}) == OTHER


@needs_root
def test_an_adopted_one_is_a_warning_with_what_to_type(context: Callable[..., Context], code: Path) -> None:
    ctx = replace(context(machine=LocalMachine()), home=Home(code.parent / "home", Adopted(code, code)))
    (owner, adopted) = COMFYUI.check(ctx)
    assert (owner.id, owner.verdict, adopted.id) == ("git-owner", Verdict.WARN, "comfyui-adopted")
    assert f"belongs to user {OTHER}" in owner.says
    assert owner.fix is not None
    assert owner.fix.command == program("git", "config", "--global", "--add", "safe.directory", str(code))
    allow(str(code))
    assert [finding.id for finding in COMFYUI.check(ctx)] == ["comfyui-adopted"]


@needs_root
def test_one_of_ours_is_a_fault_of_its_owner(context: Callable[..., Context], tmp_path: Path) -> None:
    ctx = context()
    make_checkout(ctx.home.comfyui)
    os.chown(ctx.home.comfyui / ".git", OTHER, OTHER)
    (found,) = COMFYUI.check(ctx)
    assert (found.id, found.verdict) == ("git-owner", Verdict.BLOCKED)
    assert found.fix is not None
    assert found.fix.command.argv[:3] == ("sudo", "chown", "-R")
