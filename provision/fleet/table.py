"""The rows of a fleet as text: a table for a terminal, a sentence for a log, a value for programs. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text

from provision.core.events import MacAtWork
from provision.fleet.messages import Outcome, Phase
from provision.fleet.row import LATE_S, Row
from provision.output.amounts import amount_text, rounded_time, size_text, time_text
from provision.system.visible import visible

NAME_MAX = 20
COLOURS = {Outcome.OK: "green", Outcome.UNCHANGED: "green", Outcome.STOPPED: "yellow", Outcome.BUSY: "yellow"}
FAILED = "red"
ROWS_LEFT = 3
"""For the cursor, the head and the sum."""
SLOW_SHARE = 4
"""A Mac whose bytes come at less than this part of the middle one's rate is slow."""
SLOW_OF = 3
"""So many must be downloading for one to be slow."""
WAITING = "waiting"


def state_of(row: Row, slow: bool = False) -> str:
    """One word: how it went, else what is going on."""
    if row.outcome is not None:
        return row.outcome
    return "slow" if slow else row.phase or WAITING


def doing(row: Row, now: float) -> str:
    """The step at work and what it does."""
    if row.phase is Phase.SENDING and row.sent[1]:
        return f"the tool, {amount_text(*row.sent)}"
    if row.phase is Phase.INSTALLING:
        return "installing the tool"
    for step in row.state.steps.values():
        if step.active:
            waits = step.waiting if step.until > now else ""
            return f"{step.name}: {waits or step.doing or 'checking'}"
    return ""


def rate(row: Row, now: float) -> float | None:
    """Bytes a second that come to it now."""
    return row.state.rate.at(now) if row.outcome is None else None


def slow_ones(rows: Sequence[Row], now: float) -> set[str]:
    """The names of Macs whose downloads are far slower than the others'."""
    rates = {row.mac: rate(row, now) or 0.0 for row in rows if row.outcome is None and row.moved()[1] > 0}
    middle = sorted(rates.values())[len(rates) // 2] if len(rates) >= SLOW_OF else 0.0
    return {mac for mac, each in rates.items() if each * SLOW_SHARE < middle}


def at_work(row: Row, now: float, slow: bool = False) -> MacAtWork:
    """The row as a value."""
    done, steps = row.steps
    moved, left = row.moved()
    seconds = row.beat.seconds_left if row.beat is not None and row.outcome is None else None
    says = row.says if row.outcome is not None else doing(row, now)
    silent = round(row.silent_s(now), 1)
    return MacAtWork(
        row.mac, state_of(row, slow), done, steps, says, moved, left, rate(row, now), seconds, silent_s=silent
    )


def sentence(row: Row, now: float, slow: bool = False) -> str:
    """The row as a line: `mac1: running, 4 of 11 steps, torch: Installing torch, 1.2 of 6.9 GB, 40 MB/s`."""
    return f"{row.mac}: " + ", ".join(part for part in _parts(row, now, slow) if part)


def _parts(row: Row, now: float, slow: bool) -> list[str]:
    it = at_work(row, now, slow)
    steps = f"{it.steps_done} of {it.steps} steps" if it.steps else ""
    if row.outcome is not None:
        return [it.state, steps if not row.outcome.good else "", time_text(row.seconds), it.doing]
    return [it.state, steps, it.doing, *_numbers(it)]


def _numbers(it: MacAtWork) -> list[str]:
    moves = it.done_bytes or it.left_bytes
    return [
        amount_text(it.done_bytes, it.done_bytes + it.left_bytes) if moves else "",
        f"{size_text(it.bytes_per_s)}/s" if it.bytes_per_s and it.left_bytes else "",
        f"{rounded_time(it.seconds_left)} left" if it.seconds_left is not None else "",
        f"silent for {time_text(it.silent_s)}" if it.silent_s > LATE_S else "",
    ]


def table_lines(rows: Sequence[Row], now: float, width: int, height: int) -> list[Text]:
    """The table of a moment, for a terminal of that size: those at work first, where not all have room."""
    slow = slow_ones(rows, now)
    room = max(1, height - ROWS_LEFT)
    shown = list(rows)
    if len(rows) > room:
        wanted = sorted(rows, key=lambda row: (row.outcome is not None, row.phase is None))[:room]
        shown = [row for row in rows if row in wanted]
    name = min(NAME_MAX, max(len(row.mac) for row in rows))
    lines = [_line(row, now, name, row.mac in slow) for row in shown]
    lines.append(Text(summary(rows), "bold"))
    for line in lines:
        line.truncate(max(1, width - 1), overflow="ellipsis")
    return lines


def _line(row: Row, now: float, name: int, slow: bool) -> Text:
    it = at_work(row, now, slow)
    colour = COLOURS.get(row.outcome, FAILED) if row.outcome is not None else "yellow" if slow else "cyan"
    steps = f"{it.steps_done}/{it.steps}" if it.steps else ""
    numbers = "  ".join(filter(None, _numbers(it))) if row.outcome is None else time_text(row.seconds)
    says = visible(it.doing, one_line=True)
    return Text.assemble(
        (f"{row.mac[:name]:<{name}}", "bold"),
        "  ",
        (f"{it.state:<10}", colour),
        f"{steps:>6}  ",
        f"{numbers}{'  ' if numbers else ''}",
        (says, "dim" if row.outcome is None else ""),
    )


def summary(rows: Sequence[Row]) -> str:
    """`2 of 8 Macs are ready, 1 failed, 5 at work`."""
    good = sum(row.outcome is not None and row.outcome.good for row in rows)
    bad = sum(row.outcome is not None and not row.outcome.good for row in rows)
    left = len(rows) - good - bad
    parts = [f"{good} of {len(rows)} done", f"{bad} not" if bad else "", f"{left} to go" if left else ""]
    return ", ".join(part for part in parts if part)
