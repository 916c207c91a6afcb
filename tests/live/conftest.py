"""Live tests are opt-in: they need a real ComfyUI, gigabytes of disk and memory, and minutes."""

from __future__ import annotations

from pathlib import Path

import pytest


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    whole, page = config.getoption("--live-comfyui"), config.getoption("--live-page")
    for item in items:
        if here not in item.path.parents:
            continue
        if item.path.stem == "test_page" and not page:
            item.add_marker(pytest.mark.skip(reason="live: give --live-page URL (opt-in, a real ComfyUI, Chromium)"))
        elif item.path.stem != "test_page" and not whole:
            item.add_marker(pytest.mark.skip(reason="live: give --live-comfyui URL_OR_PATH (opt-in, 25 GB, minutes)"))


@pytest.fixture(scope="session")
def comfyui_source(pytestconfig: pytest.Config) -> str:
    return str(pytestconfig.getoption("--live-comfyui"))


@pytest.fixture
def artifacts(pytestconfig: pytest.Config, tmp_path: Path) -> Path:
    """Where screenshots are kept."""
    asked = pytestconfig.getoption("--artifacts")
    return Path(asked) if asked else tmp_path / "artifacts"
