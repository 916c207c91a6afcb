"""An install that this tool did not make: `doctor` looks at it, `all` adopts it, and what its owner made stays."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.e2e.conftest import Ended, Tool
from tests.support.foreign_install import Tree, clone, conda, tree, unzipped, venv

NOBODY = "http://127.0.0.1:9"


def kept(before: Tree, after: Tree) -> list[str]:
    """The files that were there and are not as they were."""
    return [
        name for name, (mode, when, content) in before.items() if content and after.get(name) != (mode, when, content)
    ]


def outside_venv(found: Tree) -> Tree:
    return {name: entry for name, entry in found.items() if not name.startswith("venv")}


def ids(ended: Ended) -> set[str]:
    return {finding["id"] for step in ended.report["steps"] for finding in step["findings"]}


@pytest.fixture
def tool(tool: Tool) -> Tool:
    tool.environ |= {"HF_ENDPOINT": NOBODY, "UV_DEFAULT_INDEX": NOBODY, "NO_COLOR": "1"}
    return tool


def real_index(tool: Tool) -> Tool:
    """The same home, with packages from the index that the machine has configured."""
    return replace(tool, environ={name: value for name, value in tool.environ.items() if name == "UV_CACHE_DIR"})


def test_a_clone_with_changes_and_an_empty_environment(tool: Tool, tmp_path: Path) -> None:
    code = clone(tmp_path)
    venv(code / "venv")
    before = tree(code)
    looking = ("doctor", "--comfyui", str(tmp_path), "--set", f"torch.nightly_index={NOBODY}")
    unasked = tool.run(*looking)  # its Python is not run for a mere look
    assert unasked.code == 1
    assert unasked.step("python_env")["findings"][0]["id"] == "env-unasked"
    looked = tool.run(*looking, "--python", str(code / "venv"))
    assert looked.code == 1
    assert {"comfyui-adopted", "env-foreign", "torch-missing", "req-missing", "git-dirty"} <= ids(looked)
    assert looked.report["adopted"]["python"] == str(code / "venv" / "bin" / "python")
    assert tree(code) == before
    assert not tool.home.exists()

    made = real_index(tool)
    unasked = made.run("all", "--rehearse", "--comfyui", str(code))  # nobody is there to say yes
    assert (unasked.code, unasked.step("python_env")["verdict"]) == (1, "blocked")
    still = made.run("all", "--rehearse")  # what nobody agreed to is not remembered as agreed to
    assert (still.code, still.step("python_env")["verdict"]) == (1, "blocked")
    named = made.run("all", "--rehearse", "--python", str(code / "venv" / "bin" / "python"))  # it may run
    assert (named.code, named.step("torch")["verdict"]) == (1, "blocked")
    asked = made.run("all", "--rehearse")
    assert (asked.code, asked.step("torch")["verdict"]) == (1, "blocked")
    assert kept(before, tree(code)) == []

    done = made.run("all", "--rehearse", "--comfyui", str(code), "--yes")
    assert done.code == 0, (done.report, done.err)
    assert (made.home / "first-image.png").is_file()
    assert not (made.home / "venv").exists()
    assert not (made.home / "ComfyUI").exists()
    assert kept(outside_venv(before), tree(code)) == []

    again = made.run("all", "--rehearse")  # what was adopted is remembered
    assert (again.code, again.report["changed"]) == (0, False)
    assert again.report["rehearsal"]["hub_sent_bytes"] == 0
    assert again.report["adopted"]["base"] == str(code)
    status = made.text("status")
    assert status.returncode == 0
    assert "adopted from" in status.stdout
    assert made.run("all", "--rehearse", "--comfyui", "v0.3.64").code == 2

    (made.home / "moved-aside").mkdir()
    (made.home / "moved-aside" / "theirs").touch()
    gone = made.text("uninstall", "--yes")
    assert gone.returncode == 0
    assert f"The ComfyUI in {code} was not installed by provision and stays" in gone.stderr
    assert not made.home.exists()
    assert (made.home.with_name(f"{made.home.name}-kept") / "moved-aside" / "theirs").exists()
    assert kept(outside_venv(before), tree(code)) == []
    assert list((code / "models" / "checkpoints").glob("*.safetensors"))


def test_a_zip_and_condas_environment(tool: Tool, tmp_path: Path) -> None:
    code, prefix = unzipped(tmp_path / "ComfyUI-master"), conda(tmp_path / "envs" / "comfy")
    before = tree(code), tree(prefix)
    made = real_index(tool)
    done = made.run("all", "--rehearse", "--comfyui", str(code), "--python", str(prefix))
    assert done.code == 0, (done.report, done.err)
    assert {"comfyui-no-git", "comfyui-adopted", "venv-ready"} <= ids(done)
    assert (made.home / "venv").is_dir()
    assert (kept(before[0], tree(code)), tree(prefix)) == ([], before[1])


def test_what_cannot_be_adopted_is_said(tool: Tool, tmp_path: Path) -> None:
    one, other = unzipped(tmp_path / "one"), unzipped(tmp_path / "other")
    ended = tool.run("doctor", "--comfyui", str(tmp_path))
    assert (ended.code, ended.report["error"]["code"]) == (2, "usage")
    assert str(one) in ended.report["error"]["message"]
    (other / "comfy").mkdir()
    assert "a rehearsal must not change it" in tool.text("all", "--rehearse", "--comfyui", str(other)).stderr
    assert not tool.home.exists()
