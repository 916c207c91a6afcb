"""Landscapes: a deterministic picture for a key of bytes, smooth as a photograph, made with Pillow alone."""

from __future__ import annotations

import colorsys
import random

from PIL import Image, ImageChops, ImageDraw, ImageFilter, ImageOps

Size = tuple[int, int]
Colour = tuple[int, int, int]
LAYERS = 4
GRAIN = 0.03


def paint(key: bytes, size: Size) -> Image.Image:
    """The landscape of this key: sky, clouds, a sun, hills one behind the other, and a little grain."""
    dice = random.Random(key)  # noqa: S311 - a picture, not a secret
    hue = dice.uniform(0.5, 1.1)  # blue, violet, pink, orange: what skies are
    picture = sky(dice, hue, size)
    for layer in range(LAYERS):
        hill(dice, hue, layer, picture)
    grain = Image.frombytes("L", size, dice.randbytes(size[0] * size[1])).convert("RGB")
    return ImageOps.autocontrast(Image.blend(picture, grain, GRAIN), cutoff=0.5)


def colour(hue: float, saturation: float, value: float) -> Colour:
    red, green, blue = colorsys.hsv_to_rgb(hue % 1.0, saturation, value)
    return round(red * 255), round(green * 255), round(blue * 255)


def texture(dice: random.Random, size: Size, coarsest: int, octaves: int) -> Image.Image:
    """Cloud-like grey: grids of random values, each twice as fine and half as strong as the one before."""
    total = Image.new("L", size, 128)
    for octave in reversed(range(octaves)):
        cells = coarsest << octave
        grid = Image.frombytes("L", (cells, cells), dice.randbytes(cells * cells))
        total = Image.blend(total, grid.resize(size, Image.Resampling.BICUBIC), 0.5)
    return total


def sky(dice: random.Random, hue: float, size: Size) -> Image.Image:
    """From a deep colour above to a pale warm one below, with a sun and clouds."""
    width, height = size
    fade = Image.linear_gradient("L").resize(size, Image.Resampling.BICUBIC)
    top, middle, low = colour(hue, 0.7, 0.45), colour(hue + 0.04, 0.45, 0.8), colour(hue + 0.45, 0.35, 1.0)
    picture = ImageOps.colorize(fade, top, low, middle)
    glow = Image.new("L", size, 0)
    x, y, radius = dice.uniform(0.2, 0.8) * width, dice.uniform(0.2, 0.4) * height, 0.07 * min(size)
    ImageDraw.Draw(glow).ellipse((x - radius, y - radius, x + radius, y + radius), fill=255)
    halo = glow.filter(ImageFilter.GaussianBlur(radius * 1.5))
    shine = ImageChops.lighter(halo, glow.filter(ImageFilter.GaussianBlur(2)))
    picture.paste(colour(hue + 0.5, 0.15, 1.0), mask=shine)
    clouds = texture(dice, size, 3, 5).point([max(0, min(255, (value - 125) * 6)) for value in range(256)])
    picture.paste(colour(hue + 0.5, 0.06, 0.97), mask=ImageChops.multiply(clouds, ImageOps.invert(fade)))
    return picture


def hill(dice: random.Random, hue: float, layer: int, picture: Image.Image) -> None:
    """One range of hills: the nearer (the higher `layer`), the lower, darker and rougher."""
    width, height = picture.size
    near = layer / (LAYERS - 1)
    ridge = [0.0] * width
    for octave in range(3):
        points = (4 + 2 * layer) << octave
        curve = Image.frombytes("L", (points, 1), dice.randbytes(points)).resize((width, 1), Image.Resampling.BICUBIC)
        ridge = [level + value / (255 << octave) for level, value in zip(ridge, curve.tobytes(), strict=True)]
    base, swing = height * (0.5 + 0.36 * near), height * 0.11
    outline = [(x, base - (level - 0.87) * swing) for x, level in enumerate(ridge)]
    mask = Image.new("L", picture.size, 0)
    ImageDraw.Draw(mask).polygon([(0, height), *outline, (width, height)], fill=255)
    ground = texture(dice, picture.size, 4 << layer, 3)
    dark = colour(hue + 0.3, 0.3 + 0.3 * near, 0.5 - 0.4 * near)
    light = colour(hue + 0.35, 0.25 + 0.3 * near, 0.75 - 0.35 * near)
    picture.paste(ImageOps.colorize(ground, dark, light), mask=mask.filter(ImageFilter.GaussianBlur(0.8)))
