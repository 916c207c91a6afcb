"""The screen of every command at the widths that people have, on a rehearsed home: read as a person reads it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from provision.cli.commands import (
    bench,
    check,
    config,
    doctor,
    download,
    generate,
    history,
    launch,
    logs,
    manifests,
    plan,
    report,
    rollback,
    status,
    stop,
    uninstall,
    update,
)
from provision.cli.commands.all import provision_all
from provision.cli.request import Request
from provision.output.result import Result
from tests.e2e.conftest import Tool
from tests.support.screens import screen
from tests.support.snapshots import assert_screen

Run = Callable[..., Result]
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="what checks find of a Mac is in tests/facts/macs")
WHOLE: Mapping[str, tuple[Run, dict[str, object]]] = {
    "status": (status.status, {}),
    "doctor": (doctor.doctor, {}),
    "check": (check.check, {}),
    "check-hosts": (check.check, {"hosts": True}),
    "config": (config.config, {}),
    "history": (history.history, {}),
    "rollback": (rollback.rollback, {}),
    "update": (update.update, {}),
    "logs": (logs.logs, {"lines": 5}),
    "report": (report.report, {}),
}
EMPTY: Mapping[str, tuple[Run, dict[str, object]]] = {
    "status": (status.status, {}),
    "history": (history.history, {}),
    "rollback": (rollback.rollback, {}),
    "logs": (logs.logs, {}),
    "report": (report.report, {}),
    "uninstall": (uninstall.uninstall, {}),
    "stop": (stop.stop, {}),
}


def test_of_a_whole_home(rehearsed: Tool) -> None:
    home = rehearsed.home
    for name, (run, words) in WHOLE.items():
        assert_screen(name, screen(Request(name.partition("-")[0], home=home), run, home, words))


def test_of_a_home_with_nothing_in_it(tmp_path: Path) -> None:
    home = tmp_path / "a home"
    for name, (run, words) in EMPTY.items():
        assert_screen(f"empty-{name}", screen(Request(name, home=home), run, home, words))


def test_of_the_server(rehearsed: Tool) -> None:
    home = rehearsed.home
    request = Request("all", home=home, rehearse=True)
    assert_screen("plan-whole", screen(replace(request, command="plan"), plan.plan, home))
    assert_screen("all-again", screen(request, provision_all, home))
    request = Request("generate", home=home)
    words = {"prompt": "a red fox in snow", "output": home / "fox.png", "seed": 7}
    assert_screen("generate", screen(request, generate.generate, home, words))
    words = {"prompt": "  "}
    assert_screen("error-prompt", screen(request, generate.generate, home, words))
    words = {"count": 1, "size": [512], "steps": [1, 2]}
    assert_screen("bench", screen(replace(request, command="bench"), bench.bench, home, words))
    assert_screen("stop", screen(replace(request, command="stop"), stop.stop, home))
    assert_screen("launch", screen(replace(request, command="launch"), launch.launch, home))
    assert_screen("uninstall", screen(Request("uninstall", home=home, yes=True), uninstall.uninstall, home))


def test_of_a_download(tool: Tool) -> None:
    request = Request("download", home=tool.home, rehearse=True)
    assert_screen("download", screen(request, download.download, tool.home))
    assert_screen("download-again", screen(request, download.download, tool.home))


MANIFESTS = {
    "list": manifests.listed,
    "show": partial(manifests.shown, "sdxl-turbo", []),
    "valid": partial(manifests.validated, "sdxl-turbo", []),
    "unknown": partial(manifests.shown, "sdxl", []),
}


@pytest.mark.parametrize("name", MANIFESTS)
def test_of_manifests(tmp_path: Path, name: str) -> None:
    assert_screen(f"manifests-{name}", screen(Request("manifests"), lambda _: MANIFESTS[name](), tmp_path))
