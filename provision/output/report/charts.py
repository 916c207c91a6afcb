"""The course of a run, and the seconds of a bench, as drawings: SVG in a page's own text. Pure.

Colours are the page's: classes, which its style sheet paints for the screen and for paper. Words go through `tell`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape

from provision.output.report.timeline import MENDING, Course, Span, Transfer
from provision.system.visible import visible

Tell = Callable[[str], str]

WIDTH, LEFT, RIGHT, TOP = 960, 118, 86, 8
ROW, BAR = 34, 16
STEPS_S = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200)
TICKS_MAX = 9
SHORT_S = 9.95


def course_svg(course: Course, order: Sequence[str], tell: Tell = str) -> str:
    """A row a step, in `order`: thin where it looked, thick where it mended, the bytes that came as a curve."""
    rows = [step for step in order if any(span.step == step for span in course.spans)]
    if not rows or course.seconds <= 0:
        return ""
    height = TOP + ROW * len(rows) + 26
    parts = [f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="What each step did, and when">']
    parts += _axis(course.seconds, TOP, TOP + ROW * len(rows))
    for place, step in enumerate(rows):
        parts += _row(course, step, TOP + ROW * place, tell)
    return "\n".join([*parts, "</svg>"])


def _at(seconds: float, whole: float) -> float:
    return LEFT + (WIDTH - LEFT - RIGHT) * seconds / whole


def ticks(whole: float) -> list[float]:
    """Round seconds from 0 to `whole`, nine at most."""
    every = next((step for step in STEPS_S if whole / step <= TICKS_MAX), STEPS_S[-1])
    return [place * every for place in range(int(whole / every) + 1)]


def _axis(whole: float, top: float, bottom: float) -> list[str]:
    lines = []
    for tick in ticks(whole):
        x = _at(tick, whole)
        lines.append(f'<line class="grid" x1="{x:.1f}" y1="{top}" x2="{x:.1f}" y2="{bottom}"/>')
        lines.append(f'<text class="tick" x="{x:.1f}" y="{bottom + 17}">{_tick_text(tick, whole)}</text>')
    return lines


def _tick_text(tick: float, whole: float) -> str:
    if whole >= 120:
        return f"{int(tick) // 60}:{int(tick) % 60:02d} min"
    return f"{tick:g} s"


def _row(course: Course, step: str, y: float, tell: Tell) -> list[str]:
    whole, middle = course.seconds, y + ROW / 2
    spans = [span for span in course.spans if span.step == step]
    parts = [f'<text class="name" x="{LEFT - 12}" y="{middle + 4:.1f}">{_written(step)}</text>']
    parts += [_bar(span, whole, middle, tell) for span in spans]
    for transfer in course.transfers:
        if transfer.step == step and transfer.kind.over_network:
            parts.append(_curve(transfer, whole, middle))
    end = max(span.end for span in spans)
    worked = sum(span.end - span.start for span in spans)
    parts.append(f'<text class="took" x="{_at(end, whole) + 7:.1f}" y="{middle + 4:.1f}">{_took(worked)}</text>')
    return parts


def _bar(span: Span, whole: float, middle: float, tell: Tell) -> str:
    left, width = _at(span.start, whole), max(1.5, _at(span.end, whole) - _at(span.start, whole))
    high = BAR if span.kind == MENDING else 4
    says = f"{span.step}: {span.says or 'looking'} {span.start:.1f} to {span.end:.1f} s"
    return (
        f'<rect class="{_written(span.kind)}" x="{left:.1f}" y="{middle - high / 2:.1f}" width="{width:.1f}" '
        f'height="{high}" rx="2"><title>{_written(tell(says))}</title></rect>'
    )


def _curve(transfer: Transfer, whole: float, middle: float) -> str:
    """The bytes done, from the foot of the bar to its head."""
    full = max(transfer.done, 1)
    points = [(_at(at, whole), middle + BAR / 2 - BAR * done / full) for at, done in transfer.samples]
    if len(points) < 2:
        return ""
    foot = middle + BAR / 2
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return f'<polygon class="bytes" points="{points[0][0]:.1f},{foot} {line} {points[-1][0]:.1f},{foot}"/>'


def _written(text: str) -> str:
    return escape(visible(text))


def _took(seconds: float) -> str:
    if seconds < 0.05:
        return "&lt; 0.1 s"
    if seconds < SHORT_S:
        return f"{seconds:.1f} s"
    return f"{seconds:.0f} s" if seconds < 60 else f"{int(seconds) // 60} min {int(seconds) % 60:02d} s"


def bars_svg(rows: Sequence[tuple[str, float, str, str]], *, about: str) -> str:
    """Horizontal bars: what, seconds, the words beside the bar, the bar's class."""
    whole = max((seconds for _, seconds, _, _ in rows), default=0)
    if whole <= 0:
        return ""
    left, right, row, bar = 250, 150, 28, 15
    parts = [f'<svg viewBox="0 0 {WIDTH} {row * len(rows) + 4}" role="img" aria-label="{_written(about)}">']
    for place, (what, seconds, words, kind) in enumerate(rows):
        middle = row * place + row / 2 + 2
        wide = max(1.5, (WIDTH - left - right) * seconds / whole)
        parts += [
            f'<text class="name" x="{left - 12}" y="{middle + 4:.1f}">{_written(what)}</text>',
            f'<rect class="{_written(kind)}" x="{left}" y="{middle - bar / 2:.1f}" width="{wide:.1f}" height="{bar}" '
            'rx="2"/>',
            f'<text class="took" x="{left + wide + 7:.1f}" y="{middle + 4:.1f}">{_written(words)}</text>',
        ]
    return "\n".join([*parts, "</svg>"])
