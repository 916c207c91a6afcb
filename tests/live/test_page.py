"""ComfyUI's page as a person meets it after `provision all`, in a real browser with nothing in it.

`--live-page URL` names a real ComfyUI that was set up by this tool and runs; its workflows and settings are used.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.live.page import open_page, press_run

pytestmark = pytest.mark.live


@pytest.fixture
def address(pytestconfig: pytest.Config) -> str:
    return str(pytestconfig.getoption("--live-page")).rstrip("/")


def test_the_page_begins_with_the_ready_workflow(address: str, tmp_path: Path, artifacts: Path) -> None:
    with open_page(address, tmp_path, artifacts) as shown:
        assert shown.name == "SDXL-Turbo 1.0"
        assert shown.widgets["CheckpointLoaderSimple"] == ["sd_xl_turbo_1.0_fp16.safetensors"]
        assert shown.widgets["KSampler"][2:] == [1, 1, "euler", "karras", 1]
        assert shown.widgets["EmptyLatentImage"] == [512, 512, 1]
        assert "template" not in shown.text.lower()


def test_what_a_person_has_open_is_shown_again(address: str, tmp_path: Path, artifacts: Path) -> None:
    with open_page(address, tmp_path, artifacts) as shown:
        shown.page.run("app.loadGraphData({nodes: [], links: [], version: 0.4}, true, true, 'mine').then(() => true)")
        shown.page.until("document.title.includes('mine')")
        shown.page.run("new Promise(done => setTimeout(() => done(true), 1500))")  # the page saves after a pause
        shown.page.ask("Page.reload")
        shown.page.until("document.readyState === 'complete' && document.title.includes('mine')")


def test_run_makes_a_picture(address: str, tmp_path: Path, artifacts: Path) -> None:
    with open_page(address, tmp_path, artifacts) as shown:
        picture = press_run(shown.page, artifacts)
        assert picture.startswith("provision_")
