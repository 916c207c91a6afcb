"""Images from outside: decoded within bounds, in one place; judged; and shown as half blocks in a terminal."""

from __future__ import annotations

import io
import math
from dataclasses import asdict, dataclass
from enum import StrEnum
from operator import mul
from pathlib import Path
from typing import TYPE_CHECKING

from provision.core.finding import JSON
from provision.system.strict import Unreadable, read_file

if TYPE_CHECKING:
    from PIL.Image import Image

BLACK_MEAN = 2.0
"""Grey levels of 255: what a failed decoder gives (NaN cast to 0) has mean 0."""
FLAT_STD = 1.5
"""Grey levels: one colour has 0, and a decoder's grain over one colour stays below this."""
NOISE = 0.2
"""Correlation of a pixel's grey with its right neighbour's: white noise has 0.00."""
ORDINARY = 0.9
"""Photographs have 0.91 to 0.99, a line drawing 0.6, SDXL from random weights 0.85. An image between may be right
or decoded noise, so it gets a warning with its number."""
SHAPES = 0.35
"""The same correlation of an image shrunk to 32 cells, where decoded noise has none: ComfyUI's output of random weights
has 0.04 to 0.25. Of 174 images in its templates, its documentation and other programs, the lowest has 0.40 (diagrams),
generated ones 0.67 or more."""
CELLS = 32
BLACK_SHARE = 0.3
"""Share of pixels that are exactly black: a decoder that fails in a part of the picture leaves that part so."""
SAMPLE = 1024
"""Of a larger image, only a square in the middle is checked; its side in pixels."""

SIDE_MAX = 4096
"""The largest side of an image that a manifest can ask for, in pixels."""
BESIDE_BYTES = 4_000_000
"""Bytes of a PNG's texts: the graph, the workflow, and what custom nodes add."""
END = b"IEND\xaeB`\x82"
"""How a whole PNG ends (PNG specification, section 11.2.5)."""

RGB = tuple[int, int, int]


class NoPicture(ValueError):
    """These bytes are not an image; the message says what they are instead (`no whole PNG`)."""


def most_bytes(width: int, height: int) -> int:
    """The largest PNG of this size in bytes: four channels of 16 bits, uncompressed, and its texts."""
    return width * height * 8 + BESIDE_BYTES


def decode(png: bytes) -> Image:
    """The one way from bytes to pixels: a whole PNG of one frame, whose size is looked at before it is unpacked.

    Raises NoPicture.
    """
    import warnings

    from PIL import Image

    if not png.endswith(END):
        raise NoPicture("no whole PNG")
    try:
        with warnings.catch_warnings(action="error"):  # Pillow only warns of a bomb, and decodes it
            image = Image.open(io.BytesIO(png), formats=("PNG",))
            if max(image.size) > SIDE_MAX:
                raise NoPicture(f"a PNG of {image.width}x{image.height}, too large to decode")
            if getattr(image, "is_animated", False):
                raise NoPicture("an animated PNG")
            image.load()
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        raise NoPicture("a PNG with too many pixels") from error
    except (OSError, SyntaxError, ValueError, EOFError, MemoryError, Warning) as error:
        if isinstance(error, NoPicture):
            raise
        raise NoPicture("not a PNG that can be decoded") from error
    return image


def read_picture(path: Path) -> bytes | None:
    """Read a PNG file; None where it is missing or not an image."""
    try:
        png = read_file(path, max_bytes=most_bytes(SIDE_MAX, SIDE_MAX))
        decode(png)
    except (OSError, Unreadable, NoPicture):
        return None
    return png


class Quality(StrEnum):
    """How good an image is as a test result."""

    OK = "ok"
    WARN = "warn"
    BAD = "bad"


@dataclass(frozen=True, slots=True)
class Measures:
    """What was measured; grey levels of 255, and pixels."""

    width: int = 0
    height: int = 0
    mean: float = 0.0
    std: float = 0.0
    max: int = 0
    neighbour_correlation: float = 0.0
    far_correlation: float = 0.0
    """As `neighbour_correlation`, of the picture shrunk to `CELLS` cells."""
    black_share: float = 0.0
    """Of 1."""

    def to_json(self) -> dict[str, JSON]:
        return {name: round(value, 3) for name, value in asdict(self).items()}


@dataclass(frozen=True, slots=True)
class Judgement:
    """The verdict on an image; `why` is a stable word (`black`), `says` one sentence with the number."""

    verdict: Quality
    why: str
    says: str
    facts: Measures


def judge(png: bytes, width: int, height: int) -> Judgement:
    """Check an image that should be `width` by `height` pixels. Never raises, whatever the bytes."""
    try:
        image = decode(png)
    except NoPicture as why:
        return Judgement(Quality.BAD, "broken", f"{len(png):,} bytes came that are {why}.", Measures())
    size = f"{image.width}x{image.height}"
    if image.size != (width, height):
        says = f"It is {size}, and {width}x{height} was requested."
        return Judgement(Quality.BAD, "size", says, Measures(image.width, image.height))
    seen = measure(image)
    correlation = f"{seen.neighbour_correlation:.2f}"
    if seen.mean < BLACK_MEAN:
        return Judgement(Quality.BAD, "black", f"It is black (mean {seen.mean:.1f} of 255).", seen)
    if seen.std < FLAT_STD:
        says = f"It is one flat colour (standard deviation {seen.std:.1f} of 255)."
        return Judgement(Quality.BAD, "flat", says, seen)
    if seen.neighbour_correlation < NOISE:
        says = f"It is noise: neighbouring pixels correlate by {correlation} (0.9 or more in a real image)."
        return Judgement(Quality.BAD, "noise", says, seen)
    if seen.neighbour_correlation < ORDINARY:
        says = f"Neighbouring pixels correlate by {correlation}; 0.91 to 0.99 is usual."
        return Judgement(Quality.WARN, "rough", says, seen)
    if seen.far_correlation < SHAPES:
        far = f"{seen.far_correlation:.2f}"
        says = f"It has no shapes: neighbouring areas correlate by {far} (0.4 or more in a real image)."
        return Judgement(Quality.WARN, "shapeless", says, seen)
    if seen.black_share > BLACK_SHARE:
        says = f"{seen.black_share:.0%} of it is pure black: a night scene, or a failed decoder."
        return Judgement(Quality.WARN, "patches", says, seen)
    return Judgement(Quality.OK, "picture", f"{size}, neighbouring pixels correlate by {correlation}.", seen)


def measure(image: Image) -> Measures:
    """Mean, deviation, maximum and neighbour correlation of an image's grey (of its middle, if large)."""
    from PIL import ImageStat

    width, height = image.size
    left, top = max(0, (width - SAMPLE) // 2), max(0, (height - SAMPLE) // 2)
    grey = image.crop((left, top, min(width, left + SAMPLE), min(height, top + SAMPLE))).convert("L")
    levels = ImageStat.Stat(grey)
    return Measures(
        width=width,
        height=height,
        mean=levels.mean[0],
        std=math.sqrt(max(0.0, levels.var[0])),
        max=levels.extrema[0][1],
        neighbour_correlation=neighbour_correlation(grey),
        far_correlation=neighbour_correlation(grey.reduce(max(1, min(grey.size) // CELLS))),
        black_share=grey.histogram()[0] / (grey.width * grey.height),
    )


def neighbour_correlation(grey: Image) -> float:
    """Pearson's correlation of each pixel with its right neighbour; 0 where there is none (one colour, one column)."""
    last = grey.width - 1
    if not last:
        return 0.0
    left, right = (grey.crop((start, 0, start + last, grey.height)).tobytes() for start in (0, 1))
    pairs, left_sum, right_sum = len(left), sum(left), sum(right)
    left_spread = pairs * sum(map(mul, left, left)) - left_sum**2
    right_spread = pairs * sum(map(mul, right, right)) - right_sum**2
    together = pairs * sum(map(mul, left, right)) - left_sum * right_sum
    return together / math.sqrt(left_spread * right_spread) if left_spread and right_spread else 0.0


def half_blocks(png: bytes, columns: int) -> list[list[tuple[RGB, RGB]]]:
    """Rows of (upper, lower) colours: each pair is one character cell (U+2580), `columns` of them in a row.

    Empty when the bytes are not an image.
    """
    from PIL import Image

    try:
        image = decode(png)
    except NoPicture:
        return []
    if columns < 1:
        return []
    rows = max(1, round(columns * image.height / image.width / 2))
    small = image.convert("RGB").resize((columns, rows * 2), Image.Resampling.LANCZOS).tobytes()
    pixels = list(zip(small[::3], small[1::3], small[2::3], strict=True))
    lines = [pixels[start : start + columns] for start in range(0, len(pixels), columns)]
    return [list(zip(upper, lower, strict=True)) for upper, lower in zip(lines[::2], lines[1::2], strict=True)]
