"""How far an install is, by what uv says."""

from __future__ import annotations

import pytest

from provision.core.events import Work
from provision.environment.uv_lines import Wheels


def told(*lines: str) -> list[tuple[int, int | None, str]]:
    wheels = Wheels()
    heard = [event for line in lines if (event := wheels.hear(line))]
    assert all((event.kind, event.subject) == (Work.INSTALL, "packages") for event in heard)
    return [(event.done, event.total, event.unit) for event in heard]


def test_wheels_are_added_up_and_then_all_packages_are_here() -> None:
    lines = (
        "Resolved 9 packages in 1.2s",
        "Downloading torch (1.5GiB)",
        "Downloading numpy (5.0MiB)",
        " Downloaded numpy",
        "Downloading numpy (5.0MiB)",
        " Downloaded torch",
        "Prepared 8 packages in 36.2s",
        "Installed 8 packages in 1s",
    )
    torch, numpy = 3 * 2**29, 5 * 2**20
    assert told(*lines) == [
        (0, torch, "bytes"),
        (0, torch + numpy, "bytes"),
        (numpy, torch + numpy, "bytes"),
        (numpy, torch + numpy, "bytes"),
        (torch + numpy, torch + numpy, "bytes"),
        (8, 8, "packages"),
    ]


@pytest.mark.parametrize(
    ("size", "count"), [("900B", 900), ("83.4 MB", 83_400_000), ("2KiB", 2048), ("1.5MiB", 1572864)]
)
def test_sizes(size: str, count: int) -> None:
    assert told(f"Downloading x ({size})") == [(0, count, "bytes")]


@pytest.mark.parametrize(
    "line",
    [
        "",
        " Downloaded numpy",
        "Downloading x",
        "Downloading x (?)",
        "Downloading x (1.2.3MiB)",
        f"Downloading x ({'9' * 5000}GiB)",
        "Built x",
        "Installed no packages in 1s",
        "Prepared 3 packages in 1s",
    ],
)
def test_what_tells_nothing_of_bytes_is_no_progress(line: str) -> None:
    assert told(line) == []
