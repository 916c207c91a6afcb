"""The live view as lines of text: the steps at work, what waits, how far the whole run is. Nothing here draws.

Every line is shorter than the terminal is wide, so that none wraps, and says everything in words as well as colour.
"""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import TextWrapper

from rich.text import Text

from provision.core.estimate import STALL_S
from provision.output.amounts import amount_text, size_text, time_text
from provision.output.pulse import SPINNER, TURNS_PER_S
from provision.output.run_state import RunState, StepState, Task
from provision.output.views import NAME_WIDTH, total_text
from provision.system.visible import visible

INDENT = NAME_WIDTH + 1
BAR_MIN, BAR_MAX = 8, 28
NUMBERS = (20, 11, 16)
"""Columns of amount, rate and time left."""
WIDE = INDENT + BAR_MIN + sum(NUMBERS) + 3
"""From here on there is room for a bar."""
ROWS_LEFT = 2
"""The cursor is below the picture; and when the first row is reached, tmux keeps every cleared picture."""
TASKS_SHOWN = 3
ALMOST_S = 1.0
"""Less time is not worth counting down."""
SAID_MIN = 10
"""Fewer characters of a program's output say nothing."""


def live_lines(state: RunState, now: float, width: int, height: int) -> list[Text]:
    """The picture of a moment for a terminal of that size, of which no line fills the width, nor all the height."""
    active = [step for step in state.steps.values() if step.active]
    rows = [line for step in active for line in _step_lines(step, now, width)]
    waiting = _waiting_lines(state, width)
    total = [_total_line(state, now, width)] if state.under_way else []
    room = max(1, height - ROWS_LEFT - len(total))
    lines = [*(rows + waiting)[:room], *total]
    lines = lines or [Text.assemble((_turn(now), "cyan"), " Working ...")]
    for line in lines:
        line.truncate(max(1, width - 1), overflow="ellipsis")
    return lines


def _total_line(state: RunState, now: float, width: int) -> Text:
    """A bar over all where there is room, and the same in words."""
    words = total_text(state, now)
    bar = min(BAR_MAX, width - 1 - len(words) - 4)
    text = Text("  ")
    if bar >= BAR_MIN:
        text.append(bar_text(round((state.share(now) or 0) * 1000), 1000, bar), "cyan").append("  ")
    return text.append(words, "bold")


def _step_lines(step: StepState, now: float, width: int) -> list[Text]:
    tasks = [task for task in step.moving if task.at.total is not None or task.at.done][-TASKS_SHOWN:]
    if step.waiting and step.until > now - 1:
        return [_named(step, now, (_waiting_words(step.waiting, step.until - now), "yellow"))]
    if not tasks:
        return [_named(step, now, *_doing_words(step, now, width - 1 - INDENT))]
    several = len(tasks) > 1
    return [_named(step, now, *_task_words(task, now, width, several=several)) for task in tasks]


def _waiting_words(says: str, seconds: float) -> str:
    """What is waited for; the time comes first, as a narrow terminal cuts the end."""
    return f"Retrying in {time_text(seconds)}: {says}" if seconds > 0.5 else f"Retrying: {says}"


def _doing_words(step: StepState, now: float, room: int) -> list[str | tuple[str, str]]:
    """What it does, for how long, and what its program said last where there is room."""
    taken = time_text(now - step.since) if now - step.since >= 1 else ""
    doing = _shortened(step.doing or "checking", room - len(taken) - 2)
    said = _shortened(step.output, room - len(doing) - len(taken) - 4)
    gap = " " * (room - len(doing) - len(said) - len(taken) - (2 if said else 0))
    return [doing, (f"  {said}" if said else "", "dim"), gap, (taken, "dim")]


def _shortened(text: str, room: int) -> str:
    text = _flat(text)
    if len(text) <= room:
        return text
    return f"{text[: room - 1]}…" if room >= SAID_MIN else ""


def _named(step: StepState, now: float, *words: str | tuple[str, str]) -> Text:
    flat = [_flat(word) if isinstance(word, str) else (_flat(word[0]), word[1]) for word in words]
    return Text.assemble((_turn(now), "cyan"), " ", (f"{step.name:<{INDENT - 2}}", "bold"), *flat)


def _turn(now: float) -> str:
    return SPINNER[int(now * TURNS_PER_S) % len(SPINNER)]


def _flat(text: str) -> str:
    """What programs say may hold anything: a line stays one line."""
    return visible(text).replace("\n", " ").replace("\t", " ")


def _task_words(task: Task, now: float, width: int, *, several: bool) -> list[str | tuple[str, str]]:
    at = task.at
    if at.unit != "bytes":
        return [f"{at.says} {at.done} of {at.total}" if at.total is not None else at.says]
    amount, rate, left = amount_text(at.done, at.total), _rate_text(task, now), _left_text(task, now)
    label = at.says if several or not task.told_in_time else at.kind.verb
    if width < WIDE:
        parts = [amount, rate, left.removesuffix(" left"), label.split("/")[-1]]
        return ["  ".join(part for part in parts if part)]
    bar = min(BAR_MAX, width - 1 - INDENT - sum(NUMBERS) - 3)
    numbers = f" {amount:>{NUMBERS[0]}} {rate:>{NUMBERS[1]}} {left:>{NUMBERS[2]}}"
    return [(bar_text(at.done, at.total, bar), "cyan"), numbers.rstrip(), (f"  {label}" if label else "", "dim")]


def bar_text(done: int, total: int | None, width: int) -> str:
    """A bar of blocks; blank where the total is not known, since a bar would claim one."""
    if not total:
        return " " * width
    full = min(width, int(width * done / total))
    return "━" * full + "╌" * (width - full)


def _rate_text(task: Task, now: float) -> str:
    rate = task.rate.at(now) if task.told_in_time and task.rate.idle_s(now) < STALL_S else None
    return f"{size_text(rate)}/s" if rate else ""


def _left_text(task: Task, now: float) -> str:
    if not task.told_in_time:
        return ""
    if (idle := task.rate.idle_s(now)) >= STALL_S:
        return f"none for {time_text(idle)}"
    left = task.seconds_left(now)
    return "" if left is None else f"{time_text(left)} left" if left >= ALMOST_S else "almost done"


def _waiting_lines(state: RunState, width: int) -> list[Text]:
    """What has not begun, with the step at work that holds it up; empty when nothing waits."""
    words, barred = [], []
    for step in (step for step in state.steps.values() if step.phase == "waits"):
        holds = [name for name in step.needs if name in state.steps and state.steps[name].active]
        if state.blocked(step):
            barred.append(step.name)
        else:
            words.append(f"{step.name} (after {' and '.join(holds)})" if holds else step.name)
    lines = _listed("then", words, width)
    return [Text.assemble((line[:INDENT], "dim"), line[INDENT:]) for line in lines + _listed("not now", barred, width)]


def _listed(head: str, words: Sequence[str], width: int) -> list[str]:
    text = ", ".join(word.replace(" ", "\N{NO-BREAK SPACE}") for word in words)
    first, later = f"  {head:<{INDENT - 2}}", " " * INDENT
    paragraph = TextWrapper(max(20, width - 1), first, later, break_long_words=False)
    return [line.replace("\N{NO-BREAK SPACE}", " ") for line in paragraph.wrap(text)]
