"""The same `provision all` on a real ComfyUI, a real torch and a full-size checkpoint, down to a judged image.

The weights are random (std 1/sqrt(fan-in)), so the picture is a texture, not a fox; everything else is as on a
person's machine: no `--rehearse`, the real steps, the CPU in the place of MPS.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.live.upstream import complete_clone
from tests.live.world import FREE_BYTES, NAME, PORT, world
from tests.support.browser import find_chromium
from tests.support.page import open_page, press_run

pytestmark = pytest.mark.live


@pytest.mark.skipif(shutil.disk_usage(Path.cwd()).free < FREE_BYTES, reason="needs 40 GB of free disk")
def test_first_image_on_a_real_comfyui(comfyui_source: str, live_torch: str, tmp_path: Path, artifacts: Path) -> None:
    upstream = complete_clone(comfyui_source, tmp_path / "upstream.git")
    with world(tmp_path, upstream.path) as at:
        tool, words, home = at.tool, at.words, at.tool.home
        first = tool.run("all", "--torch", live_torch, *words)
        print(first.err)
        for step in first.report["steps"]:
            for finding in step["findings"]:
                print(f"{step['name']:<13} {step['seconds']:>7.1f} s  {finding['verdict']:<7} {finding['message']}")
        assert first.code == 0, first.report
        # A slow segment is raced at the end, so that some of it may come twice; nothing else may.
        assert at.hub.sent_by_file()[NAME] < at.size_bytes * 1.01
        assert (home / "first-image.png").read_bytes().startswith(b"\x89PNG")
        if find_chromium():
            with open_page(f"http://127.0.0.1:{PORT}", tmp_path, artifacts) as shown:
                assert shown.name == "SDXL-Turbo 1.0"
                assert press_run(shown.page, artifacts).startswith("provision_")
        else:
            print("There is no Chromium: ComfyUI's page was not looked at.")
        again = tool.run("all", "--torch", live_torch, *words)
        print(f"again: {again.report['seconds']} s")
        assert again.code == 0, again.report
        assert again.report["changed"] is False
