"""Live tests are opt-in: they need a real ComfyUI, gigabytes of disk and memory, and minutes."""

from __future__ import annotations

from pathlib import Path

import pytest


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    if config.getoption("--live-comfyui"):
        return
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.skip(reason="live: give --live-comfyui URL_OR_PATH (opt-in, 25 GB, minutes)"))


@pytest.fixture(scope="session")
def comfyui_source(pytestconfig: pytest.Config) -> str:
    return str(pytestconfig.getoption("--live-comfyui"))
