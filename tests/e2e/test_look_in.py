"""A model that is on this machine already, as a person meets it: planned without a download, then taken over."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from tests.e2e.conftest import Tool

FP16 = "sd_xl_turbo_1.0_fp16.safetensors"


def test_a_model_of_another_home_is_taken_over_without_a_download(tool: Tool, tmp_path: Path) -> None:
    other = replace(tool, home=tmp_path / "other home")
    assert other.run("download", "--rehearse").code == 0
    copy = other.home / "ComfyUI" / "models" / "checkpoints" / FP16
    look_in = ("--look-in", str(copy.parent))

    planned = tool.run("plan", "--rehearse", *look_in)
    [finding] = planned.step("models")["findings"]
    assert (finding["id"], finding["paths"]) == ("ckpt-missing", [str(copy)])
    assert finding["cost"]["download_bytes"] == 0

    ended = tool.run("download", "--rehearse", *look_in)
    assert ended.code == 0, (ended.report, ended.err)
    assert ended.report["rehearsal"]["hub_sent_bytes"] == 0
    place = tool.home / "ComfyUI" / "models" / "checkpoints" / FP16
    assert place.read_bytes() == copy.read_bytes()
    assert place.stat().st_nlink > 1 or place.stat().st_ino != copy.stat().st_ino
    again = tool.run("download", "--rehearse")
    assert again.report["changed"] is False


def test_a_file_is_shown_by_its_header_alone(tool: Tool) -> None:
    shown = tool.run("download", f"stabilityai/sdxl-turbo/{FP16}", "--rehearse", "--inspect")
    assert shown.code == 0, (shown.report, shown.err)
    assert (shown.report["architecture"], shown.report["precision"]) == ("sdxl", "fp16")
    assert not (tool.home / "ComfyUI").exists()


def test_a_download_with_its_flags(tool: Tool) -> None:
    ended = tool.run("download", "--rehearse", "--limit-rate", "500M", "--connections", "2", "--share-cache")
    assert ended.code == 0, (ended.report, ended.err)
    assert any("does not use the Hugging Face cache" in line.get("message", "") for line in ended.lines)
