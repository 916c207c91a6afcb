"""What a model takes of a machine's memory, and whether that fits, with where the numbers are from.

**Weights** are the numbers that the header counts, times the bytes of the dtype in which ComfyUI keeps them
(comfy/model_management.py of 0.38: on MPS the UNet is fp16 and the VAE bf16; on the CPU both are float32; the text
encoders are fp16 on either, and on MPS they stay on the CPU).

**Activations** are the greater of two peaks, as the UNet is done when the VAE begins:

* the VAE's decoder: 2,178 numbers a pixel (comfy/sd.py, `memory_used_decode`; its author calls that rather too much:
  what lives at one time in the last blocks, 256 and 128 channels wide, are 640, and the rest is room for the kernels);
* the UNet's attention: heads x tokens x tokens in float32, 2.5 times (scores, softmax, product), at its widest level
  (SDXL: 10 heads at a sixteenth of the picture's side; SD 2: 5 at an eighth), twice where cfg is above 1, and never
  more than 1 GiB, as ComfyUI's sub-quadratic attention cuts it to what is free; and 24 numbers a pixel for the rest.

Measured here on Linux with `--cpu`, SDXL-Turbo at 512x512: 17 GB at the peak, the file's mapped pages among them; this
says 15.6 GB. On a Mac none of it has been measured by us.

**Metal** recommends at most two thirds of the memory, three quarters from 36 GiB on (`recommendedMaxWorkingSetSize`;
torch's limit of 1.7 times that is the `max allowed: 9.07 GB` of 8 GiB and 18.13 of 16, ComfyUI issues 5810 and 7171;
llama.cpp's logs: 10922.67 MiB of 16 GiB, 21845 of 32, 27648 of 36, 49152 of 64). Newer systems allow more (0.74 of
16 and of 24 GiB), which is left as a reserve.

**The system** keeps what Metal leaves on the smallest Mac, 8/3 GiB; a Linux without a desktop 1 GiB.

The numbers of a model's parts come from the header of its file. While the file is not here, its size and precision tell
how many there are in all, which is enough for the memory; how much of it lies in Metal is not judged then.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

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
from provision.system.machine import Machine
from provision.system.parsers import GIB
from provision.system.strict import Unreadable, open_file

SYSTEM_BYTES: Mapping[str, int] = {"mps": 8 * GIB // 3, "cpu": 1 * GIB}
PROCESS_BYTES = 1 * GIB
"""Python, torch and ComfyUI with its packages, before a model is loaded; an estimate."""
AIR_BYTES = 2 * GIB
"""What other programs want: a browser with some pages. With less it is tight."""
TORCH_LIMIT = 1.7
"""PYTORCH_MPS_HIGH_WATERMARK_RATIO where nobody sets it: above this torch gives up (torch's notes on MPS)."""
DECODE_VALUES = 2178
REST_VALUES = 24
ATTENTION_COPIES = 2.5
ATTENTION_LIMIT_BYTES = 1 * GIB
LEVELS: Mapping[str, tuple[int, int]] = {"sd1": (8, 8), "sd2": (5, 8)}
"""Heads of the widest level of attention, and the pixels of a token's side; SDXL's where it is another."""
SDXL_LEVEL = (10, 16)
UNET_DTYPES: Mapping[str, int] = {"--force-fp32": 4, "--fp32-unet": 4, "--fp16-unet": 2, "--bf16-unet": 2}
VAE_DTYPES: Mapping[str, int] = {"--force-fp32": 4, "--fp32-vae": 4, "--fp16-vae": 2, "--bf16-vae": 2}
TEXT_DTYPES: Mapping[str, int] = {"--fp32-text-enc": 4, "--fp8_e4m3fn-text-enc": 1, "--fp8_e5m2-text-enc": 1}
SMALLER_UNET = "--fp16-unet"
"""On the CPU: keeps the UNet's weights in fp16 and computes in float32; an fp16 file loses nothing by it."""
NO_HELP: Mapping[str, str] = {
    "--lowvram": "the memory is shared, and the text encoders are on the CPU anyhow",
    "--novram": "the memory is shared: ComfyUI sets it aside on MPS",
    "--highvram": "ComfyUI sets it aside on MPS",
    "--normalvram": "ComfyUI 0.38 no longer knows it",
    "--disable-smart-memory": "it moves weights from the memory to the same memory",
    "--cpu-vae": "it decodes in float32, which takes twice the same memory",
}
"""Flags that save nothing on a Mac, and why (comfy/model_management.py and comfy/cli_args.py of 0.38)."""

VALUE_BYTES: Mapping[str, int] = {"fp16": 2, "bf16": 2, "fp32": 4}
LARGER = 768


class Fit(StrEnum):
    """How a model sits in a machine's memory."""

    FITS = "fits"
    TIGHT = "tight"
    SWAPS = "will swap"


@dataclass(frozen=True, slots=True)
class Picture:
    """What is to be made: the kind of model, the picture's sides in pixels, and whether cfg computes two at once."""

    architecture: str
    width: int
    height: int
    twice: bool = False


@dataclass(frozen=True, slots=True)
class MemoryUse:
    """Bytes of a model that makes a picture on a machine. `metal_bytes` is 0 on the CPU."""

    memory_bytes: int
    weights_bytes: int
    activations_bytes: int
    metal_bytes: int
    system_bytes: int

    @property
    def total_bytes(self) -> int:
        """All that must have room: weights, activations, the program, the system."""
        return self.weights_bytes + self.activations_bytes + PROCESS_BYTES + self.system_bytes

    @property
    def recommended_bytes(self) -> int:
        """What Metal recommends at most."""
        return recommended_bytes(self.memory_bytes)

    @property
    def fit(self) -> Fit:
        """By the memory and, on a GPU, by what Metal recommends."""
        if self.total_bytes > self.memory_bytes or self.metal_bytes > self.recommended_bytes:
            return Fit.SWAPS
        return Fit.TIGHT if self.total_bytes + AIR_BYTES > self.memory_bytes else Fit.FITS

    @property
    def refused(self) -> bool:
        """Whether torch gives up: `MPS backend out of memory`."""
        return self.metal_bytes > TORCH_LIMIT * self.recommended_bytes


def recommended_bytes(memory_bytes: int) -> int:
    """Metal's `recommendedMaxWorkingSetSize`, by the memory."""
    return memory_bytes * 2 // 3 if memory_bytes < 36 * GIB else memory_bytes * 3 // 4


def memory_use(
    memory_bytes: int, values: Mapping[Part, int], picture: Picture, device: str, flags: Sequence[str]
) -> MemoryUse:
    """How a model of so many numbers sits in the memory, with ComfyUI's flags; `device` is `mps` or `cpu`."""
    unet, vae = (2, 2) if device == "mps" else (4, 4)
    unet, vae = dtype_bytes(flags, UNET_DTYPES, unet), dtype_bytes(flags, VAE_DTYPES, vae)
    text = values.get("text", 0) * dtype_bytes(flags, TEXT_DTYPES, 2)
    others = (values.get("unet", 0) + values.get("other", 0)) * unet + values.get("vae", 0) * vae
    activations = activations_bytes(picture, unet, vae)
    on_gpu = others + activations + (text if "--gpu-only" in flags else 0)
    return MemoryUse(memory_bytes, others + text, activations, on_gpu if device == "mps" else 0, SYSTEM_BYTES[device])


def dtype_bytes(flags: Sequence[str], known: Mapping[str, int], usual: int) -> int:
    """The bytes of a number, by the flag that decides it; the usual ones where none does."""
    return next((size for flag, size in known.items() if flag in flags), usual)


def activations_bytes(picture: Picture, unet: int, vae: int) -> int:
    """The greater of the UNet's and the decoder's peak, for numbers of so many bytes."""
    pixels, batch = picture.width * picture.height, 2 if picture.twice else 1
    heads, token = LEVELS.get(picture.architecture, SDXL_LEVEL)
    attention = int(ATTENTION_COPIES * batch * heads * (pixels // token**2) ** 2 * 4)
    sampling = min(attention, ATTENTION_LIMIT_BYTES) + REST_VALUES * batch * pixels * unet
    return max(sampling, DECODE_VALUES * pixels * vae)


def flags_for(found: MemoryUse, device: str, precision: str, flags: Sequence[str]) -> tuple[str, ...]:
    """The flags that make a model smaller here, beside those that are given.

    On MPS there are none: the memory is one, so moving parts about saves nothing (`NO_HELP`), and smaller dtypes than
    the file's change the picture. On the CPU an fp16 file's UNet is kept in fp16 where float32 does not fit with ease.
    """
    decided = any(flag in flags for flag in UNET_DTYPES)
    roomy = found.fit is Fit.FITS
    return () if device != "cpu" or precision != "fp16" or decided or roomy else (SMALLER_UNET,)


def says(title: str, picture: Picture, found: MemoryUse, larger: MemoryUse | None, system: str) -> str:
    """The verdict with its numbers, as sentences; `larger` is the same at 768x768."""
    metal = (
        f"; {_gib(found.metal_bytes)} are in Metal, which recommends {_gib(found.recommended_bytes)} at most"
        if found.metal_bytes
        else ""
    )
    text = (
        f"{title} at {picture.width}x{picture.height} takes {_gib(found.total_bytes - found.system_bytes)} GiB: "
        f"weights {_gib(found.weights_bytes)}, activations {_gib(found.activations_bytes)}, ComfyUI "
        f"{_gib(PROCESS_BYTES)}. With {_gib(found.system_bytes)} for {system} that is {_gib(found.total_bytes)} of "
        f"{found.memory_bytes / GIB:.3g} GiB{metal}: {_judged(found)}."
    )
    if larger is not None:
        text += f" At 768x768: {_gib(larger.total_bytes)} GiB, {_judged(larger)}."
    return text


def _judged(found: MemoryUse) -> str:
    if found.refused:
        return f"it will swap, and torch gives up above {_gib(int(TORCH_LIMIT * found.recommended_bytes))} GiB"
    spare = found.memory_bytes - found.total_bytes
    return {
        Fit.FITS: "it fits",
        Fit.TIGHT: f"it is tight, {_gib(spare)} GiB are left for other programs",
        Fit.SWAPS: f"it will swap about {_gib(max(-spare, found.metal_bytes - found.recommended_bytes))} GiB",
    }[found.fit]


def _gib(size_bytes: int) -> str:
    return f"{size_bytes / GIB:.1f}"


# -- this machine and the manifest's model -------------------------------------------------------------


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


def read_memory_bytes(machine: Machine) -> int | None:
    """All of the machine's memory; None where nobody tells."""
    memory = machine.memory()
    if memory is not None:
        return memory.total_bytes
    chip = read_chip(read_sysctl(machine)) if machine.system == "Darwin" else None
    return chip.memory_bytes if chip else None


def device_here(ctx: Context) -> str:
    """`mps` or `cpu`; empty where an Nvidia GPU has memory of its own, of which nothing is known."""
    if ctx.machine.system == "Darwin":
        return "cpu" if ctx.receipts.read("torch", TorchReceipt).device == "cpu" else "mps"
    return "" if ctx.machine.which("nvidia-smi") else "cpu"


def use_here(ctx: Context, weights: Weights, flags: Sequence[str], side: int | None = None) -> MemoryUse | None:
    """How the model sits here while it makes the first image, or a square one; None where that cannot be told."""
    memory_bytes, device = read_memory_bytes(ctx.machine), device_here(ctx)
    if memory_bytes is None or not device:
        return None
    found = memory_use(memory_bytes, weights.values, picture_of(ctx, weights, side), device, flags)
    return found if weights.by_header else replace(found, metal_bytes=0)


def picture_of(ctx: Context, weights: Weights, side: int | None = None) -> Picture:
    """The first image, or a square one, as a thing that takes memory."""
    image = ctx.manifest.first_image
    return Picture(weights.architecture, side or image.width, side or image.height, image.cfg > 1)


def memory_flags(ctx: Context, flags: Sequence[str]) -> tuple[str, ...]:
    """The flags that follow from the memory, once the header is here: a server is not started anew for an estimate.

    On a Mac there are none, and nothing is read: on its GPU they do not help (`flags_for`), and the CPU is
    used only where the GPU is hidden.
    """
    device = device_here(ctx)
    weights = read_weights(ctx) if device == "cpu" and ctx.machine.system != "Darwin" else None
    found = use_here(ctx, weights, flags) if weights and weights.by_header else None
    return flags_for(found, device, weights.precision, flags) if weights and found else ()
