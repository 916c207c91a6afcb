"""A newer ComfyUI under a running server, and back again: what a person does, on the rehearsal."""

from __future__ import annotations

import json

from provision.comfyui import git_checkout as git
from tests.e2e.conftest import Tool

OLD, NEW = "v0.38.0", "v0.38.1"
NODE = "NODE_CLASS_MAPPINGS = {}\n"


def version(tool: Tool) -> str:
    return (tool.home / "ComfyUI" / "comfyui_version.py").read_text(encoding="utf-8").split('"')[1]


def test_updated_and_gone_back_to(tool: Tool) -> None:
    assert tool.text("update").returncode == 2
    assert tool.run("all", "--rehearse", "--comfyui", OLD).code == 0
    code, env = tool.home / "ComfyUI", (tool.home / "venv").readlink()
    record = json.loads((tool.home / "state" / "server.json").read_text(encoding="utf-8"))
    (code / "nodes.py").write_text((code / "nodes.py").read_text(encoding="utf-8") + "# mine\n", encoding="utf-8")
    (code / "custom_nodes" / "mine.py").write_text(NODE, encoding="utf-8")

    held = tool.run("update")
    assert (held.code, held.report["newer"], version(tool)) == (0, NEW, "0.38.0")
    told = tool.run("update", "--comfyui", "latest", "--dry-run")
    assert (told.code, told.report["newer"], told.report["edited"], version(tool)) == (0, NEW, ["nodes.py"], "0.38.0")

    done = tool.run("update", "--comfyui", "latest")
    assert done.code == 0, (done.report, done.err)
    assert (done.report["from"], done.report["to"], version(tool)) == (OLD, NEW, "0.38.1")
    assert (code / "nodes.py").read_text(encoding="utf-8").endswith("# mine\n")
    assert git.read_state(code).modified == ("nodes.py",)
    assert (code / "custom_nodes" / "mine.py").is_file()
    now = json.loads((tool.home / "state" / "server.json").read_text(encoding="utf-8"))
    assert (now["pid"] != record["pid"], now["commit"] != record["commit"]) == (True, True)
    again = tool.run("all", "--rehearse")
    assert (again.code, again.report["changed"]) == (0, False), again.report
    assert tool.run("update").report["newer"] is None
    kept = tool.run("history").report["generations"]
    assert [(each["comfyui"], each["in_use"]) for each in kept] == [(NEW, True), (OLD, False)]

    back = tool.run("rollback")
    assert (back.code, back.report["comfyui"], version(tool)) == (0, OLD, "0.38.0"), back.report
    assert ((tool.home / "venv").readlink(), git.read_state(code).modified) == (env, ("nodes.py",))
    again = tool.run("all", "--rehearse")
    assert (again.code, again.report["changed"]) == (0, False), again.report
    assert tool.run("rollback", str(kept[0]["number"])).code == 0
    assert version(tool) == "0.38.1"
    assert tool.text("rollback", "77").returncode == 2
