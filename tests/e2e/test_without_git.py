"""A whole rehearsal where there is no git, as on a Mac out of its box: made, looked at, removed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.conftest import Tool


@pytest.fixture
def bare(tool: Tool, tmp_path: Path) -> Tool:
    """All programs of this machine but git."""
    (programs := tmp_path / "programs").mkdir()
    found = {path.name: path for folder in ("/usr/sbin", "/usr/bin", "/bin") for path in Path(folder).iterdir()}
    for name, path in found.items():
        if not name.startswith("git"):
            (programs / name).symlink_to(path)
    tool.environ["PATH"] = str(programs)
    return tool


def test_a_home_is_made_looked_at_and_removed_without_git(bare: Tool) -> None:
    made = bare.run("all", "--rehearse")
    assert made.code == 0, made.err
    tools = made.step("tools")["findings"][0]
    assert (tools["id"], tools["verdict"]) == ("git-missing", "ok")
    code = bare.home / "ComfyUI"
    assert not (code / ".git").exists()
    assert "tree = " in (bare.home / "provision.lock").read_text(encoding="utf-8")
    (code / "server.py").unlink()
    (code / "README.md").write_text("mine", encoding="utf-8")
    found = {each["id"] for step in bare.run("doctor").report["steps"] for each in step["findings"]}
    assert "clone-partial" in found
    assert not {"check-crashed", "clt-missing"} & found
    (code / "custom_nodes" / "own.py").write_text("own", encoding="utf-8")
    assert bare.run("stop").code == 0
    gone = bare.run("uninstall", "--yes")
    assert gone.code == 0, gone.err
    assert not bare.home.exists()
    left = bare.home.with_name(f"{bare.home.name}-kept")
    kept = {path.relative_to(left).as_posix().removesuffix(".1") for path in left.rglob("*") if path.is_file()}
    assert {"ComfyUI/custom_nodes/own.py", "ComfyUI/README.md"} <= kept
    assert "ComfyUI/nodes.py" not in kept
