"""Custom nodes, as a person adds, updates and removes them, on the rehearsal."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from provision.comfyui.sandbox import can_fence
from provision.core.lockfile import load_lock
from provision.environment.packages import installed_versions
from provision.system.local_machine import LocalMachine
from tests.e2e.conftest import Tool
from tests.support.node_repos import BLACK, PURE, head, next_commit, node_repo

FENCED = can_fence(LocalMachine())


def nodes(tool: Tool) -> dict[str, dict[str, object]]:
    return {each["name"]: each for each in tool.run("nodes").report["nodes"]}


def in_use(tool: Tool) -> tuple[str, frozenset[str]]:
    """The generation in use, and what is in `custom_nodes`."""
    folder = tool.home / "ComfyUI" / "custom_nodes"
    return (tool.home / "venv").readlink().name, frozenset(path.name for path in folder.iterdir())


def test_added_updated_removed_and_gone_back_to(rehearsed: Tool, tmp_path: Path) -> None:
    tool, at = rehearsed, rehearsed.home / "ComfyUI" / "custom_nodes" / "pretty-node"
    repo = node_repo(tmp_path, "pretty-node", {"requirements.txt": "colorama<0.4.6\n", "look.py": "old\n"})
    first = head(repo)
    done = tool.run("nodes", "add", str(repo))
    assert done.code == 0, (done.report, done.err)
    assert done.report["changed_nodes"] == [{"name": "pretty-node", "before": None, "now": first}]
    assert (at / "look.py").read_text(encoding="utf-8") == "old\n"
    assert installed_versions(tool.home / "venv")["colorama"] == "0.4.5"
    assert nodes(tool)["pretty-node"]["commit"] == first
    again = tool.run("nodes", "add", str(repo))
    assert (again.code, again.report["changed_nodes"]) == (0, [])
    assert tool.run("doctor", "--only", "lock-stale").code == 0

    (at / "settings.json").write_text("mine", encoding="utf-8")
    (at / "__init__.py").write_text(f"{PURE}# mine\n", encoding="utf-8")
    assert nodes(tool)["pretty-node"]["changed"] == ["__init__.py"]
    second = next_commit(repo, {"__init__.py": PURE, "look.py": "new\n"})
    told = tool.run("nodes", "update", "--dry-run")
    assert told.report["changed_nodes"] == [{"name": "pretty-node", "before": first, "now": second}]
    assert tool.run("nodes", "update").code == 0
    assert (at / "look.py").read_text(encoding="utf-8") == "new\n"
    assert (at / "__init__.py").read_text(encoding="utf-8").endswith("# mine\n")
    assert (at / "settings.json").read_text(encoding="utf-8") == "mine"
    assert "colorama" not in installed_versions(tool.home / "venv")
    assert tool.run("nodes", "update").report["changed_nodes"] == []

    assert tool.run("rollback").code == 0
    assert (nodes(tool)["pretty-node"]["commit"], (at / "look.py").read_text(encoding="utf-8")) == (first, "old\n")
    assert (at / "__init__.py").read_text(encoding="utf-8").endswith("# mine\n")
    assert installed_versions(tool.home / "venv")["colorama"] == "0.4.5"

    gone = tool.run("nodes", "remove", "pretty-node")
    assert gone.code == 0, gone.report
    assert not at.exists()
    (aside,) = (tool.home / "moved-aside" / "custom_nodes").iterdir()
    assert (aside / "settings.json").read_text(encoding="utf-8") == "mine"
    assert "colorama" not in installed_versions(tool.home / "venv")
    assert tool.run("nodes", "remove", "pretty-node").code == 2
    repo.rename(tmp_path / "gone.git")  # from here on there is no network
    assert tool.run("rollback").code == 0
    assert (nodes(tool)["pretty-node"]["commit"], (at / "settings.json").read_text(encoding="utf-8")) == (first, "mine")
    again = tool.run("all", "--rehearse", "--stop")
    assert again.code == 0, again.report


@pytest.mark.skipif(not FENCED, reason="this system cannot fence custom nodes in")
def test_what_does_not_work_changes_nothing(rehearsed: Tool, tmp_path: Path) -> None:
    tool = rehearsed
    before = in_use(tool)
    cases = {
        "clash": ({"requirements.txt": "yarl<1.0\n"}, "do not fit"),
        "failing": ({"__init__.py": "import no_such_module_of_ours\n"}, "failing does not import"),
        "dark": ({"__init__.py": BLACK}, "With dark"),
        "ending": ({"__init__.py": "import os\nos._exit(3)\n"}, ""),
    }
    for name, (files, why) in cases.items():
        ended = tool.run("nodes", "add", str(node_repo(tmp_path, name, files)))
        assert (ended.code, in_use(tool)) == (1, before), (name, ended.report)
        assert why in ended.report["error"]["message"], ended.report["error"]
        assert "Nothing was changed" in ended.report["error"]["message"] or not why
        assert not list((tool.home / "state" / "nodes").glob("*")), name
    assert tool.run("nodes", "add", "ext::sh -c 'touch /tmp/x'").code == 2
    assert tool.run("nodes", "add", str(tmp_path / "none.git")).code == 1
    assert tool.run("doctor").report["error"] is not None  # the server is down, and nothing else
    assert tool.run("history").report["generations"][0]["in_use"]


@pytest.mark.skipif(not FENCED, reason="this system cannot fence custom nodes in")
def test_the_node_at_fault_is_found_by_halves(rehearsed: Tool) -> None:
    tool, folder = rehearsed, rehearsed.home / "ComfyUI" / "custom_nodes"
    assert tool.run("doctor", "--bisect").report["of"] == 0
    for name in ("alpha", "beta", "gamma", "delta.py", "epsilon"):
        file = folder / name if name.endswith(".py") else folder / name / "__init__.py"
        file.parent.mkdir(exist_ok=True)
        file.write_text(PURE, encoding="utf-8")
    assert tool.run("doctor", "--bisect").report["at_fault"] == []
    (folder / "gamma" / "__init__.py").write_text(BLACK, encoding="utf-8")
    before = sorted(path.name for path in tool.home.rglob("*"))
    ended = tool.run("doctor", "--bisect")
    assert (ended.code, ended.report["at_fault"], ended.report["of"]) == (1, ["gamma"], 5)
    assert ended.report["error"]["argv"][:1] == ["mv"]
    told = [line["message"] for line in ended.lines if line["type"] == "note" and "starts left" in line["message"]]
    assert told, ended.lines
    assert sorted(path.name for path in tool.home.rglob("*") if path.suffix != ".log") == [
        name for name in before if not name.endswith(".log")
    ]


def test_a_lock_has_them_and_rebuilds_them(rehearsed: Tool, tmp_path: Path) -> None:
    tool = rehearsed
    repo = node_repo(tmp_path, "pretty", {"requirements.txt": "colorama<0.4.6\n"})
    first = head(repo)
    assert tool.run("nodes", "add", f"file://{repo}@main").code == 0
    mine = tool.home / "ComfyUI" / "custom_nodes" / "mine.py"
    mine.write_text(PURE, encoding="utf-8")
    shutil.rmtree(tool.home / "ComfyUI" / "custom_nodes" / "pretty")
    assert tool.run("doctor", "--only", "node-missing").code == 1
    assert tool.run("doctor", "--fix", "--yes", "--only", "node-missing").code == 0
    assert nodes(tool)["pretty"]["commit"] == first
    tool.run("all", "--rehearse", "--stop")
    lock = load_lock(tool.home / "provision.lock")
    assert [(node.name, node.commit, node.ref, node.added) for node in lock.nodes] == [("pretty", first, "main", True)]

    kept = shutil.copyfile(tool.home / "provision.lock", tmp_path / "kept.lock")
    next_commit(repo, {"__init__.py": PURE})
    assert tool.run("nodes", "remove", "pretty").code == 0
    assert "colorama" not in installed_versions(tool.home / "venv")
    mine.unlink()
    done = tool.run("all", "--rehearse", "--stop", "--locked", str(kept))
    assert done.code == 0, done.report["error"]
    assert nodes(tool)["pretty"]["commit"] == first
    assert installed_versions(tool.home / "venv")["colorama"] == "0.4.5"
    gone = tool.run("uninstall", "--yes")
    assert (gone.code, tool.home.exists()) == (0, False), gone.report


def test_what_an_update_disables_a_rollback_enables(rehearsed: Tool) -> None:
    tool, folder = rehearsed, rehearsed.home / "ComfyUI" / "custom_nodes"
    (folder / "mine.py").write_text(PURE, encoding="utf-8")
    assert tool.run("update", "--torch", "stable", "--without", "mine.py").code == 0
    assert sorted(path.name for path in folder.glob("mine*")) == ["mine.py.disabled"]
    assert tool.run("rollback").code == 0
    assert sorted(path.name for path in folder.glob("mine*")) == ["mine.py"]


def test_an_install_script_is_run_only_after_a_yes(rehearsed: Tool, tmp_path: Path) -> None:
    tool, at = rehearsed, rehearsed.home / "ComfyUI" / "custom_nodes" / "scripted"
    script = "from pathlib import Path\nPath('made.txt').write_text('made')\n"
    repo = node_repo(tmp_path, "scripted", {"install.py": script})
    refused = tool.run("nodes", "add", str(repo))
    assert (refused.code, refused.report["error"]["code"], at.exists()) == (1, "consent_needed", False)
    done = tool.run("nodes", "add", str(repo), "--yes")
    assert done.code == 0, done.report
    assert any(script.rstrip() in line["message"] for line in done.lines if line["type"] == "note")
    assert (at / "made.txt").read_text(encoding="utf-8") == "made"
