"""How things look: events and reports as text and as rich renderables. Nothing here prints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from provision.command import Fix
from provision.core.events import (
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
    Waiting,
)
from provision.core.finding import Finding, Verdict
from provision.core.step import Report, StepReport
from provision.errors import ProvisionError
from provision.output.hints import HERE, Invocation
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


def amount_text(done: int, total: int | None) -> str:
    """`2.91 of 6.94 GB`, `83.4 kB of 2.1 MB`; what is done alone where the total is not known."""
    if total is None:
        return size_text(done)
    here, all_ = size_text(done), size_text(total)
    return f"{here.split()[0] if here.split()[1] == all_.split()[1] else here} of {all_}"


def progress_text(event: Progress, rate: float | None = None) -> str:
    """`sd_xl_turbo.safetensors 1.20 GB of 6.94 GB, 40.1 MB/s, 2 min 23 s left`."""
    if event.unit != "bytes":
        of = f" of {event.total}" if event.total is not None else ""
        return f"{event.says} {event.done}{of} {event.unit}"
    text = f"{event.says} {size_text(event.done)}"
    if event.total is not None:
        text += f" of {size_text(event.total)}"
    if rate:
        text += f", {size_text(rate)}/s"
        if event.total is not None:
            text += f", {time_text(max(0, event.total - event.done) / rate)} left"
    return text


def step_line(event: StepFinished, marks: Marks = GLYPHS) -> str:
    """A finished step as one plain line."""
    mark = marks.of[Verdict(event.verdict)]
    seconds = f" ({time_text(event.seconds)})" if event.seconds >= 0.5 else ""
    return f"{mark} {marks.named.format(event.step)} {_one_line(event.says)}{seconds}"


def step_row(event: StepFinished) -> RenderableType:
    """A finished step for a terminal, its sentence beside its name."""
    from rich.text import Text

    verdict = Verdict(event.verdict)
    taken = time_text(event.seconds).replace(" ", "\N{NO-BREAK SPACE}")
    seconds = f"  {taken}" if event.seconds >= 0.5 else ""
    name = Text.assemble((MARKS[verdict], STYLES[verdict]), " ", (event.step, "bold"))
    return _beside(name, Text.assemble(_one_line(event.says), (seconds, "dim")))


def note_text(event: Note, call: Invocation = HERE) -> str:
    """A note with its command as it can be pasted."""
    return call.text(Fix(event.says, event.command))


def note_row(event: Note, call: Invocation = HERE) -> RenderableType:
    """A note for a terminal, under the steps."""
    from rich.text import Text

    says = Text(visible(note_text(event, call)))
    return _beside(Text(f"  {event.step}", style="dim"), says) if event.step else _whole(says)


def _beside(name: Text, says: Text) -> RenderableType:
    from rich.table import Table

    row = Table.grid(padding=(0, 1))
    row.add_column(no_wrap=True, min_width=NAME_WIDTH)
    row.add_column(overflow="fold")
    row.add_row(name, says)
    return row


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
    return visible(text).partition("\n")[0]


def waiting_text(says: str, seconds: float) -> str:
    """What is waited for, and for how long: `The hub answers 503. Going on in 8 s.`"""
    return f"{says} Going on in {time_text(max(0, seconds)) if seconds > 0.5 else 'a moment'}."


def log_line(event: Event) -> str:
    """An event as a line of the tool's log; empty for what would only fill it."""
    if isinstance(event, Output):
        return f"{event.step}: | {event.line}"
    if isinstance(event, Note):
        return f"{event.step}: {note_text(event)}"
    if isinstance(event, ApplyStarted):
        return f"{event.step}: {event.says}"
    if isinstance(event, MendingPlanned):
        return mending_text(event)
    if isinstance(event, Waiting):
        return f"{event.step}: {waiting_text(event.says, event.seconds)}"
    if isinstance(event, FindingSeen):
        finding = event.finding
        return f"{event.step}: [{finding.verdict}] {finding.id} {finding.subject}: {finding.says}"
    if isinstance(event, StepFinished):
        return f"{event.step}: finished {event.verdict} in {event.seconds:.2f} s: {event.says}"
    if isinstance(event, ImageMade):
        return f"{event.step}: image {event.path} in {event.seconds:.2f} s"
    return ""


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
    """A finding, and its fix below it; what follows from another is mended with that one."""
    if finding.caused_by:
        return [f"{FOLLOWING} {finding.says}  [{finding.id}, follows from {finding.caused_by}]"]
    fix = call.text(finding.fix) if finding.verdict is not Verdict.OK else ""
    return [f"{marks.of[finding.verdict]} {finding.says}  [{finding.id}]", *([f"  {marks.arrow} {fix}"] if fix else [])]


def trouble(step: StepReport) -> list[tuple[Verdict, str, str, Fix | None]]:
    """What a person should see of a step: verdict, id, sentence, what to do."""
    rows: list[tuple[Verdict, str, str, Fix | None]] = []
    if step.error is not None:
        rows.append((Verdict.BLOCKED, step.error.code, step.error.message, step.error.hint))
    for finding in step.findings:
        shown = finding.verdict is not Verdict.OK and not (step.error and finding.verdict is Verdict.FIXABLE)
        if shown:
            rows.append((finding.verdict, finding.id, finding.says, finding.fix))
    return rows


def shown_trouble(report: Report) -> list[tuple[str, Verdict, str, str, Fix | None]]:
    """`trouble` of all steps, each with its step, the worst first; a fix that the next row has too is shown once."""
    rows = [(step.name, *row) for step in report.steps for row in trouble(step)]
    rows.sort(key=lambda row: -row[1].rank)  # stable: among equals the order of the steps stays
    following = [*(row[4] for row in rows[1:]), None]
    return [(*row[:4], None if row[4] == after else row[4]) for row, after in zip(rows, following, strict=False)]


def not_started(report: Report) -> str:
    """The steps that had to wait, in one sentence; empty when none had."""
    waiting = ", ".join(step.name for step in report.steps if step.waits_for)
    return f"Not started because of that: {waiting}." if waiting else ""


def report_text(report: Report, closing: str, marks: Marks = GLYPHS, call: Invocation = HERE) -> str:
    """The end of a run in plain text."""
    lines: list[str] = []
    for step, verdict, id, says, fix in shown_trouble(report):
        first, *more = visible(says).splitlines() or [""]
        lines += [f"{marks.of[verdict]} {step}: {first} [{id}]", *(f"    {line}" for line in more)]
        if fix:
            lines.append(f"  {marks.arrow} {call.text(fix)}")
    return "\n".join(line for line in [*lines, not_started(report), closing] if line)


def report_view(report: Report, closing: str, call: Invocation = HERE) -> RenderableType:
    """The end of a run for a terminal."""
    from rich.console import Group
    from rich.text import Text

    lines: list[Text] = []
    for step, verdict, id, says, fix in shown_trouble(report):
        mark = (MARKS[verdict], STYLES[verdict])
        first, *more = visible(says).splitlines() or [""]
        lines.append(_whole(Text.assemble(mark, f" {step}: ", first, (f"  [{id}]", "dim"))))
        lines += [Text(f"    {line}", style="dim") for line in more]
        if fix:
            lines.append(_unbroken(Text.assemble((f"  {ARROW} ", "cyan"), visible(call.text(fix)))))
    if waiting := not_started(report):
        lines.append(Text(waiting, "dim"))
    return Group(*lines, *(_unbroken(Text(line, style="bold")) for line in visible(closing).splitlines()))


def error_text(error: ProvisionError, log: Path | None, marks: Marks = GLYPHS, call: Invocation = HERE) -> str:
    """An error: what happened and why, a program's last words under it, what to type next, where more is written."""
    first, *more = visible(uncoloured(error.message)).splitlines() or [error.code]
    said = [f"    {line}" for line in more]
    where = [f"  log: {log}"] if log is not None else []
    return "\n".join([f"error: {first}", *said, f"  {marks.arrow} {call.text(error.hint)}", *where])


def error_view(error: ProvisionError, log: Path | None, call: Invocation = HERE) -> RenderableType:
    """An error for a terminal, as `error_text`."""
    from rich.console import Group
    from rich.text import Text

    first, *more = visible(uncoloured(error.message)).splitlines() or [error.code]
    said = [Text(f"    {line}", style="dim") for line in more]
    where = [_unbroken(Text(visible(f"  log: {log}"), style="dim"))] if log is not None else []
    hint = _unbroken(Text.assemble((f"  {ARROW} ", "cyan"), visible(call.text(error.hint))))
    return Group(_whole(Text.assemble((f"{MARKS[Verdict.BLOCKED]} ", "red"), first)), *said, hint, *where)


def _whole(text: Text) -> Text:
    """Text whose words are never broken, not even an address that is wider than the terminal."""
    text.overflow = "ignore"
    return text


def _unbroken(text: Text) -> Text:
    """A line that the terminal may wrap and nobody breaks: what is copied from it can be pasted."""
    text.no_wrap, text.overflow = True, "ignore"
    return text


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
