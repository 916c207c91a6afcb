"""A row is a fold over what a Mac says, within bounds; the table is that row in words."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from provision.fleet import table
from provision.fleet.messages import Look, Message, Outcome, Phase, Wants
from provision.fleet.record import MacResult, others, read_record, result_of, write_record
from provision.fleet.refusal import refusal
from provision.fleet.row import TASKS_MAX, Row
from tests.support.locks import LOCK


def row_of(*lines: dict[str, object], outcome: Outcome | None = None, code: int | None = None) -> Row:
    row = Row("mac1")
    row.add(0.0, Message("mac1", phase=Phase.RUNNING))
    for place, each in enumerate(lines, 1):
        row.add(float(place), Message("mac1", line=json.dumps({"schema": 2, "step": "", **each})))
    if outcome is not None:
        row.add(10.0, Message("mac1", outcome=outcome, code=code))
    return row


BEGUN: dict[str, object] = {"type": "run_started", "needs": {"tools": [], "models": ["tools"]}}
STARTED: dict[str, object] = {"type": "step_started", "step": "models", "repeat": False}


def moved(done: int, total: int = 7_000_000_000) -> dict[str, object]:
    return {
        "type": "progress",
        "step": "models",
        "kind": "download",
        "subject": "x",
        "unit": "bytes",
        "done": done,
        "total": total,
    }


def reported(code: str | None, **more: object) -> dict[str, object]:
    error = {"code": code, "message": "Why."} if code is not None else None
    return {
        "type": "report",
        "command": "all",
        "ok": code is None,
        "changed": True,
        "seconds": 1,
        "error": error,
        **more,
    }


def test_a_row_has_steps_bytes_rate_and_its_last_sign() -> None:
    row = row_of(BEGUN, STARTED, moved(0), moved(10_000_000), moved(20_000_000))
    assert row.steps == (0, 2)
    assert row.moved() == (20_000_000, 6_980_000_000)
    assert (row.silent_s(5.0), row.silent_s(65.0)) == (0.0, 60.0)
    assert table.rate(row, 5.0) == pytest.approx(1e7, rel=0.2)
    says = table.sentence(row, 35.0)
    assert says.startswith("mac1: running, 0 of 2 steps, models: checking, 20.0 MB of 7.00 GB")
    assert "silent for 30 s" in says


@pytest.mark.parametrize(
    ("code", "outcome"),
    [
        (None, Outcome.OK),
        ("disk_full", Outcome.FULL),
        ("disk-low", Outcome.FULL),
        ("home_locked", Outcome.BUSY),
        ("lock", Outcome.WRONG),
        ("network", Outcome.FAILED),
    ],
)
def test_a_report_says_how_it_went_whatever_the_connection_did(code: str | None, outcome: Outcome) -> None:
    row = row_of(BEGUN, reported(code), outcome=Outcome.LOST)
    assert row.outcome is outcome
    assert row_of(reported(None, changed=False), outcome=Outcome.LOST).outcome is Outcome.UNCHANGED


@pytest.mark.parametrize(
    ("command", "more", "says"),
    [
        ("plan", {"download_bytes": 7_700_000_000, "expected_s": 700.0}, "7.70 GB to download, about 12 min"),
        ("plan", {}, "nothing to do"),
        ("status", {}, "ComfyUI answers"),
        ("doctor", {}, "no problems"),
    ],
)
def test_a_look_that_went_well_is_ok_and_says_what_it_saw(command: str, more: dict[str, object], says: str) -> None:
    row = row_of({**reported(None, **more), "command": command, "changed": False}, outcome=Outcome.LOST)
    assert (row.outcome, row.says) == (Outcome.OK, says)


def test_the_first_image_names_its_device() -> None:
    row = row_of(reported(None, image={"device": "cpu", "seconds_warm": 2.0, "chip": "M1"}), outcome=Outcome.LOST)
    assert "on cpu" in row.says
    assert result_of(row).device == "cpu"


@pytest.mark.parametrize(
    "line",
    [
        "{",
        "[1]",
        '{"type": "report", "ok": "yes"}',
        f'{{"type": "report", "ok": true, "changed": false, "seconds": 1, "download_bytes": 1{"0" * 400}}}',
        '{"type": "report", "ok": true, "changed": false, "seconds": 1e308}',
        '{"type": "progress", "step": "a", "subject": "b", "done": 1e300, "kind": "download", "unit": "bytes"}',
        '{"type": "progress", "step": "a", "subject": "b", "done": -5, "kind": "download", "unit": "bytes"}',
        '{"type": "run_started", "needs": {"a": ["a"], "b": ["c"], "c": ["b"]}}',
        '{"type": "step_finished", "step": "\\u001b[2J", "verdict": 7}',
        '{"type": ' + "[" * 1000 + "]" * 1000 + "}",
    ],
)
def test_what_makes_no_sense_changes_nothing_for_the_worse(line: str) -> None:
    row = row_of(BEGUN, STARTED)
    row.add(5.0, Message("mac1", line=line))
    assert table.table_lines([row], 6.0, 80, 24)
    assert all(len(each.plain) < 80 and "\x1b" not in each.plain for each in table.table_lines([row], 6.0, 80, 24))


def test_a_row_does_not_grow_without_end() -> None:
    row = row_of({"type": "run_started", "needs": {f"s{n}": [] for n in range(5000)}})
    for number in range(2 * TASKS_MAX):
        row.add(1.0, Message("mac1", line=json.dumps({**STARTED, "step": f"step{number}"})))
        row.add(1.0, Message("mac1", line=json.dumps({**moved(1), "subject": f"file{number}"})))
    assert len(row.state.steps) <= TASKS_MAX + 40
    assert sum(len(step.tasks) for step in row.state.steps.values()) <= TASKS_MAX


def test_the_table_is_within_the_terminal_and_those_at_work_come_first() -> None:
    rows = [row_of(reported(None), outcome=Outcome.LOST) for _ in range(40)]
    for number, row in enumerate(rows):
        row.mac = f"mac{number}"
    rows.append(row_of(BEGUN, STARTED))
    lines = table.table_lines(rows, 3.0, 60, 12)
    assert len(lines) <= 10
    assert all(len(each.plain) < 60 for each in lines)
    assert any(each.plain.startswith("mac1 ") and "running" in each.plain for each in lines)
    assert lines[-1].plain == "40 of 41 done, 1 to go"


def test_a_mac_far_behind_the_others_is_slow() -> None:
    rows = []
    for number, step in enumerate((10_000_000, 11_000_000, 9_000_000, 500_000)):
        rows.append(row_of(BEGUN, STARTED, *(moved(step * place) for place in range(4))))
        rows[-1].mac = f"mac{number}"
    assert table.slow_ones(rows, 6.0) == {"mac3"}
    assert "slow" in table.sentence(rows[3], 6.0, slow=True)
    assert table.slow_ones(rows[:2], 6.0) == set()


def test_the_record_adds_to_what_is_known_and_is_of_one_file(tmp_path: Path) -> None:
    hosts = tmp_path / "macs.toml"
    write_record(hosts, "now", [MacResult("a", Outcome.OK, "", 1.0), MacResult("b", Outcome.DOWN, "", 1.0)])
    write_record(hosts, "later", [MacResult("b", Outcome.HUNG, "", 2.0)])
    record = read_record(hosts)
    assert record is not None
    assert {mac: each.outcome for mac, each in record.macs.items()} == {"a": Outcome.OK, "b": Outcome.HUNG}
    assert others(record, ["a", "b", "c"]) == ["b", "c"]
    assert read_record(tmp_path / "other.toml") is None
    (tmp_path / "fleet-last.json").write_text("{")
    assert read_record(hosts) is None


def test_a_small_disk_and_another_kind_of_machine_are_refused_before_a_byte_moves(tmp_path: Path) -> None:
    bare = Look(home="/Users/a", kind="Darwin arm64", macos="15.1", free_bytes=5_000_000_000)
    why = refusal(bare, Wants(free_bytes=12_000_000_000))
    assert why is not None
    assert why[0] is Outcome.FULL
    there = Look(home="/Users/a", kind="Darwin arm64", free_bytes=5_000_000_000, installed=True)
    assert refusal(there, Wants(free_bytes=12_000_000_000)) is None
    lock = tmp_path / "provision.lock"
    lock.write_text(LOCK)
    assert refusal(bare, Wants(lock=str(lock))) is None
    for kind, macos in (("Darwin arm64", "13.6"), ("Darwin x86_64", "15.1"), ("Linux x86_64", "")):
        why = refusal(Look(home="/a", kind=kind, macos=macos), Wants(lock=str(lock)))
        assert why is not None
        assert why[0] is Outcome.WRONG
        assert "macOS 14.0 arm64" in why[1]
