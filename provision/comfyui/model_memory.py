"""The memory that the manifest's model takes on this machine: what is measured, given to `memory_fit`.

The numbers of a model's parts come from the header of its file. While the file is not here, its size and precision tell
how many there are in all, which is enough for the memory; how much of it lies in Metal is not judged then.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from provision.comfyui import memory as memory_fit
from provision.comfyui.memory import Fit, Picture
from provision.comfyui.safetensors import (
    LENGTH_BYTES,
    HeaderTruncated,
    NotSafetensors,
    Part,
    SafetensorsHeader,
    header_length,
    parse_safetensors_header,
)
from provision.core.receipt_kinds import TorchReceipt
from provision.core.step import Context
from provision.errors import ManifestError
from provision.system.mac import read_chip, read_sysctl
from provision.system.strict import Unreadable, open_file

VALUE_BYTES: Mapping[str, int] = {"fp16": 2, "bf16": 2, "fp32": 4}
LARGER = 768


@dataclass(frozen=True, slots=True)
class Weights:
    """How many numbers each part of a model has, its kind, and whether its header told."""

    values: Mapping[Part, int]
    architecture: str
    precision: str
    by_header: bool


def read_weights(ctx: Context) -> Weights | None:
    """The weights of the first image's checkpoint; None where neither a file nor its size is known."""
    try:
        model, file = ctx.manifest.checkpoint(ctx.options.precision)
    except ManifestError:
        return None
    header = _read_header(ctx.home.models / model.folder / file.name)
    if header is not None:
        return Weights(header.values, header.architecture, header.precision, True)
    if file.size is None:
        return None
    return Weights({"unet": file.size // VALUE_BYTES[file.precision]}, "", file.precision, False)


def _read_header(path: Path) -> SafetensorsHeader | None:
    try:
        with open_file(path) as stream:
            start = stream.read(LENGTH_BYTES)
            return parse_safetensors_header(start + stream.read(header_length(start)))
    except (OSError, Unreadable, NotSafetensors, HeaderTruncated):
        return None


def read_memory_bytes(ctx: Context) -> int | None:
    """All of the machine's memory; None where nobody tells."""
    memory = ctx.machine.memory()
    if memory is not None:
        return memory.total_bytes
    chip = read_chip(read_sysctl(ctx.machine)) if ctx.machine.system == "Darwin" else None
    return chip.memory_bytes if chip else None


def device_here(ctx: Context) -> str:
    """`mps` or `cpu`; empty where an Nvidia GPU has memory of its own, of which nothing is known."""
    if ctx.machine.system == "Darwin":
        return "cpu" if ctx.receipts.read("torch", TorchReceipt).device == "cpu" else "mps"
    return "" if ctx.machine.which("nvidia-smi") else "cpu"


def fit_here(ctx: Context, weights: Weights, flags: Sequence[str], side: int | None = None) -> Fit | None:
    """How the model sits here while it makes the first image, or a square one; None where that cannot be told."""
    memory_bytes, device = read_memory_bytes(ctx), device_here(ctx)
    if memory_bytes is None or not device:
        return None
    found = memory_fit.fit(memory_bytes, weights.values, picture_of(ctx, weights, side), device, flags)
    return found if weights.by_header else replace(found, metal_bytes=0)


def picture_of(ctx: Context, weights: Weights, side: int | None = None) -> Picture:
    """The first image, or a square one, as a thing that takes memory."""
    image = ctx.manifest.first_image
    return Picture(weights.architecture, side or image.width, side or image.height, image.cfg > 1)


def memory_flags(ctx: Context, flags: Sequence[str]) -> tuple[str, ...]:
    """The flags that follow from the memory, once the header is here: a server is not started anew for an estimate.

    On a Mac there are none, and nothing is read: on its GPU they do not help (`memory_fit.flags_for`), and the CPU is
    used only where the GPU is hidden.
    """
    device = device_here(ctx)
    weights = read_weights(ctx) if device == "cpu" and ctx.machine.system != "Darwin" else None
    found = fit_here(ctx, weights, flags) if weights and weights.by_header else None
    return memory_fit.flags_for(found, device, weights.precision, flags) if weights and found else ()
