"""The same `provision all` on a real ComfyUI, a real torch and a full-size checkpoint, down to a judged image.

The weights are random (std 1/sqrt(fan-in)), so the picture is a texture, not a fox; everything else is as on a
person's machine: no `--rehearse`, the real steps, the CPU in the place of MPS.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from provision.rehearsal.checkpoints import write_checkpoint
from provision.rehearsal.hub import Hub
from provision.rehearsal.model_repo import make_model_repo
from tests.e2e.conftest import Tool
from tests.live.upstream import complete_clone
from tests.support.browser import find_chromium
from tests.support.page import open_page, press_run

pytestmark = pytest.mark.live
NAME = "sd_xl_turbo_1.0_fp16.safetensors"
FREE_BYTES = 40 * 10**9


@pytest.mark.skipif(shutil.disk_usage(Path.cwd()).free < FREE_BYTES, reason="needs 40 GB of free disk")
def test_first_image_on_a_real_comfyui(comfyui_source: str, live_torch: str, tmp_path: Path, artifacts: Path) -> None:
    upstream = complete_clone(comfyui_source, tmp_path / "upstream.git")
    made = write_checkpoint(tmp_path / "weights" / NAME, dtype="F16", shrink=None, seed=1)
    root = tmp_path / "root"
    model = make_model_repo(root, "stabilityai/sdxl-turbo", {NAME: tmp_path / "weights" / NAME})
    home = Path(os.environ.get("PROVISION_LIVE_HOME", tmp_path / "home"))
    with Hub(root) as hub:
        tool = Tool(home, {"HF_ENDPOINT": hub.url})
        wishes = [
            f"comfyui.url={upstream.path}",
            "comfyui.port=18288",
            f"models.0.revision={model.commit}",
            f"models.0.files.0.size={made.size_bytes}",
            f"models.0.files.0.sha256={made.sha256}",
        ]
        words = [word for wish in wishes for word in ("--set", wish)]
        try:
            first = tool.run("all", "--torch", live_torch, *words)
            print(first.err)
            for step in first.report["steps"]:
                for finding in step["findings"]:
                    print(f"{step['name']:<13} {step['seconds']:>7.1f} s  {finding['verdict']:<7} {finding['message']}")
            assert first.code == 0, first.report
            # A slow segment is raced at the end, so that some of it may come twice; nothing else may.
            assert hub.sent_by_file()[NAME] < made.size_bytes * 1.01
            assert (home / "first-image.png").read_bytes().startswith(b"\x89PNG")
            if find_chromium():
                with open_page("http://127.0.0.1:18288", tmp_path, artifacts) as shown:
                    assert shown.name == "SDXL-Turbo 1.0"
                    assert press_run(shown.page, artifacts).startswith("provision_")
            else:
                print("There is no Chromium: ComfyUI's page was not looked at.")
            again = tool.run("all", "--torch", live_torch, *words)
            print(f"again: {again.report['seconds']} s")
            assert again.code == 0, again.report
            assert again.report["changed"] is False
        finally:
            tool.run("stop", *words)
