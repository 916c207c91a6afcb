"""The largest image that a Mac's GPU makes right.

MPS counts the values of one attention matrix (batch * heads * queries * keys) in 32 bits: from 2^31 on every kind of
attention in ComfyUI gives wrong images without an error (Comfy-Org/ComfyUI#14837; manifests/known-bad.toml).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from provision.comfyui.memory import LEVELS, SDXL_LEVEL, Picture, device_here, picture_of, read_weights
from provision.comfyui.server_process import engine_flags
from provision.command import Command, Fix
from provision.core.manifest import FirstImage
from provision.core.step import Context
from provision.environment.known_bad_torch import Limit, read_attention_limit
from provision.errors import UsageError

STEP = 8
"""Pixels: a side is a multiple of it."""


def attention_values(picture: Picture) -> int:
    """The values of the largest attention matrix that a picture takes."""
    heads, token = LEVELS.get(picture.architecture, SDXL_LEVEL)
    tokens = -(-picture.width // token) * -(-picture.height // token)
    return (2 if picture.twice else 1) * heads * tokens**2


def largest(picture: Picture, limit: Limit) -> tuple[int, int]:
    """Width and height of the largest picture of the same shape that stays below the limit."""
    long, short = max(picture.width, picture.height), min(picture.width, picture.height)
    for side in range(long - long % STEP, 0, -STEP):
        other = max(STEP, round(side * short / long / STEP) * STEP)
        width, height = (side, other) if picture.width >= picture.height else (other, side)
        if attention_values(replace(picture, width=width, height=height)) < limit.values:
            return width, height
    return STEP, STEP


def check_size(ctx: Context, image: FirstImage, again: Callable[[int, int], Command]) -> None:
    """Raise UsageError for an image that a Mac's GPU would make wrong; `again` is the command for another size."""
    weights = read_weights(ctx)
    if device_here(ctx) != "mps" or "--cpu" in engine_flags(ctx) or weights is None:
        return
    picture = replace(picture_of(ctx, weights), width=image.width, height=image.height, twice=image.cfg > 1)
    limit, values = read_attention_limit(), attention_values(picture)
    if values < limit.values:
        return
    width, height = largest(picture, limit)
    command = again(width, height)
    raise UsageError(
        f"{image.width}x{image.height} takes {values:,} values in one attention matrix. From {limit.values:,} on, "
        f"{limit.looks} ({limit.source}). The largest that works here is {width}x{height}.",
        hint=Fix("Use that size:", command),
    )
