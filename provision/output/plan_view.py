"""How a plan looks: a table where there is room, blocks on a narrow terminal, sentences for a screen reader."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from provision.core.finding import Verdict
from provision.core.plan import Plan, PlanRow
from provision.output.hints import HERE, Invocation
from provision.output.views import ARROW, MARKS, NAME_WIDTH, STYLES, WORDS, rounded_time, size_text
from provision.system.visible import visible

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.text import Text

TABLE_WIDTH = 100
"""From here on a table has room for its sentences."""
HEADS = ("network", "disk", "at peak", "time")
COLUMN = 10
TITLE = "What `provision all` would do"


def plan_view(plan: Plan, width: int, title: str = TITLE, call: Invocation = HERE) -> RenderableType:
    """The plan for a terminal of that many columns."""
    return _table(plan, title, call) if width >= TABLE_WIDTH else _blocks(plan, title, call)


def _table(plan: Plan, title: str, call: Invocation) -> RenderableType:
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False)
    table.add_column("step", no_wrap=True)
    table.add_column("what", overflow="fold", ratio=1)
    for head in HEADS:
        table.add_column(head, justify="right", no_wrap=True)
    for name, row in _named(plan):
        table.add_row(name, Text(_sentence(row, call)), *_numbers(row))
    table.add_section()
    table.add_row("  total", "", *_totals(plan), style="bold")
    return table


def _blocks(plan: Plan, title: str, call: Invocation) -> RenderableType:
    from rich.console import Group
    from rich.padding import Padding
    from rich.text import Text

    parts: list[RenderableType] = [Text(title, style="bold"), Text(" " * NAME_WIDTH + _columns(HEADS))]
    for name, row in _named(plan):
        name.pad_right(NAME_WIDTH - name.cell_len)
        if name.plain.strip() or any(_numbers(row)):
            parts.append(Text.assemble(name, _columns(_numbers(row))))
        style = "" if row.verdict is not Verdict.OK else "dim"
        parts.append(Padding(Text(_sentence(row, call), style=style), (0, 0, 0, 2)))
    parts.append(Text(f"{'  total':<{NAME_WIDTH}}{_columns(_totals(plan))}", style="bold"))
    return Group(*parts)


def _columns(texts: Sequence[str]) -> str:
    return "".join(f"{text:>{COLUMN}}" for text in texts).rstrip()


def _named(plan: Plan) -> Iterator[tuple[Text, PlanRow]]:
    """Each row with its mark and, where another step begins, its name."""
    from rich.text import Text

    before = ""
    for row in plan.rows:
        name = row.step if row.step != before else ""
        before = row.step
        yield Text.assemble((MARKS[row.verdict], STYLES[row.verdict]), " ", (name, "bold")), row


def _sentence(row: PlanRow, call: Invocation) -> str:
    return visible(f"{row.says}\n{ARROW} {call.text(row.command)}" if row.command else row.says)


def _numbers(row: PlanRow) -> list[str]:
    sizes = [size_text(size) if size else "" for size in (row.download_bytes, row.disk_bytes, row.peak_bytes)]
    return [*sizes, rounded_time(row.seconds) if row.seconds else ""]


def _totals(plan: Plan) -> list[str]:
    sizes = [size_text(size) for size in (plan.download_bytes, plan.disk_bytes, plan.peak_bytes)]
    return [*sizes, rounded_time(plan.seconds) if plan.seconds else ""]


def plan_text(plan: Plan, title: str = TITLE, call: Invocation = HERE) -> str:
    """The plan as sentences, one a line."""
    lines = [f"{title}:"]
    for row in plan.rows:
        network, disk, peak, time = _numbers(row)
        named = (("over the network", network), ("on the disk", disk), ("at peak", peak), ("expected", time))
        numbers = ", ".join(f"{text} {name}" for name, text in named if text)
        todo = f" Next: {call.text(row.command)}" if row.command else ""
        says = " ".join(row.says.split())
        lines.append(f"{row.step}: {WORDS.of[row.verdict]}. {says}{f' ({numbers}.)' if numbers else ''}{todo}")
    network, disk, peak, time = _totals(plan)
    lines.append(f"total: {network} over the network, {disk} on the disk, {peak} at peak, {time or 'no time'}")
    return "\n".join(lines)


def reckoned_with(plan: Plan) -> str:
    """Where the time is from, as a sentence; empty where nothing is downloaded."""
    if not plan.download_bytes:
        return ""
    how = "as measured here before" if plan.measured else "not measured here yet"
    return f"Times assume {size_text(plan.bytes_per_s)}/s, {how}; steps run in parallel."
