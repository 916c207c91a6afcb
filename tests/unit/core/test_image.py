"""What is a picture and what is not; half blocks."""

from __future__ import annotations

import io
import random

import pytest
from PIL import Image, ImageDraw, ImageFilter

from provision.core.image import Quality, half_blocks, judge, measure, neighbour_correlation


def png(image: Image.Image) -> bytes:
    stream = io.BytesIO()
    image.save(stream, "PNG")
    return stream.getvalue()


def white_noise(width: int = 512, height: int = 512) -> Image.Image:
    return Image.frombytes("RGB", (width, height), random.Random(7).randbytes(width * height * 3))


def photograph(width: int = 512, height: int = 512) -> Image.Image:
    """Smooth shapes with a little grain, as a camera gives."""
    picture = Image.radial_gradient("L").resize((width, height)).convert("RGB")
    ImageDraw.Draw(picture).ellipse((50, 60, 300, 290), fill=(200, 120, 40))
    return Image.blend(picture.filter(ImageFilter.GaussianBlur(2)), white_noise(width, height), 0.05)


def line_drawing() -> Image.Image:
    picture = Image.new("RGB", (512, 512), "white")
    draw = ImageDraw.Draw(picture)
    for place in range(0, 512, 6):
        draw.line((place, 0, 512 - place, 512), fill="black", width=2)
    return picture


def test_a_photograph_is_a_picture() -> None:
    judgement = judge(png(photograph()), 512, 512)
    assert judgement.verdict is Quality.OK
    assert judgement.facts.neighbour_correlation > 0.91
    assert judgement.facts.to_json()["width"] == 512


@pytest.mark.parametrize(
    ("image", "why", "says"),
    [
        (Image.new("RGB", (512, 512)), "black", "mean 0.0"),
        (Image.new("RGB", (512, 512), (90, 90, 90)), "flat", "deviation 0.0"),
        (white_noise(), "noise", "correlate by"),
        (photograph(256, 512), "size", "256x512, and 512x512"),
    ],
)
def test_what_fails(image: Image.Image, why: str, says: str) -> None:
    judgement = judge(png(image), 512, 512)
    assert (judgement.verdict, judgement.why) == (Quality.BAD, why)
    assert says in judgement.says


@pytest.mark.parametrize("data", [b"", b"<html>", png(photograph())[:4000]])
def test_bytes_that_do_not_decode(data: bytes) -> None:
    judgement = judge(data, 512, 512)
    assert (judgement.verdict, judgement.why) == (Quality.BAD, "broken")


def test_what_lies_between_is_a_warning_with_its_number() -> None:
    blurred = white_noise().filter(ImageFilter.GaussianBlur(0.8))  # as a decoder makes of random weights
    for image in (blurred, line_drawing()):
        judgement = judge(png(image), 512, 512)
        assert judgement.verdict is Quality.WARN
        assert f"{judgement.facts.neighbour_correlation:.2f}" in judgement.says


def decoded_noise() -> Image.Image:
    """Smooth to its neighbours and without shapes, as a decoder makes of a latent that is noise."""
    cells = Image.frombytes("RGB", (64, 64), random.Random(7).randbytes(64 * 64 * 3))
    return cells.resize((512, 512), Image.Resampling.BICUBIC)


def half_failed() -> Image.Image:
    """A picture of which a decoder lost the lower half: NaN, cast to 0."""
    picture = photograph()
    picture.paste((0, 0, 0), (0, 256, 512, 512))
    return picture


@pytest.mark.parametrize(
    ("image", "why", "says"),
    [(decoded_noise(), "shapeless", "It has no shapes"), (half_failed(), "patches", "50% of it is pure black")],
)
def test_what_may_be_a_failure_is_a_warning(image: Image.Image, why: str, says: str) -> None:
    judgement = judge(png(image), 512, 512)
    assert (judgement.verdict, judgement.why) == (Quality.WARN, why)
    assert says in judgement.says


def test_a_white_picture_is_flat() -> None:
    assert judge(png(Image.new("RGB", (512, 512), "white")), 512, 512).why == "flat", "infinity, cast to 255"


def test_the_correlation_is_pearsons_and_does_not_cross_rows() -> None:
    rows = [[3, 5, 9], [250, 240, 251]]
    lefts, rights = [3, 5, 250, 240], [5, 9, 240, 251]
    mean_left, mean_right = sum(lefts) / 4, sum(rights) / 4
    cov = sum((a - mean_left) * (b - mean_right) for a, b in zip(lefts, rights, strict=True))
    spread = sum((a - mean_left) ** 2 for a in lefts) * sum((b - mean_right) ** 2 for b in rights)
    grey = Image.frombytes("L", (3, 2), bytes([*rows[0], *rows[1]]))
    assert neighbour_correlation(grey) == pytest.approx(cov / spread**0.5)
    assert neighbour_correlation(Image.frombytes("L", (1, 3), bytes([1, 2, 3]))) == 0.0


def test_a_large_picture_is_judged_by_its_middle() -> None:
    image = Image.effect_noise((4096, 4096), 50)
    image.paste(128, (1024, 1024, 3072, 3072))
    seen = measure(image)
    assert (seen.width, seen.height, seen.mean, seen.std) == (4096, 4096, 128, 0)


def test_half_blocks_hold_two_pixels_a_cell() -> None:
    image = Image.new("RGB", (40, 40), "red")
    image.paste((0, 0, 255), (0, 20, 40, 40))
    rows = half_blocks(png(image), 20)
    assert [len(rows), len(rows[0])] == [10, 20]
    assert rows[0][0] == ((255, 0, 0), (255, 0, 0))
    assert rows[-1][-1] == ((0, 0, 255), (0, 0, 255))
    assert half_blocks(b"no picture", 20) == []
