"""kill -9 at random moments of a download, the tool alone or with its programs: every next run ends right.

The long version, 200 kills a backend, is benchmarks/kills.py.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.kills import BACKENDS, Plan, kill_downloads


@pytest.mark.parametrize("backend", BACKENDS)
def test_killed_downloads_end_right(tmp_path: Path, backend: str) -> None:
    plan = Plan(backend, kills=5, seed=3, file_bytes=24_000_000, rate_bytes_s=8_000_000, longest_s=0.8)
    tally = kill_downloads(plan, tmp_path)
    assert tally.failed == []
    assert (tally.kills, tally.wrong, tally.left) == (5, 0, 0)
    # A kill costs what came in the last moments, never what was there before: at these rates not a third of the file.
    assert tally.twice_bytes < plan.file_bytes / 3
