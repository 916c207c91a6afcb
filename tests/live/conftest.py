"""Live tests are opt-in: they need a real ComfyUI, gigabytes of disk and memory, and minutes."""

from __future__ import annotations

from pathlib import Path

import pytest

TORCH = "2.11.0"
"""Where none is named."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    if config.getoption("--live-comfyui"):
        return
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.skip(reason="live: give --live-comfyui URL_OR_PATH (opt-in, 25 GB, minutes)"))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Each ComfyUI that was named with each torch."""
    if "comfyui_sources" in metafunc.fixturenames:
        named = metafunc.config.getoption("--live-comfyui")
        why = "live: name an older and a newer ComfyUI, --live-comfyui OLD --live-comfyui NEW (PATH@COMMIT)"
        pair = pytest.param((named[0], named[-1])) if len(named) > 1 else pytest.param((), marks=pytest.mark.skip(why))
        metafunc.parametrize("comfyui_sources", [pair])
    if "comfyui_source" in metafunc.fixturenames:
        metafunc.parametrize("comfyui_source", metafunc.config.getoption("--live-comfyui") or ["no ComfyUI"])
        metafunc.parametrize("live_torch", metafunc.config.getoption("--live-torch") or [TORCH])
