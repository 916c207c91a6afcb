"""What a bench measured, as rows of a bar chart and as a sentence. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta

Seconds = Annotated[float, Meta(ge=0, lt=1e6)]
"""No image takes longer."""
OURS, COLD, OTHERS = "mend", "look", "other"
"""The kinds of bars."""
Row = tuple[str, float, str, str]
"""Name, seconds, words next to the bar, kind of bar."""


@dataclass(frozen=True, slots=True)
class Case:
    """One size and number of steps; seconds from submitting a prompt to the end of its execution."""

    width: int
    height: int
    steps: int
    first_s: Seconds
    """The first image of this kind: the device prepares itself for new shapes."""
    warm_s: Annotated[tuple[Seconds, ...], Meta(min_length=1)]

    @property
    def median_s(self) -> float:
        return statistics.median(self.warm_s)

    @property
    def name(self) -> str:
        return f"{self.width}x{self.height}, {self.steps} step{'s' if self.steps > 1 else ''}"


@dataclass(frozen=True, slots=True)
class Bench:
    """A bench of one install."""

    when: str
    chip: str
    device: str
    start_s: Seconds
    """From starting the server until it answers."""
    cold_s: Seconds
    """The very first image after that: it loads the checkpoint."""
    cases: tuple[Case, ...]
    peak_bytes: int | None = None
    """The server's peak memory; None where the system does not report it."""
    watts: float | None = None
    """The machine's peak power; None where reading it needs a password."""
    rehearsal: bool = False
    """Whether a stand-in for ComfyUI was measured, which says nothing of this machine."""


@dataclass(frozen=True, slots=True)
class Figure:
    """What others have published: warm, one image, `low_s` to `high_s` seconds; `size` in pixels of each side."""

    machine: str
    size: int
    steps: int
    low_s: float
    high_s: float


SOURCE = "the walkthrough of SDXL-Turbo on a MacBook Pro that this tool automates"
FIGURES = (Figure("M1 Pro, 16 GB", 512, 1, 2.0, 3.0), Figure("AWS g5 or inf2", 768, 1, 0.25, 0.25))
"""The second is of g5.8xlarge and inf2.12xlarge."""


def seconds_text(seconds: float) -> str:
    """Seconds with the digits that count: `0.25 s`, `2.1 s`, `84 s`."""
    return f"{seconds:.0f} s" if seconds >= 20 else f"{seconds:.2f} s" if seconds < 1 else f"{seconds:.1f} s"


def spread(case: Case) -> str:
    """The warm ones: the median, and from where to where if there are several."""
    low, high = min(case.warm_s), max(case.warm_s)
    several = f"{low:.2f} to {high:.2f}, " if len(case.warm_s) > 1 else ""
    return f"{seconds_text(case.median_s)}  ({several}first {seconds_text(case.first_s)})"


def chart_rows(bench: Bench) -> list[Row]:
    """The bars: what was measured, then what is published for the same size."""
    return [*_measured(bench), *([] if bench.rehearsal else _published(bench))]


def _measured(bench: Bench) -> Iterator[Row]:
    yield "server start", bench.start_s, seconds_text(bench.start_s), COLD
    yield "first image, loading the model", bench.cold_s, seconds_text(bench.cold_s), COLD
    for case in bench.cases:
        yield case.name, case.median_s, spread(case), OURS


def _published(bench: Bench) -> Iterator[Row]:
    sizes = {(case.width, case.steps) for case in bench.cases}
    for figure in FIGURES:
        if (figure.size, figure.steps) in sizes:
            low, high = figure.low_s, figure.high_s
            words = f"{low:g} to {high:g} s, published" if high != low else f"{low:g} s, published"
            yield f"{figure.size}x{figure.size}, 1 step: {figure.machine}", (low + high) / 2, words, OTHERS


def bench_sentence(bench: Bench) -> str:
    """What stands below the chart."""
    if bench.rehearsal:
        return "A rehearsal: these are the times of the stand-in for ComfyUI, and say nothing about this machine."
    parts = [f"Warm, on {bench.chip} ({bench.device}), {bench.when[:10]}; bars are medians."]
    if bench.peak_bytes is not None:
        parts.append(f"The server held {bench.peak_bytes / 1e9:.1f} GB at most.")
    if bench.watts is not None:
        parts.append(f"The machine drew {bench.watts:.0f} W at most.")
    return " ".join([*parts, f"Published figures: {SOURCE}."])
