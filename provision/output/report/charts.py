"""The course of a run, and the seconds of a bench, as HTML with shapes in SVG: text keeps its size at any width."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from provision.output.amounts import time_text
from provision.output.report.render import Tell, render
from provision.output.report.timeline import MENDING, WAITING, Course, Span, Transfer

WIDTH, HIGH, BAR, THIN = 1000, 24, 16, 4
"""The units of a row, which is drawn as wide as there is room."""
LEAST = 4
"""The shortest bar that is seen."""
STEPS_S = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200)
TICKS_MAX = 9


@dataclass(frozen=True, slots=True)
class Row:
    """What a step did; `curves` are the corners of what is drawn for the bytes that came."""

    step: str
    spans: Sequence[Span]
    curves: Sequence[Markup]

    @property
    def took(self) -> str:
        """How long it was at work."""
        seconds = sum(span.end - span.start for span in self.spans if span.kind != WAITING)
        return time_text(seconds) if seconds >= 0.05 else "< 0.1 s"


def course_chart(course: Course, order: Sequence[str], tell: Tell = str) -> Markup:
    """A row a step, in `order`: thin where it checked, thick where it fixed, the bytes that came as a curve."""
    whole = course.seconds
    drawn = [step for step in order if any(span.step == step for span in course.spans)]
    if not drawn or whole <= 0:
        return Markup()
    return render(
        "course.html.j2",
        tell,
        width=WIDTH,
        high=HIGH,
        bar=BAR,
        thin=THIN,
        mending=MENDING,
        rows=[_row(course, step) for step in drawn],
        ticks=ticks(whole),
        tick_text=lambda tick: f"{tick // 60:.0f}:{tick % 60:02.0f}" if whole >= 120 else f"{tick:g} s",
        at=lambda seconds: round(WIDTH * seconds / whole, 1),
        long=lambda span: round(max(LEAST, WIDTH * (span.end - span.start) / whole), 1),
    )


def _row(course: Course, step: str) -> Row:
    transfers = [each for each in course.transfers if each.step == step and each.kind.over_network]
    curves = [_curve(each, course.seconds) for each in transfers if len(each.samples) > 1]
    return Row(step, [span for span in course.spans if span.step == step], curves)


def ticks(whole: float) -> list[float]:
    """Round seconds from 0 to `whole`, nine at most."""
    every = next((step for step in STEPS_S if whole / step <= TICKS_MAX), STEPS_S[-1])
    return [place * every for place in range(int(whole / every) + 1)]


def _curve(transfer: Transfer, whole: float) -> Markup:
    """The bytes done, from the foot of the bar to its head."""
    full, foot = max(transfer.done, 1), (HIGH + BAR) / 2
    points = [(WIDTH * at / whole, foot - BAR * done / full) for at, done in transfer.samples]
    corners = [(points[0][0], foot), *points, (points[-1][0], foot)]
    return Markup(" ").join(Markup("{:.1f},{:.1f}").format(x, y) for x, y in corners)


def bars_chart(rows: Sequence[tuple[str, float, str, str]], *, about: str, tell: Tell = str) -> Markup:
    """Horizontal bars: what, seconds, the words beside the bar, the bar's class."""
    whole = max((seconds for _, seconds, _, _ in rows), default=0)
    if whole <= 0:
        return Markup()
    return render(
        "bars.html.j2", tell, bars=rows, about=about, share=lambda seconds: round(max(0.5, 100 * seconds / whole), 1)
    )
