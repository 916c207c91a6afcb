"""How things look: events, reports and errors as lines of words. Nothing here prints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from provision.command import Fix
from provision.core import events
from provision.core.estimate import STALL_S
from provision.core.finding import Finding, Verdict
from provision.core.step import Report, StepReport
from provision.errors import ProvisionError
from provision.output.amounts import amount_text, rounded_time, size_text, time_text
from provision.output.hints import HERE, Invocation
from provision.output.layout import KEPT, Line, Span, columns_of, line, plain_text, prose
from provision.output.result import Says
from provision.output.run_state import RunState
from provision.system.visible import uncoloured, visible

if TYPE_CHECKING:
    from rich.text import Text


@dataclass(frozen=True, slots=True)
class Marks:
    """How verdicts, and what to do next, are marked in text."""

    of: Mapping[Verdict, str]
    arrow: str
    follows: str
    """Before what comes of another fault."""
    named: str
    """How a step's name stands before its sentence."""
    hang: int
    """The column in which the sentence begins."""


NAME_WIDTH = 14
GLYPHS = Marks(
    {Verdict.OK: "✓", Verdict.WARN: "!", Verdict.FIXABLE: "·", Verdict.BLOCKED: "✗"},
    "→",
    "↳",
    f"{{:<{NAME_WIDTH - 2}}}",
    NAME_WIDTH + 1,
)
WORDS = Marks(
    {Verdict.OK: "ok", Verdict.WARN: "note", Verdict.FIXABLE: "to do", Verdict.BLOCKED: "stop"},
    "next:",
    "then",
    "{}:",
    2,
)
"""For `--plain`: a screen reader speaks them."""
MARKS, ARROW = GLYPHS.of, GLYPHS.arrow
STYLES = {Verdict.OK: "green", Verdict.WARN: "yellow", Verdict.FIXABLE: "cyan", Verdict.BLOCKED: "red"}


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
    """`42 %, 4 of 10 steps, 2.91 GB, about 3 min left`.

    What is still to come is told as time alone: of most steps the bytes are an estimate until they are here.
    """
    share = state.share(now)
    parts = [f"{share * 100:.0f} %"] if share is not None else []
    parts.append(f"{len(state.done())} of {len(state.run)} steps")
    if moved := state.bytes_moved():
        parts.append(size_text(moved))
    left = state.seconds_left(now)
    if left is not None:
        parts.append(f"about {rounded_time(left)} left")
    elif now - state.begun > STALL_S and (idle := state.rate.idle_s(now)) >= STALL_S:
        parts.append(f"no data for {time_text(idle)}")
    return ", ".join(parts)


def kept_text(state: RunState) -> str:
    """What a run that is stopped now leaves for the next one; empty when that is nothing."""
    done = [step.name for step in state.done() if step.verdict in (Verdict.OK, Verdict.WARN)]
    steps = [f"{len(done)} of {len(state.steps)} steps ({', '.join(done)})"] if done else []
    count = len(state.images)
    images = [f"{count} image{'s' if count > 1 else ''}, the last is {state.images[-1]}"] if count else []
    begun = [f"{amount_text(task.at.done, task.at.total)} of {task.at.subject}" for task in state.unfinished()]
    return "; ".join([*(images or steps), *begun])


def step_line(event: events.StepFinished, marks: Marks = GLYPHS) -> Line:
    """A finished step: its mark, its name, its sentence beside it."""
    verdict = Verdict(event.verdict)
    taken = time_text(event.seconds).replace(" ", "\N{NO-BREAK SPACE}")
    seconds = f" ({taken})" if event.seconds >= 0.5 else ""
    return _beside(verdict, event.step, marks, (_first_line(event.says), ""), (seconds, "dim"))


def _beside(verdict: Verdict, name: str, marks: Marks, *says: Span, mark: str = "") -> Line:
    head = (mark or marks.of[verdict], "dim" if mark else STYLES[verdict])
    return line(head, " ", (marks.named.format(name), "bold"), " ", *says, hang=marks.hang)


def note_lines(event: events.Event, marks: Marks = GLYPHS, call: Invocation = HERE) -> list[Line]:
    """What an event says to people, beside the step that it is of; empty for one that says nothing by itself."""
    if isinstance(event, events.MendingPlanned):
        return mending_lines(event, marks)
    if not (says := _said(event)):
        return []
    if not event.step:
        return fix_lines(says, call)
    name = f"  {event.step:<{NAME_WIDTH - 2}} " if marks is GLYPHS else f"  {event.step}: "
    return [line((name, "dim"), *fix_spans(says, call), hang=marks.hang)]


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


def fix_spans(what: Says, call: Invocation = HERE) -> list[Span]:
    """A sentence and its command, which is never broken."""
    if isinstance(what, Line):
        return [*what.spans]
    if isinstance(what, str):
        return [(what, "")]
    says, command = what.says, call.text(what.command)
    apart = " " if says.endswith((":", ",")) else "   "
    return [(says, ""), (apart if says and command else "", ""), (command, KEPT)]


def fix_lines(what: Says, call: Invocation = HERE, style: str = "") -> list[Line]:
    """The same as paragraphs; the command stands at the end of the last."""
    if isinstance(what, Line):
        return [Line(tuple((text, f"{kind} {style}".strip()) for text, kind in what.spans), what.hang)]
    says, *command = [(what, "")] if isinstance(what, str) else fix_spans(what, call)
    *before, last = prose(says[0], style)
    return [*before, line(*last.spans, *((text, f"{kind} {style}".strip()) for text, kind in command), hang=last.hang)]


def closing_lines(closing: Sequence[Says], call: Invocation = HERE, style: str = "") -> list[Line]:
    """The last words of an answer."""
    return [each for words in closing for each in fix_lines(words, call, style)]


def _said(event: events.Event) -> str | Fix:
    """What an event says to people."""
    match event:
        case events.ApplyStarted() | events.MacSeen():
            return event.says
        case events.Note():
            return Fix(event.says, event.argv)
        case events.Waiting():
            return waiting_text(event.says, event.seconds)
        case events.ReaderSeen():
            return event.says
        case events.CheckSlow(over=False):
            return f"{event.says} ... ({time_text(event.seconds)})"
    return ""


def spoken(event: events.Event, call: Invocation = HERE) -> str:
    """The same as text; empty for an event that says nothing by itself."""
    if isinstance(event, events.MendingPlanned):
        return plain_text(mending_lines(event))
    return "".join(text for text, _ in fix_spans(_said(event), call))


def mending_lines(event: events.MendingPlanned, marks: Marks = GLYPHS) -> list[Line]:
    """What `doctor --fix` is about to do, numbered in its order, with bytes and questions."""
    if not event.mends:
        return prose("Nothing can be fixed automatically.")
    mends = [mend for mend in event.mends if not mend.waits_for]
    lines = prose("To be fixed, in this order:") if mends else []
    for place, mend in enumerate(mends, 1):
        lines.append(line(f"{place:>2}. ", f"{mend.step}: {mend.says}", (f"  [{mend.id}]", "dim"), hang=4))
        lines.append(line(f"    {marks.arrow} ", _does(mend), hang=6))
    if event.download_bytes:
        lines += prose(f"{size_text(event.download_bytes)} to download in total.")
    if event.then:
        lines += prose(f"Then steps that depend on it are checked again, and fixed if needed: {', '.join(event.then)}.")
    waiting = dict.fromkeys((mend.id, mend.waits_for) for mend in event.mends if mend.waits_for)
    return lines + [line(f"First fix what blocks {step}: {id}.") for id, step in waiting]


def _does(mend: events.Mend) -> str:
    bytes_ = f" Downloads {size_text(mend.download_bytes)}." if mend.download_bytes else ""
    return f"Asks first: {mend.asks}{bytes_}" if mend.asks else f"{mend.does}{bytes_}"


def _first_line(text: str) -> str:
    return visible(text).partition("\n")[0]


def waiting_text(says: str, seconds: float) -> str:
    """What is waited for, and for how long: `The hub answers 503. Retrying in 8 s.`"""
    return f"{says} Retrying in {time_text(max(0, seconds)) if seconds > 0.5 else 'a moment'}."


def log_line(event: events.Event) -> str:
    """An event as a line of our log; empty for what would only fill it."""
    says = spoken(event)
    match event:
        case events.MendingPlanned():
            return says
        case events.CheckSlow() if not (isinstance(event, events.ReaderSeen) and event.over):
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


def checkup_lines(
    report: Report, closing: Sequence[Says], *, details: bool = False, marks: Marks = GLYPHS, call: Invocation = HERE
) -> list[Line]:
    """A line a step with its mark, and below it what is not right; with `details` all that was seen."""
    lines = [each for step in report.steps for each in _checkup(step, marks, call, details=details)]
    return lines + closing_lines(closing, call, "bold")


def _checkup(step: StepReport, marks: Marks, call: Invocation, *, details: bool) -> list[Line]:
    """A step's line, and a paragraph for each finding that it does not hold."""
    if step.waits_for is not None:
        return [_beside(step.verdict, step.name, marks, (f"after {step.waits_for}", "dim"), mark=marks.follows)]
    seen = [finding for finding in step.findings if details or not finding.detail]
    well = [finding for finding in seen if finding.verdict is Verdict.OK and not details]
    rest = [finding for finding in seen if finding not in well]
    failed = [] if step.error is None else [step.error]
    follows = marks.follows if rest and all(finding.caused_by for finding in rest) and not failed else ""
    alone = len(rest) + len(failed) == 1
    shown = [_failure_lines(error, marks, call, 2 if alone else 4) for error in failed]
    for finding, after in zip(rest, [*rest[1:], None], strict=False):
        found = _finding_lines(finding, marks, call, 2 if alone else 4)
        same = after is not None and after.fix == finding.fix
        shown.append(found[:1] if same else found)
    if alone:
        head, *under = shown[0]
        return [_beside(step.verdict, step.name, marks, *head.spans[2:], mark=follows), *under]
    summary = _first_line(well[0].says).rstrip(".") if well else "nothing to check"
    told = f"{len(shown)} findings" if shown else summary
    return [
        _beside(step.verdict, step.name, marks, (told, ""), mark=follows),
        *(each for rows in shown for each in rows),
    ]


def _failure_lines(error: ProvisionError, marks: Marks, call: Invocation, indent: int) -> list[Line]:
    """A check that could not be done, with what to do."""
    head = _marked(marks.of[Verdict.BLOCKED], STYLES[Verdict.BLOCKED], error.message, f"[{error.code}]", indent)
    return [head, _to_do(error.hint, marks, call, indent + 2)]


def _finding_lines(finding: Finding, marks: Marks, call: Invocation, indent: int) -> list[Line]:
    """A finding with its fix below; one that follows from another has none of its own."""
    if finding.caused_by:
        why = f"[{finding.id}, because of {finding.caused_by}]"
        return [_marked(marks.follows, "dim", finding.says, why, indent)]
    head = _marked(marks.of[finding.verdict], STYLES[finding.verdict], finding.says, f"[{finding.id}]", indent)
    fix = finding.fix if finding.verdict is not Verdict.OK else None
    return [head, *([_to_do(fix, marks, call, indent + 2)] if fix and (fix.says or fix.command) else [])]


def _marked(mark: str, style: str, says: str, id: str, indent: int) -> Line:
    words = (" " * indent + mark, style), " ", says, (f"  {id}", "dim")
    return line(*words, hang=indent + 2)


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


def was_said(step: StepReport) -> list[str]:
    """The sentences that the line of a finished step holds."""
    if step.error is not None:
        return [step.error.message]
    return [finding.says for finding in step.findings if finding.verdict is step.verdict and not finding.detail]


def report_lines(report: Report, closing: Sequence[Says], marks: Marks = GLYPHS, call: Invocation = HERE) -> list[Line]:
    """The end of a run: what to do about what is not right, what had to wait, then closing words.

    A sentence that the step's own line has said is not said again.
    """
    lines: list[Line] = []
    for step, verdict, id, says, fix in shown_trouble(report):
        first, *more = visible(says).splitlines() or [""]
        mark, named = (marks.of[verdict], STYLES[verdict]), (f"  [{id}]", "dim")
        if says not in was_said(report.step(step)):
            lines.append(line(mark, f" {step}: ", first, named, hang=2))
        elif fix or more:
            lines.append(line(mark, f" {step}", named, hang=2))
        lines += [line((f"    {each}", "dim"), hang=4) for each in more]
        lines += [_to_do(fix, marks, call)] if fix else []
    if waiting := ", ".join(step.name for step in report.steps if step.waits_for):
        lines.append(line((f"Not started because of that: {waiting}.", "dim")))
    return lines + closing_lines(closing, call, "bold")


def error_lines(
    error: ProvisionError, log: Path | None, head: str, marks: Marks = GLYPHS, call: Invocation = HERE
) -> list[Line]:
    """An error: what happened and why, a program's last words under it, what to type next, where more is written."""
    first, *more = visible(uncoloured(error.message)).splitlines() or [error.code]
    said = [line((f"    {each}", "dim"), hang=4) for each in more]
    where = [line(("  log: ", "dim"), (str(log), f"{KEPT} dim"))] if log is not None else []
    begins = [(f"{head} ", "red")] if head else []
    return [line(*begins, first, hang=2), *said, _to_do(error.hint, marks, call), *where]


def _to_do(fix: Fix, marks: Marks, call: Invocation, indent: int = 2) -> Line:
    return line((f"{' ' * indent}{marks.arrow} ", "cyan"), *fix_spans(fix, call), hang=indent + 2)


def pair_lines(rows: Sequence[tuple[Says, ...]], call: Invocation = HERE) -> list[Line]:
    """Names and values in columns; the last one wraps below itself."""
    cells = [[visible(str(cell), one_line=True) for cell in row[:-1]] for row in rows]
    wide = [max(map(columns_of, column)) + 2 for column in zip(*cells, strict=True)]
    lines = []
    for row, names in zip(rows, cells, strict=True):
        padded = [name + " " * (width - columns_of(name)) for name, width in zip(names, wide, strict=True)]
        head, *others = padded or [""]
        first, *more = fix_lines(row[-1], call)
        lines.append(line((head, "bold"), *others, *first.spans, hang=sum(wide)))
        lines += [line(" " * sum(wide), *each.spans, hang=sum(wide)) for each in more]
    return lines


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
