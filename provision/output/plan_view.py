"""How a plan looks: a block a step with its numbers in columns, or sentences for a screen reader."""

from __future__ import annotations

from collections.abc import Sequence

from provision.core.finding import Verdict
from provision.core.plan import Plan, PlanRow
from provision.output.amounts import rounded_time, size_text
from provision.output.hints import HERE, Invocation
from provision.output.layout import KEPT, Line, Span, line, prose
from provision.output.views import ARROW, MARKS, NAME_WIDTH, STYLES, WORDS
from provision.system.visible import visible

HEADS = ("network", "disk", "at peak", "time")
COLUMN = 10
TITLE = "What `provision all` would do"
SHORT_S = 5.0
"""What takes less is not told apart."""


def plan_lines(plan: Plan, title: str = "", call: Invocation = HERE) -> list[Line]:
    """The plan in columns that fit into 60."""
    counted = any(_numbers(row) != [""] * len(HEADS) for row in plan.rows)
    lines = [line((title or TITLE, "bold"))]
    if counted:
        lines.append(line((" " * NAME_WIDTH + _columns(HEADS), "dim")))
    before = ""
    for row in plan.rows:
        name, before = row.step if row.step != before else "", row.step
        numbers, says = _columns(_numbers(row)), visible(row.says).splitlines()
        head = (MARKS[row.verdict], STYLES[row.verdict]), " ", (f"{name:<{NAME_WIDTH - 2}}", "bold")
        if name and not numbers and row.verdict is Verdict.OK:
            lines.append(line(*head, " ", (says.pop(0), "dim"), hang=NAME_WIDTH + 1))
        elif name or numbers:
            lines.append(line(*head, (numbers, KEPT)))
        style = "" if row.verdict is not Verdict.OK else "dim"
        lines += [line((f"  {each}", style), hang=2) for each in says]
        if row.command:
            lines.append(line((f"  {ARROW} ", "cyan"), (call.text(row.command), KEPT)))
    total = line((f"  {'total':<{NAME_WIDTH - 2}}{_columns(_totals(plan))}", f"{KEPT} bold"))
    return [*lines, total] if counted else lines


def _columns(texts: Sequence[str]) -> str:
    return "".join(f"{text:>{COLUMN}}" for text in texts).rstrip()


def _numbers(row: PlanRow) -> list[str]:
    sizes = [size_text(size) if size else "" for size in (row.download_bytes, row.disk_bytes, row.peak_bytes)]
    return [*sizes, about(row.seconds)]


def _totals(plan: Plan) -> list[str]:
    sizes = (plan.download_bytes, plan.disk_bytes, plan.peak_bytes)
    return [*(size_text(size) if size else "" for size in sizes), about(plan.seconds)]


def about(seconds: float) -> str:
    """An estimate; empty for no time at all."""
    return "" if not seconds else f"<{SHORT_S:.0f} s" if seconds < SHORT_S else rounded_time(seconds)


def plan_sentences(plan: Plan, title: str = "", call: Invocation = HERE) -> list[Line]:
    """The plan as sentences, one a line."""
    lines = prose(f"{title or TITLE}:")
    for row in plan.rows:
        network, disk, peak, time = _numbers(row)
        named = (("over the network", network), ("on the disk", disk), ("at peak", peak), ("expected", time))
        numbers = ", ".join(f"{text} {name}" for name, text in named if text)
        says = f"{row.step}: {WORDS.of[row.verdict]}. {' '.join(row.says.split())}"
        todo: list[Span] = [(" Next: ", ""), (call.text(row.command), KEPT)] if row.command else []
        lines.append(line(f"{says}{f' ({numbers}.)' if numbers else ''}", *todo))
    network, disk, peak, time = _totals(plan)
    sizes = f"{network or '0 B'} over the network, {disk or '0 B'} on the disk, {peak or '0 B'} at peak"
    return [*lines, line(f"total: {sizes}, {time or 'no time'}")]


def reckoned_with(plan: Plan) -> str:
    """Where the time is from, as a sentence; empty where nothing is downloaded."""
    if not plan.download_bytes:
        return ""
    rate = f"{size_text(plan.bytes_per_s)}/s"
    seen = f"use {rate}, measured here before" if plan.measured else f"assume {rate} (nothing was measured here yet)"
    return f"Times {seen}; steps run in parallel, and the total is that of the longest chain."
