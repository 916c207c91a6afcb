"""ComfyUI's page as a person meets it after `provision all`, in a real browser with nothing in it.

On the rehearsal's miniature of the page, which opens what ComfyUI's opens; with `--live-page URL` on a real ComfyUI
that was set up by this tool and runs. `--artifacts DIR` keeps the screenshots.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.conftest import Tool
from tests.support.browser import Page, find_chromium
from tests.support.page import open_page, press_run

pytestmark = pytest.mark.skipif(find_chromium() is None, reason="there is no Chromium on this machine")
MINE = "{nodes: [], links: [], version: 0.4}, true, true, 'mine'"


@pytest.fixture
def address(pytestconfig: pytest.Config, request: pytest.FixtureRequest) -> str:
    live = pytestconfig.getoption("--live-page")
    if live:
        return str(live).rstrip("/")
    tool: Tool = request.getfixturevalue("rehearsed")
    ended = tool.run("launch")
    assert ended.code == 0, ended.err
    status = tool.run("status").report
    return str(status["server"]["url"])


def test_it_begins_with_the_ready_workflow_and_run_makes_a_picture(
    address: str, tmp_path: Path, artifacts: Path
) -> None:
    with open_page(address, tmp_path, artifacts) as shown:
        assert shown.name == "SDXL-Turbo 1.0"
        assert shown.widgets["CheckpointLoaderSimple"] == ["sd_xl_turbo_1.0_fp16.safetensors"]
        assert shown.widgets["KSampler"][2:] == [1, 1, "euler", "karras", 1]
        assert shown.widgets["EmptyLatentImage"] == [512, 512, 1]
        assert "template" not in shown.text.lower()
        assert press_run(shown.page, artifacts).startswith("provision_")
        is_left_as_a_person_had_it(shown.page)


def is_left_as_a_person_had_it(page: Page) -> None:
    """Another graph that they opened is there again when they come back."""
    page.run(f"app.loadGraphData({MINE}).then(() => true)")
    page.until("document.title.includes('mine')")
    page.run("new Promise(done => setTimeout(() => done(true), 1500))")  # ComfyUI's page saves after a pause
    page.ask("Page.reload")
    page.until("document.readyState === 'complete' && document.title.includes('mine')")
