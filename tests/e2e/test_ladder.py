"""A nightly whose pictures are black: another torch is taken, kept, and proven by everything that `--deep` does."""

from __future__ import annotations

from pathlib import Path

from tests.e2e.conftest import Ended, Tool
from tests.support.engine_faults import make_faulty_world

FAULT = {"ENGINE_FAULT": "black:stable"}


def says(ended: Ended, step: str, kind: str = "note") -> str:
    return "\n".join(line["message"] for line in ended.lines if line.get("type") == kind and line.get("step") == step)


def finding(ended: Ended, step: str, id: str) -> str:
    return next(str(each["message"]) for each in ended.step(step)["findings"] if each["id"] == id)


def test_black_pictures_end_with_stable_torch_and_it_stays(tool: Tool) -> None:
    make_faulty_world(tool.home)
    tool.environ.update(FAULT)
    made = tool.run("all", "--rehearse")
    assert made.code == 0, (made.report, made.err)
    tried = says(made, "first_image", "step_finished").splitlines()
    assert [line.rpartition("trying again with ")[2] for line in tried[:3]] == [
        "--force-upcast-attention.",
        "--force-upcast-attention and --fp32-vae.",
        "stable torch and the default flags.",
    ]
    why = "torch 2.16.0.dev20261120 fails with all flags (It is black (mean 0.0 of 255))"
    assert f"{why}: using stable torch (about 0.1 MB to download)." in says(made, "torch")
    assert "The image is correct with stable torch 2.15.0 and the default flags (" in says(made, "first_image")
    assert made.step("torch")["changed"]
    assert made.report["image"]["flags"] == ["--force-fp16", "--cpu"]

    again = tool.run("all", "--rehearse")
    assert (again.code, again.report["changed"]) == (0, False), again.report
    assert "2.15.0 (stable) on cpu" in finding(again, "torch", "torch-ready")
    assert f"requested: nightly: {why}" in finding(again, "torch", "torch-ready")

    deep = tool.run("doctor", "--deep")
    assert deep.code == 0, deep.report
    assert "computes correctly" in finding(deep, "torch", "torch-ready")
    assert "imports everything" in finding(deep, "requirements", "imports-ready")
    assert "so one was started" not in finding(deep, "first_image", "image-proven")
    assert [line for line in deep.lines if line.get("type") == "progress"]

    tool.run("stop")
    before = {path: path.read_bytes() for path in (tool.home / "state").glob("*.json")}
    log = (tool.home / "logs" / "comfyui.log").read_bytes()
    down = tool.run("doctor", "--deep")
    assert "one was started and stopped again" in finding(down, "first_image", "image-proven")
    assert finding(down, "server", "server-down")
    assert {path: path.read_bytes() for path in (tool.home / "state").glob("*.json")} == before
    assert (tool.home / "logs" / "comfyui.log").read_bytes() == log
    assert not Path(tool.home / "state" / "server.json").exists()
