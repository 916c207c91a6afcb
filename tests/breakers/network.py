"""Breakers of the network, of the shell's variables, of permissions, and of the programs that are there."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.breakers.breaker import Breaker, breaks
from tests.breakers.patient import Patient

NETWORK, SHELL, PROGRAMS, WORKFLOW = "checkpoint network torch", "shell", "programs", "workflow"
PROCESS = "process"
"""What the doctor is run in: here, with what a breaker put in its way, or as a process of its own."""
NOBODY = "http://127.0.0.1:1"
"""A port at which nobody listens."""


@breaks("net-down", NETWORK, "ckpt-missing")
def cut_the_line(at: Patient) -> None:
    """The model is gone, and the hub does not answer."""
    at.checkpoint.unlink()
    at.environ["HF_ENDPOINT"] = NOBODY


@breaks("hf-offline", SHELL)
def work_offline(at: Patient) -> None:
    """HF_HUB_OFFLINE is set."""
    at.environ["HF_HUB_OFFLINE"] = "1"


@breaks("env-leak", SHELL)
def set_hostile_variables(at: Patient) -> None:
    """Variables steer Python, git, torch and the linker astray."""
    at.environ |= {
        "PYTHONPATH": "/nowhere",
        "PYTHONHOME": "/nowhere",
        "GIT_DIR": "/nowhere",
        "CONDA_PREFIX": "/nowhere",
        "PYTORCH_MPS_HIGH_WATERMARK_RATIO": "1.2",
        "DYLD_LIBRARY_PATH": "/nowhere",
        "VIRTUAL_ENV": "/nowhere",
    }


@breaks("uv-config", SHELL)
def spoil_uvs_settings(at: Patient) -> None:
    """uv's own file of settings is no TOML."""
    folder = at.home.root.parent / "settings"
    (folder / "uv").mkdir(parents=True)
    (folder / "uv" / "uv.toml").write_text("exclude-newer = today", encoding="utf-8")
    at.later.callback(shutil.rmtree, folder)
    at.environ["XDG_CONFIG_HOME"] = str(folder)


@breaks("git-config", SHELL)
def spoil_gits_settings(at: Patient) -> None:
    """The person's configuration of git has a line that is none."""
    (broken := at.home.root.parent / "gitconfig").write_text("[user\n", encoding="utf-8")
    at.later.callback(broken.unlink)
    at.environ["GIT_CONFIG_GLOBAL"] = str(broken)


def _programs(at: Patient) -> Path:
    """An empty folder that is all of PATH; the doctor is then a process of its own."""
    folder = at.home.root.parent / "programs"
    folder.mkdir()
    at.later.callback(shutil.rmtree, folder)
    at.apart = {"PATH": str(folder)}
    return folder


@breaks("git-missing", PROGRAMS, kept="on Linux the person's package manager brings git")
def remove_git(at: Patient) -> None:
    """There is no git on PATH."""
    _programs(at)


@breaks("git-old", PROGRAMS, kept="on Linux the person's package manager brings git")
def keep_an_old_git(at: Patient) -> None:
    """Git is 1.8.3.1."""
    program = _programs(at) / "git"
    real = shutil.which("git")
    program.write_text(f'#!/bin/sh\n[ "$1" = --version ] && echo git version 1.8.3.1 || exec "{real}" "$@"\n', "utf-8")
    program.chmod(0o755)


@breaks("ckpt-unreadable", f"checkpoint {PROCESS}")
def forbid_reading(at: Patient) -> None:
    """The file may be read by nobody."""
    at.checkpoint.chmod(0)
    at.apart = {}


@breaks("perms-root", f"folders {PROCESS}")
def forbid_writing(at: Patient) -> None:
    """Nobody may write into the folder of pictures."""
    (at.comfyui / "output").chmod(0o500)
    at.apart = {}


@breaks("workflow-missing", WORKFLOW)
def delete_the_workflow(at: Patient) -> None:
    """The workflow is deleted."""
    _workflow(at).unlink()


@breaks("workflow-old", WORKFLOW)
def keep_an_old_workflow(at: Patient) -> None:
    """The manifest's settings have changed since it was written."""
    from provision.steps.workflow.step import read_digest

    path = _workflow(at)
    path.write_text('{"nodes": []}', encoding="utf-8")
    at.receipt("workflow", digest=read_digest(path))


@breaks("page-chooser", "page")
def delete_the_first_page(at: Patient) -> None:
    """The custom node that opens the workflow is deleted."""
    shutil.rmtree(at.comfyui / "custom_nodes" / "provision_first_page")


def _workflow(at: Patient) -> Path:
    from provision.steps.workflow.step import workflow_path

    return workflow_path(at.ctx)


BREAKERS = [value for value in list(vars().values()) if isinstance(value, Breaker)]
