"""How much memory a model needs, whether it fits, and the sources of these numbers.

**Weights** are the header's count of numbers, times the bytes of ComfyUI's dtype for them (comfy/model_management.py of
0.38: on MPS the UNet is fp16 and the VAE bf16; on the CPU both are float32; the text encoders are fp16 on either, and
on MPS they stay on the CPU). Before the file is here its size and precision give the count of all parts together; how
much of it is in Metal is not judged then.

**Activations** are the greater of two peaks, as the UNet is done when the VAE begins:

* the VAE's decoder: 2,178 numbers a pixel (comfy/sd.py, `memory_used_decode`, generous by its author's word: the last
  blocks hold 640 at a time, and the rest is room for the kernels);
* the UNet's attention: heads x tokens x tokens in float32, 2.5 times (scores, softmax, product), at its widest level
  (SDXL: 10 heads at a sixteenth of the picture's side; SD 2: 5 at an eighth), twice where cfg is above 1, and at most
  1 GiB, as ComfyUI's sub-quadratic attention cuts it to what is free; and 24 numbers a pixel for the rest.

Measured on Linux with `--cpu`, SDXL-Turbo at 512x512: a peak of 17 GB, mapped pages of the file included; this says
15.6 GB. We have measured nothing on a Mac.

**Metal** recommends at most two thirds of the memory, three quarters from 36 GiB on (`recommendedMaxWorkingSetSize`;
torch's limit of 1.7 times that is the `max allowed: 9.07 GB` of 8 GiB and 18.13 of 16, ComfyUI issues 5810 and 7171;
llama.cpp's logs: 10922.67 MiB of 16 GiB, 21845 of 32, 27648 of 36, 49152 of 64). Newer systems allow more (0.74 of
16 and of 24 GiB), which is left as a reserve.

**The system** keeps what Metal leaves on the smallest Mac, 8/3 GiB; a Linux without a desktop 1 GiB.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import lru_cache

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
from provision.system.parsers import GIB
from provision.system.strict import Unreadable, open_file

SYSTEM_BYTES: Mapping[str, int] = {"mps": 8 * GIB // 3, "cpu": 1 * GIB}
PROCESS_BYTES = 1 * GIB
"""Python, torch and ComfyUI with its packages, before a model is loaded; an estimate."""
AIR_BYTES = 2 * GIB
"""Room for other programs, such as a browser with some pages. With less it is tight."""
TORCH_LIMIT = 1.7
"""The default of PYTORCH_MPS_HIGH_WATERMARK_RATIO: above it torch gives up (torch's notes on MPS)."""
DECODE_VALUES = 2178
REST_VALUES = 24
ATTENTION_COPIES = 2.5
ATTENTION_LIMIT_BYTES = 1 * GIB
LEVELS: Mapping[str, tuple[int, int]] = {"sd1": (8, 8), "sd2": (5, 8)}
"""Heads of the widest level of attention, and the pixels of a token's side; any other has SDXL's."""
SDXL_LEVEL = (10, 16)
UNET_DTYPES: Mapping[str, int] = {"--force-fp32": 4, "--fp32-unet": 4, "--fp16-unet": 2, "--bf16-unet": 2}
VAE_DTYPES: Mapping[str, int] = {"--force-fp32": 4, "--fp32-vae": 4, "--fp16-vae": 2, "--bf16-vae": 2}
TEXT_DTYPES: Mapping[str, int] = {"--fp32-text-enc": 4, "--fp8_e4m3fn-text-enc": 1, "--fp8_e5m2-text-enc": 1}
SMALLER_UNET = "--fp16-unet"
"""On the CPU it keeps the UNet's weights in fp16 and computes in float32; an fp16 file loses nothing."""
NO_HELP: Mapping[str, str] = {
    "--lowvram": "memory is shared, and the text encoders are on the CPU anyway",
    "--novram": "memory is shared: ComfyUI ignores it on MPS",
    "--highvram": "ComfyUI ignores it on MPS",
    "--normalvram": "ComfyUI 0.38 removed it",
    "--disable-smart-memory": "it moves weights within the same memory",
    "--cpu-vae": "it decodes in float32, which takes twice the memory",
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
    """A picture to make: the kind of model, the sides in pixels, and whether cfg computes two at once."""

    architecture: str
    width: int
    height: int
    twice: bool = False


@dataclass(frozen=True, slots=True)
class MemoryUse:
    """The memory in which a model makes a picture, in bytes. `metal_bytes` is 0 on the CPU."""

    memory_bytes: int
    weights_bytes: int
    activations_bytes: int
    metal_bytes: int
    system_bytes: int

    @property
    def total_bytes(self) -> int:
        """Everything that needs room: weights, activations, the program, the system."""
        return self.weights_bytes + self.activations_bytes + PROCESS_BYTES + self.system_bytes

    @property
    def recommended_bytes(self) -> int:
        """Metal's recommended maximum."""
        return recommended_bytes(self.memory_bytes)

    @property
    def fit(self) -> Fit:
        """Whether it fits the memory and, on a GPU, Metal's recommendation."""
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
    """The memory of a model by the numbers of its parts and ComfyUI's flags; `device` is `mps` or `cpu`."""
    usual = 2 if device == "mps" else 4
    unet, vae = _dtype_bytes(flags, UNET_DTYPES, usual), _dtype_bytes(flags, VAE_DTYPES, usual)
    text = values.get("text", 0) * _dtype_bytes(flags, TEXT_DTYPES, 2)
    others = (values.get("unet", 0) + values.get("other", 0)) * unet + values.get("vae", 0) * vae
    activations = activations_bytes(picture, unet, vae)
    on_gpu = others + activations + (text if "--gpu-only" in flags else 0)
    return MemoryUse(memory_bytes, others + text, activations, on_gpu if device == "mps" else 0, SYSTEM_BYTES[device])


def _dtype_bytes(flags: Sequence[str], known: Mapping[str, int], usual: int) -> int:
    """The bytes of a number, by the flag that decides it."""
    return next((size for flag, size in known.items() if flag in flags), usual)


def activations_bytes(picture: Picture, unet: int, vae: int) -> int:
    """The greater of the UNet's and the decoder's peak, by the bytes of their numbers."""
    pixels, batch = picture.width * picture.height, 2 if picture.twice else 1
    heads, token = LEVELS.get(picture.architecture, SDXL_LEVEL)
    attention = int(ATTENTION_COPIES * batch * heads * (pixels // token**2) ** 2 * 4)
    sampling = min(attention, ATTENTION_LIMIT_BYTES) + REST_VALUES * batch * pixels * unet
    return max(sampling, DECODE_VALUES * pixels * vae)


def flags_for(found: MemoryUse, device: str, precision: str, flags: Sequence[str]) -> tuple[str, ...]:
    """More flags that make a model smaller here.

    On MPS there are none: the memory is shared, so moving parts about saves nothing (`NO_HELP`), and dtypes smaller
    than the file's change the picture. On the CPU an fp16 file's UNet is kept in fp16 where float32 is tight.
    """
    decided = any(flag in flags for flag in UNET_DTYPES)
    return () if device != "cpu" or precision != "fp16" or decided or found.fit is Fit.FITS else (SMALLER_UNET,)


def says(title: str, picture: Picture, found: MemoryUse, larger: MemoryUse | None, system: str) -> str:
    """The verdict with its numbers, as sentences; `larger` is the same at 768x768."""
    metal = f", {_gib(found.metal_bytes)} of them in Metal (at most {_gib(found.recommended_bytes)} recommended)"
    metal = metal if found.metal_bytes else ""
    text = (
        f"{title} at {picture.width}x{picture.height} needs {_gib(found.total_bytes)} of "
        f"{found.memory_bytes / GIB:.3g} GiB{metal}: {_judged(found)}."
    )
    if larger is not None:
        text += f" At 768x768: {_gib(larger.total_bytes)} GiB, {_judged(larger)}."
    return (
        f"{text} (Weights {_gib(found.weights_bytes)}, activations {_gib(found.activations_bytes)}, ComfyUI "
        f"{_gib(PROCESS_BYTES)}, {system} {_gib(found.system_bytes)}.)"
    )


def _judged(found: MemoryUse) -> str:
    if found.refused:
        return f"it will swap, and torch gives up above {_gib(int(TORCH_LIMIT * found.recommended_bytes))} GiB"
    spare = found.memory_bytes - found.total_bytes
    return {
        Fit.FITS: "OK",
        Fit.TIGHT: f"tight, {_gib(spare)} GiB left for other programs",
        Fit.SWAPS: f"it will swap about {_gib(max(-spare, found.metal_bytes - found.recommended_bytes))} GiB",
    }[found.fit]


def _gib(size_bytes: int) -> str:
    return f"{size_bytes / GIB:.1f}"


@dataclass(frozen=True, slots=True)
class Weights:
    """How many numbers each part of a model has, its kind, and whether its header was read."""

    values: Mapping[Part, int]
    architecture: str
    precision: str
    by_header: bool


def read_weights(ctx: Context) -> Weights | None:
    """The weights of the first image's checkpoint; None where neither the file nor its size is known."""
    try:
        model, file = ctx.manifest.checkpoint(ctx.options.precision)
    except ManifestError:
        return None
    with suppress(OSError, Unreadable, NotSafetensors, HeaderTruncated):
        with open_file(ctx.home.models / model.folder / file.name) as stream:
            start = stream.read(LENGTH_BYTES)
            header = _header(start + stream.read(header_length(start)))
        return Weights(header.values, header.architecture, header.precision, True)
    if file.size is None:
        return None
    return Weights({"unet": file.size // VALUE_BYTES[file.precision]}, "", file.precision, False)


@lru_cache(maxsize=1)
def _header(read: bytes) -> SafetensorsHeader:
    """What the header says: a run asks for it at every step, and thousands of tensors take time to read."""
    return parse_safetensors_header(read)


def device_here(ctx: Context) -> str:
    """`mps` or `cpu`; empty with an Nvidia GPU, whose own memory is not known."""
    if ctx.machine.system == "Darwin":
        return "cpu" if ctx.receipts.read("torch", TorchReceipt).device == "cpu" else "mps"
    return "" if ctx.machine.which("nvidia-smi") else "cpu"


def use_here(ctx: Context, weights: Weights, flags: Sequence[str], side: int | None = None) -> MemoryUse | None:
    """The model's memory here while it makes the first image, or a square one; None where it cannot be known."""
    device, memory = device_here(ctx), ctx.machine.memory()
    size_bytes = memory.total_bytes if memory else None
    if memory is None and ctx.machine.system == "Darwin" and (chip := read_chip(read_sysctl(ctx.machine))):
        size_bytes = chip.memory_bytes
    if size_bytes is None or not device:
        return None
    found = memory_use(size_bytes, weights.values, picture_of(ctx, weights, side), device, flags)
    return found if weights.by_header else replace(found, metal_bytes=0)


def picture_of(ctx: Context, weights: Weights, side: int | None = None) -> Picture:
    """The first image, or a square one."""
    image = ctx.manifest.first_image
    return Picture(weights.architecture, side or image.width, side or image.height, image.cfg > 1)


def memory_flags(ctx: Context, flags: Sequence[str]) -> tuple[str, ...]:
    """The flags that follow from the memory, once the header is here: an estimate is no reason to restart a server.

    On a Mac there are none: on its GPU they do not help (`flags_for`), and its CPU is used only without one.
    """
    device = device_here(ctx)
    weights = read_weights(ctx) if device == "cpu" and ctx.machine.system != "Darwin" else None
    found = use_here(ctx, weights, flags) if weights and weights.by_header else None
    return flags_for(found, device, weights.precision, flags) if weights and found else ()
