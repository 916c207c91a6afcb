"""`provision bench`: seconds an image, measured on the server of this home, and kept for `report`."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated

from typer import Option

from provision.cli.command import Session, command
from provision.cli.request import ASKING
from provision.cli.server import bring_up
from provision.comfyui.attention_limit import check_size
from provision.comfyui.server_process import read_record
from provision.command import ours
from provision.core.receipt_kinds import TorchReceipt
from provision.core.step import Context
from provision.errors import UsageError
from provision.output import views
from provision.output.bars import bars_text
from provision.output.report.bench_result import Bench, Case, bench_sentence, chart_rows
from provision.output.report.run_record import keep_bench
from provision.output.result import Result, answer
from provision.system.power_draw import read_watts

if TYPE_CHECKING:
    from provision.core.manifest import FirstImage

SIZES, STEPS = (512, 768), (1, 2, 3, 4)
SAMPLE_S, WATTS_S = 0.2, 1.0


@dataclass(frozen=True, slots=True)
class Measured:
    """What is measured: each size with each number of steps, `count` warm images of each."""

    count: int = 3
    sizes: tuple[int, ...] = SIZES
    steps: tuple[int, ...] = STEPS

    @property
    def cases(self) -> tuple[tuple[int, int], ...]:
        """(pixels of a side, steps), in the order in which they are made."""
        return tuple((size, steps) for size in self.sizes for steps in self.steps)


def bench(
    at: Session,
    *,
    count: Annotated[int, Option("--count", min=1, max=50, help="How many warm images of each kind.")] = 3,
    size: Annotated[list[int] | None, Option("--size", min=64, max=2048, help="This size alone: 512.")] = None,
    steps: Annotated[list[int] | None, Option("--steps", min=1, max=100, help="So many steps alone.")] = None,
) -> Result:
    """Start the server anew, make the images, keep and show what was measured.

    Raises UsageError for a size that no image has, and what making an image raises.
    """
    from provision.comfyui.server_process import stop_server

    measured = Measured(count, tuple(size or SIZES), tuple(steps or STEPS))
    if odd := [each for each in measured.sizes if each % 8]:
        raise UsageError(f"--size {odd[0]} is no multiple of 8.", hint=ours("bench", "--size", str(odd[0] // 8 * 8)))
    for side in measured.sizes:
        image = replace(at.ctx.manifest.first_image, width=side, height=side)
        check_size(at.ctx, image, lambda width, _: ours("bench", "--size", str(width)))
    stop_server(at.ctx)
    ctx = at.ctx.stamped("bench")
    started = ctx.machine.clock()
    if not (server := bring_up(at)).ok:
        return server
    result = _measure(ctx, measured, ctx.machine.clock() - started)
    keep_bench(ctx.home, result.to_json())
    return answer(result.to_json(), bars_text(chart_rows(result)), bench_sentence(result))


def _measure(ctx: Context, measured: Measured, start_s: float) -> Bench:
    from provision.steps.first_image.step import chip_name

    with _watching(ctx) as seen:
        size, steps = measured.cases[0]
        image = replace(ctx.manifest.first_image, width=size, height=size, steps=steps)
        cold_s = _seconds(ctx, image, "the cold image")
        cases: list[Case] = []
        for place, (size, steps) in enumerate(measured.cases):
            cases.append(_case(ctx, size, steps, measured.count))
            _say_left(ctx, measured, cases, place)
    return Bench(
        ctx.machine.timestamp(), chip_name(ctx) or ctx.machine.arch, ctx.receipts.read("torch", TorchReceipt).device,
        start_s, cold_s, tuple(cases), seen.peak_bytes or None, seen.watts or None,
    )  # fmt: skip


def _case(ctx: Context, size: int, steps: int, count: int) -> Case:
    image = replace(ctx.manifest.first_image, width=size, height=size, steps=steps)
    what = f"{size}x{size}, {steps} step{'s' if steps > 1 else ''}"
    first_s = _seconds(ctx, image, f"{what}: the first")
    warm = (_seconds(ctx, image, f"{what}: warm, {number} of {count}") for number in range(1, count + 1))
    return Case(size, size, steps, first_s, tuple(warm))


def _seconds(ctx: Context, image: FirstImage, what: str) -> float:
    """How long an image takes. Raises ImageRejected for one that is none."""
    from provision.steps.first_image.step import make_image, rejection

    picture = make_image(ctx, image, what, kept=False)
    if (error := rejection(picture)) is not None:
        raise error
    return picture.seconds


def _say_left(ctx: Context, measured: Measured, cases: Sequence[Case], place: int) -> None:
    """After the first case: how long the others will take, by pixels and steps."""
    left = measured.cases[place + 1 :]
    if place or not left:
        return
    done = cases[0]
    unit = done.median_s / (done.width * done.height * done.steps)
    rest_s = sum(unit * size * size * steps for size, steps in left) * (measured.count + 1)
    ctx.note(f"A warm image takes {views.time_text(done.median_s)}; the other {len(left)} kinds, at most "
             f"{views.time_text(rest_s)}. For less:", ours("bench", "--size", "512", "--steps", "1"))  # fmt: skip


# -- memory and watts -------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Seen:
    """The most that was seen."""

    peak_bytes: int = 0
    watts: float = 0.0


@contextmanager
def _watching(ctx: Context) -> Iterator[_Seen]:
    """What the server holds and the machine draws at most, looked at again and again from a thread of its own."""
    seen, over, record = _Seen(), threading.Event(), read_record(ctx)

    def watch() -> None:
        next_watts = ctx.machine.clock()
        while not over.wait(SAMPLE_S):
            if record is not None:
                seen.peak_bytes = max(seen.peak_bytes, ctx.machine.resident_bytes(record.pid) or 0)
            if ctx.machine.clock() >= next_watts:
                seen.watts = max(seen.watts, read_watts(ctx.machine) or 0.0)
                next_watts = ctx.machine.clock() + WATTS_S

    thread = threading.Thread(target=watch, name="bench-watch", daemon=True)
    thread.start()
    try:
        yield seen
    finally:
        over.set()
        thread.join(5)


app = command("bench", bench, ASKING)
