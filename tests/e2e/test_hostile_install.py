"""A ComfyUI of a stranger's, whose repository and environment are traps: commands that look at it run nothing of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.e2e.conftest import Tool
from tests.support.hostile_git import VECTORS, Trap, git, make_checkout, trap

APART = ("git_file", "common_dir", "signature", "pre_auto_gc", "alternate_refs")
"""Traps that would keep others from being laid; each is sprung alone in the tests of the checkout."""
NOBODY = "http://127.0.0.1:9"


@pytest.fixture
def at(tmp_path: Path) -> Iterator[Trap]:
    """A checkout with all traps that can stand together, and a Python that is one."""
    with trap(tmp_path / "trap", make_checkout(tmp_path / "ComfyUI")) as laid:
        for vector in VECTORS:
            if vector.keeps_tree and vector.name not in APART and "submodule" not in vector.name:
                with suppress(FileExistsError, FileNotFoundError):  # another trap has taken that place
                    vector.lay(laid)
        python = laid.folder / "venv" / "bin" / "python"
        python.parent.mkdir(parents=True)
        python.symlink_to(laid.program)
        (python.parent.parent / "pyvenv.cfg").write_text("version = 3.12.3\n", encoding="utf-8")
        yield laid


def test_looks_at_it_run_nothing(at: Trap, alone: Tool) -> None:
    tool = alone
    git(at.folder, "status", check=False)
    assert at.ran
    at.canary.unlink()
    tool.environ |= {"HF_ENDPOINT": NOBODY, "UV_DEFAULT_INDEX": NOBODY}
    there = ("--comfyui", str(at.folder), "--set", f"torch.nightly_index={NOBODY}")
    doctor = tool.run("doctor", *there)
    assert doctor.code == 1
    (python,) = doctor.step("python_env")["findings"]
    assert python["id"] == "env-unasked"
    assert "pyvenv.cfg says Python 3.12.3" in python["message"]
    assert "comfyui-adopted" in {finding["id"] for finding in doctor.step("comfyui")["findings"]}
    assert tool.run("doctor", "--deep", *there).code == 1
    plan = tool.run("plan", "--comfyui", str(at.folder), "--set", "comfyui.url=/nowhere/at/all")
    assert plan.code in (0, 1)
    assert not at.ran, at.canary.read_text()


def test_a_rehearsal_in_its_folder_runs_nothing(at: Trap, alone: Tool) -> None:
    tool = alone
    tool.folder = at.folder
    done = tool.run("all", "--rehearse")
    assert (done.code, at.ran) == (0, False), (done.report, done.err)
    for words in (("status",), ("plan", "--rehearse"), ("doctor",)):
        assert tool.run(*words).code == 0
    assert not at.ran, at.canary.read_text()
