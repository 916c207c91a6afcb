"""How things look: events and reports as text and as rich renderables. Nothing here prints."""

from __future__ import annotations

import shlex
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from provision.consequences import follows_from
from provision.errors import ProvisionError
from provision.events import (
    ApplyStarted,
    CheckSlow,
    Event,
    FindingSeen,
    ImageMade,
    Mend,
    MendingPlanned,
    Note,
    Output,
    Progress,
    StepFinished,
)
from provision.finding import Finding, Verdict
from provision.step import Report, StepReport

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table
    from rich.text import Text

ARROW, FOLLOWING = "→", "↳"
MARKS = {Verdict.OK: "✓", Verdict.WARN: "!", Verdict.FIXABLE: "·", Verdict.BLOCKED: "✗"}
STYLES = {Verdict.OK: "green", Verdict.WARN: "yellow", Verdict.FIXABLE: "cyan", Verdict.BLOCKED: "red"}
RATE_WINDOW_S = 8.0


def size_text(size_bytes: float) -> str:
    """Bytes for people, in decimal units as disks and networks are sold: `6.94 GB`."""
    for unit, factor, digits, least in (("GB", 1e9, 2, 999.95e6), ("MB", 1e6, 1, 999.95e3), ("kB", 1e3, 1, 1e3)):
        if size_bytes >= least:
            return f"{size_bytes / factor:.{digits}f} {unit}"
    return f"{int(size_bytes)} B"


def time_text(seconds: float) -> str:
    """Seconds for people: `0.4 s`, `12 s`, `3 min 20 s`, `1 h 05 min`."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


@dataclass
class Rate:
    """Bytes a second over the last seconds; None while too little was seen."""

    seen: deque[tuple[float, int]] = field(default_factory=deque)

    def add(self, now: float, done: int) -> None:
        """Bytes done by now; a number that falls starts anew."""
        if self.seen and done < self.seen[-1][1]:
            self.seen.clear()
        self.seen.append((now, done))
        while now - self.seen[0][0] > RATE_WINDOW_S:
            self.seen.popleft()

    @property
    def bytes_per_s(self) -> float | None:
        """The rate, None while it is not known."""
        if len(self.seen) < 2 or self.seen[-1][0] - self.seen[0][0] < 0.5:
            return None
        return (self.seen[-1][1] - self.seen[0][1]) / (self.seen[-1][0] - self.seen[0][0])


def progress_text(event: Progress, rate: float | None = None) -> str:
    """`sd_xl_turbo.safetensors 1.20 GB of 6.94 GB, 40.1 MB/s, 2 min 23 s left`."""
    if event.unit != "bytes":
        of = f" of {event.total}" if event.total is not None else ""
        return f"{event.subject} {event.done}{of} {event.unit}"
    text = f"{event.subject} {size_text(event.done)}"
    if event.total is not None:
        text += f" of {size_text(event.total)}"
    if rate:
        text += f", {size_text(rate)}/s"
        if event.total is not None:
            text += f", {time_text(max(0, event.total - event.done) / rate)} left"
    return text


def step_line(event: StepFinished) -> str:
    """A finished step as one plain line."""
    mark = MARKS[Verdict(event.verdict)]
    seconds = f" ({time_text(event.seconds)})" if event.seconds >= 0.5 else ""
    return f"{mark} {event.step:<13} {_one_line(event.says)}{seconds}"


def step_text(event: StepFinished) -> Text:
    """A finished step as one coloured line."""
    from rich.text import Text

    verdict = Verdict(event.verdict)
    seconds = f"  {time_text(event.seconds)}" if event.seconds >= 0.5 else ""
    return Text.assemble(
        (MARKS[verdict], STYLES[verdict]),
        " ",
        (f"{event.step:<13}", "bold"),
        _one_line(event.says),
        (seconds, "dim"),
    )


def note_text(event: Note) -> Text:
    """A note, indented under the steps."""
    from rich.text import Text

    return Text.assemble((f"  {event.step:<13} " if event.step else "", "dim"), event.says)


def slow_line(event: CheckSlow) -> str:
    """What a check that takes long waits for."""
    return f"  {event.step}: {event.says} ... ({time_text(event.seconds)})"


def mending_text(event: MendingPlanned) -> str:
    """What `doctor --fix` is about to do, numbered in its order, with bytes and questions."""
    if not event.mends:
        return "There is nothing here that can be mended by itself."
    mends = [mend for mend in event.mends if not mend.waits_for]
    lines = ["This will be mended, in this order:"] if mends else []
    for place, mend in enumerate(mends, 1):
        lines += [f"{place:>2}. {mend.step}: {mend.says}  [{mend.id}]", f"    {ARROW} {_does(mend)}"]
    if event.download_bytes:
        lines.append(f"In all {size_text(event.download_bytes)} are downloaded.")
    if event.then:
        lines.append(f"Then what needs it is looked at again, and mended where it must be: {', '.join(event.then)}.")
    waiting = dict.fromkeys((mend.id, mend.waits_for) for mend in event.mends if mend.waits_for)
    lines += [f"Not before you have mended what stops {step}: {id}." for id, step in waiting]
    return "\n".join(lines)


def _does(mend: Mend) -> str:
    bytes_ = f" Downloads {size_text(mend.download_bytes)}." if mend.download_bytes else ""
    return f"Asked first: {mend.asks}{bytes_}" if mend.asks else f"{mend.does}{bytes_}"


def _one_line(text: str) -> str:
    return text.splitlines()[0] if text else text


def log_line(event: Event) -> str:
    """An event as a line of the tool's log; empty for what would only fill it."""
    if isinstance(event, Output):
        return f"{event.step}: | {event.line}"
    if isinstance(event, Note | ApplyStarted):
        return f"{event.step}: {event.says}"
    if isinstance(event, MendingPlanned):
        return mending_text(event)
    if isinstance(event, FindingSeen):
        finding = event.finding
        return f"{event.step}: [{finding.verdict}] {finding.id} {finding.subject}: {finding.says}"
    if isinstance(event, StepFinished):
        return f"{event.step}: finished {event.verdict} in {event.seconds:.2f} s: {event.says}"
    if isinstance(event, ImageMade):
        return f"{event.step}: image {event.path} in {event.seconds:.2f} s"
    return ""


@dataclass(frozen=True, slots=True)
class LiveRow:
    """A step at work, as the live view draws it."""

    name: str
    doing: str
    progress: Sequence[Progress]
    rate: float | None
    output: str
    started: float


SPINNER = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"


def live_table(rows: Sequence[LiveRow], now: float) -> RenderableType:
    """The steps that are at work, each with its bytes or what it does."""
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 1))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True, min_width=13)
    table.add_column(no_wrap=True, overflow="ellipsis")
    table.add_column(no_wrap=True, justify="right")
    for row in rows:
        spin = SPINNER[int(now * 8) % len(SPINNER)]
        seconds = Text(time_text(now - row.started), style="dim")
        if row.progress:
            for event in row.progress[-2:]:
                table.add_row(Text(spin, style="cyan"), Text(row.name, style="bold"),
                              Text(f"{bar(event)}{progress_text(event, row.rate)}"), seconds)  # fmt: skip
        else:
            doing = Text.assemble(row.doing, (f"  {row.output}" if row.output else "", "dim"))
            table.add_row(Text(spin, style="cyan"), Text(row.name, style="bold"), doing, seconds)
    return table


def bar(event: Progress, width: int = 16) -> str:
    """A bar of blocks, empty when the total is not known."""
    if not event.total:
        return ""
    full = min(width, int(width * event.done / event.total))
    return "━" * full + "╌" * (width - full) + " "


def command_text(finding: Finding) -> str:
    """The fix of a finding as it can be read and pasted, empty when there is none."""
    if finding.fix is None:
        return ""
    command = shlex.join(finding.fix.argv)
    return f"{finding.fix.says}   {command}" if command else finding.fix.says


def checkup_text(report: Report, closing: str, *, details: bool = False) -> str:
    """Every finding, grouped by step, in the order of the steps; `details` too where they are wanted."""
    lines: list[str] = []
    for step in report.steps:
        rows = [] if step.error is None else [f"{MARKS[Verdict.BLOCKED]} {step.error['message']}"]
        if step.waits_for is not None:
            rows.append(f"{FOLLOWING} not looked at, because of {step.waits_for}")
        for finding in step.findings:
            rows += _checkup_rows(finding) if details or not finding.is_detail else []
        lines += [f"{step.name if place == 0 else '':<13} {row}" for place, row in enumerate(rows)]
    return "\n".join([*lines, closing])


def _checkup_rows(finding: Finding) -> list[str]:
    """A finding, and its fix below it; what follows from another is mended with that one."""
    if cause := follows_from(finding):
        return [f"{FOLLOWING} {finding.says}  [{finding.id}, follows from {cause}]"]
    fix = command_text(finding) if finding.verdict is not Verdict.OK else ""
    return [f"{MARKS[finding.verdict]} {finding.says}  [{finding.id}]", *([f"  {ARROW} {fix}"] if fix else [])]


def trouble(step: StepReport) -> list[tuple[Verdict, str, str, str]]:
    """What a person should see of a step: verdict, id, sentence, what to do."""
    rows = []
    if step.error is not None:
        error = step.error
        rows.append((Verdict.BLOCKED, str(error["code"]), str(error["message"]), str(error["hint"])))
    for finding in step.findings:
        shown = finding.verdict is not Verdict.OK and not (step.error and finding.verdict is Verdict.FIXABLE)
        if shown:
            rows.append((finding.verdict, finding.id, finding.says, command_text(finding)))
    return rows


def shown_trouble(report: Report) -> list[tuple[str, Verdict, str, str, str]]:
    """`trouble` of all steps, each with its step, the worst first; a fix that the next row has too is shown once."""
    rows = [(step.name, *row) for step in report.steps for row in trouble(step)]
    rows.sort(key=lambda row: -row[1].rank)  # stable: among equals the order of the steps stays
    following = [*(row[4] for row in rows[1:]), ""]
    return [(*row[:4], "" if row[4] == after else row[4]) for row, after in zip(rows, following, strict=False)]


def not_started(report: Report) -> str:
    """The steps that had to wait, in one sentence; empty when none had."""
    waiting = ", ".join(step.name for step in report.steps if step.waits_for)
    return f"Not started because of that: {waiting}." if waiting else ""


def report_text(report: Report, closing: str) -> str:
    """The end of a run in plain text."""
    lines: list[str] = []
    for step, verdict, id, says, fix in shown_trouble(report):
        lines.append(f"{MARKS[verdict]} {step}: {says} [{id}]")
        if fix:
            lines.append(f"  {ARROW} {fix}")
    return "\n".join(line for line in [*lines, not_started(report), closing] if line)


def report_view(report: Report, closing: str) -> RenderableType:
    """The end of a run for a terminal."""
    from rich.console import Group
    from rich.text import Text

    lines: list[Text] = []
    for step, verdict, id, says, fix in shown_trouble(report):
        lines.append(Text.assemble((MARKS[verdict], STYLES[verdict]), f" {step}: ", says, (f"  [{id}]", "dim")))
        if fix:
            lines.append(Text.assemble(("  " + ARROW + " ", "cyan"), fix))
    if waiting := not_started(report):
        lines.append(Text(waiting, "dim"))
    return Group(*lines, Text(closing, style="bold"))


def error_view(error: ProvisionError, log: Path | None) -> RenderableType:
    """An error for a terminal."""
    from rich.text import Text

    text = Text.assemble(("✗ ", "red"), error.message, "\n", (f"  {ARROW} ", "cyan"), error.hint)
    return text + Text(f"\n  log: {log}", style="dim") if log is not None and log.exists() else text


def plan_table(report: Report, title: str = "What `provision all` would do") -> Table:
    """What `all` would do: step, what will happen, bytes over the network, bytes on the disk."""
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    table.add_column("step", style="bold", no_wrap=True)
    table.add_column("what")
    table.add_column("network", justify="right", no_wrap=True)
    table.add_column("disk", justify="right", no_wrap=True)
    for step in report.steps:
        for finding in (finding for finding in step.findings if not finding.is_detail):
            network, disk = finding.quantity("download_bytes"), finding.quantity("disk_bytes")
            says = finding.says
            if finding.verdict is Verdict.FIXABLE and finding.fix:
                says = f"{finding.says} {finding.fix.says}"
            elif finding.fix:
                says = f"{finding.says}\n{ARROW} {command_text(finding)}"
            table.add_row(
                f"{MARKS[finding.verdict]} {step.name}", Text(says),
                size_text(network) if network else "", size_text(disk) if disk else "",
            )  # fmt: skip
        if step.error is not None:
            table.add_row(f"{MARKS[Verdict.BLOCKED]} {step.name}", Text(str(step.error["message"])), "", "")
    table.add_section()
    table.add_row("total", "", size_text(report.total("download_bytes")), size_text(report.total("disk_bytes")))
    return table


def pairs_table(rows: Sequence[tuple[str, str]]) -> Table:
    """Names and values, for `status` and `manifests`."""
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in rows:
        table.add_row(Text(name), Text(value))
    return table


def picture(png: bytes, columns: int) -> Text:
    """A picture in half blocks: two pixels a character."""
    from rich.text import Text

    from provision.image import half_blocks

    text = Text()
    for row in half_blocks(png, columns):
        for (r, g, b), (r2, g2, b2) in row:
            text.append("▀", style=f"rgb({r},{g},{b}) on rgb({r2},{g2},{b2})")
        text.append("\n")
    return text
