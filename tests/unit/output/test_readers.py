"""Who reads from `serve`, as it is shown: now and then while they read, in a row on a terminal, and at their end."""

from __future__ import annotations

from dataclasses import replace

import pytest

from provision.core.events import ReaderSeen
from provision.output.console import Console
from provision.output.live_view import live_lines
from provision.output.run_state import RunState
from provision.output.views import log_line

READS = ReaderSeen(
    step="10.0.0.7",
    says="model.safetensors 2.91 of 6.94 GB; 2.91 GB in all, 112.0 MB/s",
    seconds=26.0,
    file="model.safetensors",
    file_sent_bytes=2_910_000_000,
    file_bytes=6_940_000_000,
    sent_bytes=2_910_000_000,
    bytes_per_s=112e6,
)
GONE = replace(READS, says="read 6.94 GB in 62 s, 111.9 MB/s", over=True)


def test_a_terminal_has_a_row_for_each_until_they_have_gone() -> None:
    state = RunState()
    for address in ("10.0.0.7", "10.0.0.8"):
        state.add(1.0, replace(READS, step=address))
    shown = [line.plain for line in live_lines(state, 1.0, 100, 24)]
    assert [line.split()[1] for line in shown] == ["10.0.0.7", "10.0.0.8"]
    assert all("2.91 of 6.94 GB" in line for line in shown)
    state.add(2.0, GONE)
    assert [line.plain.split()[1] for line in live_lines(state, 2.0, 100, 24)] == ["10.0.0.8"]


def test_plain_lines_come_now_and_then_and_at_the_end(capsys: pytest.CaptureFixture[str]) -> None:
    console = Console()
    for _ in range(3):
        console.emit(READS)
    console.emit(GONE)
    assert capsys.readouterr().err.split() == ["10.0.0.7", *GONE.says.split()]


def test_the_log_has_the_end_alone() -> None:
    assert log_line(READS) == ""
    assert log_line(GONE) == f"10.0.0.7: {GONE.says}"
