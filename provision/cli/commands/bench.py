"""`provision bench`: seconds per image, measured on this home's server and kept for `report`."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated

from typer import Option

from provision.cli.command import Session, command
from provision.cli.request import ASKING
from provision.command import ours
from provision.errors import UsageError
from provision.output.result import Bars, Result, answer

if TYPE_CHECKING:
    from provision.core.manifest import FirstImage
    from provision.core.step import Context
    from provision.output.report.bench_result import Bench, Case

SIZES, STEPS = (512, 768), (1, 2, 3, 4)
SAMPLE_S, WATTS_S = 0.2, 1.0


def bench(
    at: Session,
    *,
    count: Annotated[int, Option("--count", metavar="N", min=1, max=50, help="Warm images per configuration.")] = 3,
    size: Annotated[
        list[int] | None,
        Option("--size", metavar="N", min=64, max=2048, help="Only this size, in pixels (default: 512 and 768)."),
    ] = None,
    steps: Annotated[
        list[int] | None,
        Option("--steps", metavar="N", min=1, max=100, help="Only this number of steps (default: 1 to 4)."),
    ] = None,
) -> Result:
    """Restart the server, make the images, then record and show what was measured.

    Raises UsageError for a size that is no multiple of 8, and what making an image raises.
    """
    from provision.cli.server import bring_up
    from provision.comfyui.attention_limit import check_size
    from provision.comfyui.server_process import stop_server
    from provision.output.report.bench_result import bench_sentence, chart_rows
    from provision.output.report.run_record import keep_bench

    if odd := [each for each in size or () if each % 8]:
        raise UsageError(f"--size {odd[0]} is not a multiple of 8.", hint=ours("bench", "--size", str(odd[0] // 8 * 8)))
    for side in size or SIZES:
        image = replace(at.ctx.manifest.first_image, width=side, height=side)
        check_size(at.ctx, image, lambda width, _: ours("bench", "--size", str(width)))
    kinds = [(side, number) for side in size or SIZES for number in steps or STEPS]
    stop_server(at.ctx)
    ctx = at.ctx.stamped("bench")
    started = ctx.machine.clock()
    if not (server := bring_up(at)).ok:
        return server
    result = _measure(ctx, kinds, count, ctx.machine.clock() - started)
    keep_bench(ctx.home, result)
    return answer(result, Bars(chart_rows(result)), bench_sentence(result))


def _measure(ctx: Context, kinds: list[tuple[int, int]], count: int, start_s: float) -> Bench:
    """Make `count` warm images of each kind (pixels of a side, steps)."""
    from provision.core.events import StepStarted
    from provision.core.receipt_kinds import TorchReceipt
    from provision.output.report.bench_result import Bench
    from provision.steps.first_image.step import chip_name

    ctx.emit(StepStarted())
    with _watching(ctx) as seen:
        _say_place(ctx, kinds, 0)
        cold_s = _seconds(ctx, _image(ctx, *kinds[0]), "loading the model")
        cases = []
        for place, kind in enumerate(kinds):
            if place:
                _say_place(ctx, kinds, place)
            cases.append(_case(ctx, *kind, count, f"{kind_says(*kind)} ({place + 1} of {len(kinds)})"))
            if place == 0:
                _say_left(ctx, cases[0], kinds[1:], count)
    return Bench(
        when=ctx.machine.timestamp(),
        chip=chip_name(ctx) or ctx.machine.arch,
        device=ctx.receipts.read("torch", TorchReceipt).device,
        start_s=start_s,
        cold_s=cold_s,
        cases=tuple(cases),
        peak_bytes=seen.peak_bytes or None,
        watts=seen.watts or None,
        rehearsal=ctx.options.rehearsal,
    )


def _image(ctx: Context, size: int, steps: int) -> FirstImage:
    return replace(ctx.manifest.first_image, width=size, height=size, steps=steps)


def _say_place(ctx: Context, kinds: list[tuple[int, int]], place: int) -> None:
    """Which size and number of steps comes now, of how many."""
    ctx.note(f"{kind_says(*kinds[place])} ({place + 1} of {len(kinds)})", passing=True)


def kind_says(size: int, steps: int) -> str:
    """A size and a number of steps in words."""
    return f"{size}x{size}, {steps} step{'s' if steps > 1 else ''}"


def _case(ctx: Context, size: int, steps: int, count: int, what: str) -> Case:
    from provision.output.report.bench_result import Case

    image = _image(ctx, size, steps)
    first_s = _seconds(ctx, image, f"{what}: first image")
    warm = (_seconds(ctx, image, f"{what}: image {number + 1} of {count + 1}") for number in range(1, count + 1))
    return Case(size, size, steps, first_s, tuple(warm))


def _seconds(ctx: Context, image: FirstImage, what: str) -> float:
    """How long an image takes. Raises ImageRejected for one that is not a picture."""
    from provision.steps.first_image.step import make_image, rejection

    picture = make_image(ctx, image, what, kept=False)
    if (error := rejection(picture)) is not None:
        raise error
    return picture.seconds


def _say_left(ctx: Context, done: Case, left: list[tuple[int, int]], count: int) -> None:
    """Estimate the other kinds from the first, by pixels and steps."""
    from provision.output.amounts import time_text

    if not left:
        return
    unit = done.median_s / (done.width * done.height * done.steps)
    rest_s = sum(unit * size * size * steps for size, steps in left) * (count + 1)
    warm, rest = time_text(done.median_s), time_text(rest_s)
    says = f"{warm} per image; {len(left)} more configuration{'s' if len(left) > 1 else ''}, about {rest}. Shorter:"
    ctx.note(says, ours("bench", "--size", "512", "--steps", "1"))


@dataclass(slots=True)
class _Seen:
    """The highest values seen."""

    peak_bytes: int = 0
    watts: float = 0.0


@contextmanager
def _watching(ctx: Context) -> Iterator[_Seen]:
    """Sample the server's memory and the machine's power draw in a thread."""
    from provision.comfyui.server_process import read_record
    from provision.system.power_draw import read_watts

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
