"""A newer ComfyUI under a running server, and back again: what a person does, on the rehearsal."""

from __future__ import annotations

import json

from provision.comfyui import git_checkout as git
from provision.comfyui.sandbox import can_fence
from provision.environment.packages import installed_versions
from provision.system.local_machine import LocalMachine
from tests.e2e.conftest import Tool
from tests.support.processes import eventually
from tests.support.releases import add_release, source_of

OLD, NEW = "v0.38.0", "v0.38.1"
NODE = "NODE_CLASS_MAPPINGS = {}\n"


def newer_of(tool: Tool) -> dict[str, str | None]:
    """What `doctor` says is newer."""
    return tool.run("doctor").report["newer"] or {}


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
    assert eventually(lambda: newer_of(tool).get("name") == NEW)  # a look waits for seconds only
    told = tool.run("update", "--comfyui", "latest", "--dry-run")
    assert (told.code, told.report["newer"], told.report["edited"], version(tool)) == (0, NEW, ["nodes.py"], "0.38.0")
    assert (len(told.report["date"][:10]), told.report["both"]) == (10, [])
    assert told.report["nodes"] == {"mine.py": []}

    done = tool.run("update", "--comfyui", "latest")
    assert done.code == 0, (done.report, done.err)
    assert (done.report["before"], done.report["now"], version(tool)) == (OLD, NEW, "0.38.1")
    assert (code / "nodes.py").read_text(encoding="utf-8").endswith("# mine\n")
    assert git.read_state(code).modified == ("nodes.py",)
    assert (code / "custom_nodes" / "mine.py").is_file()
    now = json.loads((tool.home / "state" / "server.json").read_text(encoding="utf-8"))
    assert (now["pid"] != record["pid"], now["commit"] != record["commit"]) == (True, True)
    again = tool.run("all", "--rehearse")
    assert (again.code, again.report["changed"]) == (0, False), again.report
    assert tool.run("update").report["newer"] is None
    assert tool.run("doctor").report["newer"] is None
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


def test_what_does_not_work_never_takes_over(tool: Tool) -> None:
    assert tool.run("all", "--rehearse", "--stop").code == 0
    code, env = tool.home / "ComfyUI", (tool.home / "venv").readlink()
    node = code / "custom_nodes" / "old"
    node.mkdir()
    (node / "__init__.py").write_text(f"import picture\npicture.paint\n{NODE}", encoding="utf-8")
    (node / "requirements.txt").write_text("idna<3.9\ngit+https://example.com/x.git\n-r more.txt\n", encoding="utf-8")
    main, picture = source_of("main.py"), source_of("picture.py")
    bad = {
        "0.39.0": (
            {"requirements.txt": source_of("requirements.txt") + "\nno-such-package-of-ours==9\n"},
            "last output",
        ),
        "0.39.1": (
            {"main.py": main.replace("from cli_args", "import no_such_module\nfrom cli_args", 1)},
            "no_such_module",
        ),
        "0.39.2": ({"picture.py": f"{picture}\n\ndef paint(key, size):\n    return Image.new('RGB', size)\n"}, "black"),
    }
    if can_fence(LocalMachine()):
        renamed = {
            name: source_of(name).replace("paint", "draw")
            for name in ("picture.py", "nodes.py", "execution.py", "checkpoint.py")
        }
        bad["0.39.3"] = (renamed, "old: ")
    for version, (changes, why) in bad.items():
        tag = add_release(tool.home, version, changes)
        ended = tool.run("update", "--comfyui", tag)
        assert (ended.code, (tool.home / "venv").readlink()) == (1, env), ended.report
        assert why in str(ended.report["error"]), ended.report["error"]
        assert [path.name for path in (tool.home / "envs").iterdir()] == [env.name]
        assert (tool.home / "state" / "server.json").exists() is False
    assert git.read_state(code).modified == ()
    steps = tool.run("doctor").report["steps"]
    assert [step["name"] for step in steps if step["verdict"] in ("fixable", "blocked")] == ["server"]

    good = add_release(tool.home, "0.40.0", {"requirements.txt": source_of("requirements.txt") + "\ncolorama<0.4.6\n"})
    told = tool.run("update", "--comfyui", "latest", "--dry-run").report
    assert told["error"] is None, told["error"]
    assert told["packages"]["colorama"] == ["", "0.4.5"]
    assert told["packages"]["idna"][1].startswith("3.8")
    assert (told["nodes"], told["download_bytes"] > 0, told["estimated_seconds"] > 0) == ({"old": ["idna"]}, True, True)
    assert tool.run("update", "--comfyui", "latest").code == 0
    versions = installed_versions(tool.home / "venv")
    assert versions["colorama"] == "0.4.5"
    assert tuple(map(int, versions["idna"].split("."))) < (3, 9)
    assert tool.run("history").report["generations"][0]["comfyui"] == good
    assert tool.run("rollback").code == 0
    assert "colorama" not in installed_versions(tool.home / "venv")
    kept = len(tool.run("history").report["generations"])
    fixed = tool.run("doctor", "--fix", "--set", f"comfyui.ref={good}")
    assert "comfyui-ref" in fixed.report["fixed"]
    assert installed_versions(tool.home / "venv")["colorama"] == "0.4.5"
    assert len(tool.run("history").report["generations"]) == kept + 1
