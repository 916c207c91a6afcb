"""How things look: events and reports as text and as rich renderables. Nothing here prints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from provision.command import Fix
from provision.core import events
from provision.core.finding import Finding, Verdict
from provision.core.step import Report
from provision.errors import ProvisionError
from provision.output.hints import HERE, Invocation
from provision.output.run_state import RunState
from provision.system.visible import uncoloured, visible

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table
    from rich.text import Text


@dataclass(frozen=True, slots=True)
class Marks:
    """How verdicts, and what to do next, are marked in text."""

    of: Mapping[Verdict, str]
    arrow: str
    named: str
    """How a step's name stands before its sentence."""


GLYPHS = Marks({Verdict.OK: "✓", Verdict.WARN: "!", Verdict.FIXABLE: "·", Verdict.BLOCKED: "✗"}, "→", "{:<13}")
WORDS = Marks(
    {Verdict.OK: "ok", Verdict.WARN: "note", Verdict.FIXABLE: "to do", Verdict.BLOCKED: "stop"}, "next:", "{}:"
)
"""For `--plain`: a screen reader speaks them."""
MARKS, ARROW = GLYPHS.of, GLYPHS.arrow
FOLLOWING = "↳"
NAME_WIDTH = 14
STYLES = {Verdict.OK: "green", Verdict.WARN: "yellow", Verdict.FIXABLE: "cyan", Verdict.BLOCKED: "red"}


Line = Sequence[tuple[str, str]]
"""Texts with their styles, which the terminal may wrap and nobody breaks: what is copied from it can be pasted."""


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


def rounded_time(seconds: float) -> str:
    """An estimate, no more exact than it can be: `5 s`, `40 s`, `3 min`, `12 min`."""
    if seconds < 60:
        step = 5 if seconds < 30 else 10
        return f"{max(5, round(seconds / step) * step)} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def amount_text(done: int, total: int | None) -> str:
    """`2.91 of 6.94 GB`, `83.4 kB of 2.1 MB`; what is done alone where the total is not known."""
    if total is None:
        return size_text(done)
    here, all_ = size_text(done), size_text(total)
    return f"{here.split()[0] if here.split()[1] == all_.split()[1] else here} of {all_}"


def progress_text(event: events.Progress, rate: float | None = None) -> str:
    """`sd_xl_turbo.safetensors 1.20 GB of 6.94 GB, 40.1 MB/s, 2 min 23 s left`."""
    if event.unit != "bytes":
        of = f" of {event.total}" if event.total is not None else ""
        return f"{event.says} {event.done}{of} {event.unit}"
    parts = [f"{event.says} {size_text(event.done)}"]
    if event.total is not None:
        parts[0] += f" of {size_text(event.total)}"
    if rate:
        parts.append(f"{size_text(rate)}/s")
    if rate and event.total is not None:
        parts.append(f"{time_text(max(0, event.total - event.done) / rate)} left")
    return ", ".join(parts)


def total_text(state: RunState, now: float) -> str:
    """`4 of 10 steps, 2.91 of 7.80 GB, about 3 min 40 s left`."""
    parts = [f"{len(state.done())} of {len(state.steps)} steps"]
    moved, coming = state.bytes_moved(), state.bytes_left()
    if moved or coming:
        parts.append(amount_text(moved, moved + coming))
    left = state.seconds_left(now)
    parts.append(f"about {rounded_time(left)} left" if left is not None else "time left unknown")
    return ", ".join(parts)


def kept_text(state: RunState) -> str:
    """What a run that is stopped now leaves for the next one; empty when that is nothing."""
    done = [step.name for step in state.done() if step.verdict in (Verdict.OK, Verdict.WARN)]
    steps = [f"{len(done)} of {len(state.steps)} steps ({', '.join(done)})"] if done else []
    count = len(state.images)
    images = [f"{count} image{'s' if count > 1 else ''}, the last is {state.images[-1]}"] if count else []
    begun = [f"{amount_text(task.at.done, task.at.total)} of {task.at.subject}" for task in state.unfinished()]
    return "; ".join([*(images or steps), *begun])


def step_line(event: events.StepFinished, marks: Marks = GLYPHS) -> str:
    seconds = f" ({time_text(event.seconds)})" if event.seconds >= 0.5 else ""
    return f"{marks.of[Verdict(event.verdict)]} {marks.named.format(event.step)} {_one_line(event.says)}{seconds}"


def step_row(event: events.StepFinished) -> RenderableType:
    """A finished step for a terminal, its sentence beside its name."""
    from rich.text import Text

    verdict = Verdict(event.verdict)
    taken = time_text(event.seconds).replace(" ", "\N{NO-BREAK SPACE}")
    seconds = f"  {taken}" if event.seconds >= 0.5 else ""
    name = Text.assemble((MARKS[verdict], STYLES[verdict]), " ", (event.step, "bold"))
    return _beside(name, Text.assemble(_one_line(event.says), (seconds, "dim")))


def note_row(event: events.Note, call: Invocation = HERE) -> RenderableType:
    """A note for a terminal, under the steps."""
    from rich.text import Text

    says = Text(visible(spoken(event, call)), overflow="ignore" if not event.step else None)
    return _beside(Text(f"  {event.step}", style="dim"), says) if event.step else says


def _beside(name: Text, says: Text) -> RenderableType:
    from rich.table import Table

    row = Table.grid(padding=(0, 1))
    row.add_column(no_wrap=True, min_width=NAME_WIDTH)
    row.add_column(overflow="fold")
    row.add_row(name, says)
    return row


def run_text(run: events.RunInProgress) -> str:
    """A run in progress, in words: `all (pid 4711): models, torch; 1.2 of 6.9 GB, 12.0 MB/s, 8 min left`."""
    moved = f"{size_text(run.done_bytes)} of {size_text(run.done_bytes + run.left_bytes)}"
    parts = [
        moved if run.done_bytes or run.left_bytes else "",
        f"{size_text(run.bytes_per_s)}/s" if run.bytes_per_s and run.left_bytes else "",
        f"{time_text(run.seconds_left)} left" if run.seconds_left is not None else "",
    ]
    what = ", ".join(run.active) or "starting"
    return "; ".join(filter(None, [f"{run.command} (pid {run.pid}): {what}", ", ".join(filter(None, parts))]))


def spoken(event: events.Event, call: Invocation = HERE) -> str:
    """What an event says to people; empty for one that says nothing by itself."""
    match event:
        case events.ApplyStarted():
            return event.says
        case events.Note():
            return call.text(Fix(event.says, event.argv))
        case events.Waiting():
            return waiting_text(event.says, event.seconds)
        case events.CheckSlow(over=False):
            return f"{event.says} ... ({time_text(event.seconds)})"
        case events.MendingPlanned():
            return mending_text(event)
    return ""


def mending_text(event: events.MendingPlanned) -> str:
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


def _does(mend: events.Mend) -> str:
    bytes_ = f" Downloads {size_text(mend.download_bytes)}." if mend.download_bytes else ""
    return f"Asked first: {mend.asks}{bytes_}" if mend.asks else f"{mend.does}{bytes_}"


def _one_line(text: str) -> str:
    return visible(text).partition("\n")[0]


def waiting_text(says: str, seconds: float) -> str:
    """What is waited for, and for how long: `The hub answers 503. Going on in 8 s.`"""
    return f"{says} Going on in {time_text(max(0, seconds)) if seconds > 0.5 else 'a moment'}."


def log_line(event: events.Event) -> str:
    """An event as a line of our log; empty for what would only fill it."""
    says = spoken(event)
    match event:
        case events.MendingPlanned():
            return says
        case events.CheckSlow():
            return ""
        case events.Output():
            says = f"| {event.line}"
        case events.FindingSeen(finding=finding):
            says = f"[{finding.verdict}] {finding.id} {finding.subject}: {finding.says}"
        case events.StepFinished():
            says = f"finished {event.verdict} in {event.seconds:.2f} s: {event.says}"
        case events.ImageMade():
            says = f"image {event.path} in {event.seconds:.2f} s"
    return f"{event.step}: {says}" if says else ""


def checkup_text(
    report: Report, closing: str, *, details: bool = False, marks: Marks = GLYPHS, call: Invocation = HERE
) -> str:
    """Every finding, grouped by step, in the order of the steps; `details` too where they are wanted."""
    lines: list[str] = []
    for step in report.steps:
        rows = [] if step.error is None else [f"{marks.of[Verdict.BLOCKED]} {step.error.message}"]
        if step.waits_for is not None:
            rows.append(f"{FOLLOWING} not looked at, because of {step.waits_for}")
        for finding in step.findings:
            rows += _checkup_rows(finding, marks, call) if details or not finding.detail else []
        lines += [f"{step.name if place == 0 else '':<13} {row}" for place, row in enumerate(rows)]
    return "\n".join([*lines, closing])


def _checkup_rows(finding: Finding, marks: Marks, call: Invocation) -> list[str]:
    """A finding with its fix below; one that follows from another has none of its own."""
    if finding.caused_by:
        return [f"{FOLLOWING} {finding.says}  [{finding.id}, follows from {finding.caused_by}]"]
    fix = call.text(finding.fix) if finding.verdict is not Verdict.OK else ""
    return [f"{marks.of[finding.verdict]} {finding.says}  [{finding.id}]", *([f"  {marks.arrow} {fix}"] if fix else [])]


def shown_trouble(report: Report) -> list[tuple[str, Verdict, str, str, Fix | None]]:
    """What is not right: step, verdict, id, sentence, fix; the worst first.

    A fix that the next row has too is shown once.
    """
    rows: list[tuple[str, Verdict, str, str, Fix | None]] = []
    for step in report.steps:
        failed = step.error
        if failed is not None:
            rows.append((step.name, Verdict.BLOCKED, failed.code, failed.message, failed.hint))
        hidden = (Verdict.OK, Verdict.FIXABLE) if failed is not None else (Verdict.OK,)
        seen = [finding for finding in step.findings if finding.verdict not in hidden]
        rows += [(step.name, finding.verdict, finding.id, finding.says, finding.fix) for finding in seen]
    rows.sort(key=lambda row: -row[1].rank)  # stable: among equals the order of the steps stays
    following = [*(row[4] for row in rows[1:]), None]
    return [(*row[:4], None if row[4] == after else row[4]) for row, after in zip(rows, following, strict=False)]


def report_lines(report: Report, closing: str, marks: Marks = GLYPHS, call: Invocation = HERE) -> list[Line]:
    """The end of a run: what is not right and its fix, what had to wait, then closing words."""
    lines: list[Line] = []
    for step, verdict, id, says, fix in shown_trouble(report):
        first, *more = visible(says).splitlines() or [""]
        lines.append([(marks.of[verdict], STYLES[verdict]), (f" {step}: {first}", ""), (f" [{id}]", "dim")])
        lines += [[(f"    {line}", "dim")] for line in more]
        lines += [_to_do(fix, marks, call)] if fix else []
    if waiting := ", ".join(step.name for step in report.steps if step.waits_for):
        lines.append([(f"Not started because of that: {waiting}.", "dim")])
    return lines + [[(line, "bold")] for line in visible(closing).splitlines()]


def error_lines(
    error: ProvisionError, log: Path | None, head: str, marks: Marks = GLYPHS, call: Invocation = HERE
) -> list[Line]:
    """An error: what happened and why, a program's last words under it, what to type next, where more is written."""
    first, *more = visible(uncoloured(error.message)).splitlines() or [error.code]
    said = [[(f"    {line}", "dim")] for line in more]
    where = [[(visible(f"  log: {log}"), "dim")]] if log is not None else []
    return [[(f"{head} ", "red"), (first, "")], *said, _to_do(error.hint, marks, call), *where]


def _to_do(fix: Fix, marks: Marks, call: Invocation) -> Line:
    return [(f"  {marks.arrow} ", "cyan"), (visible(call.text(fix)), "")]


def plain(lines: Sequence[Line]) -> str:
    return "\n".join("".join(text for text, _ in line) for line in lines)


def painted(lines: Sequence[Line]) -> RenderableType:
    """Lines for a terminal."""
    from rich.console import Group
    from rich.text import Text

    return Group(*(Text.assemble(*line, no_wrap=True, overflow="ignore") for line in lines))


def pairs_table(rows: Sequence[tuple[str, ...]]) -> Table:
    """Names and values, the last of which folds where it is long."""
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    for _ in rows[0][2:] if rows else ():
        table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for name, *values in rows:
        table.add_row(Text(visible(name, one_line=True)), *(Text(visible(value)) for value in values))
    return table


def picture(png: bytes, columns: int) -> Text:
    """A picture in half blocks: two pixels a character."""
    from rich.text import Text

    from provision.core.image import half_blocks

    text = Text()
    for row in half_blocks(png, columns):
        for (r, g, b), (r2, g2, b2) in row:
            text.append("▀", style=f"rgb({r},{g},{b}) on rgb({r2},{g2},{b2})")
        text.append("\n")
    return text
