"""Checkpoints that hold no picture: SDXL's tensor names and shapes, with reproducible random numbers inside.

Full size (`shrink=None`), a real ComfyUI loads one and makes noise of it. Shrunk, the rehearsal downloads it.
Everything is written as it is made: 7 GB need less than 100 MB of memory.
"""

from __future__ import annotations

import hashlib
import json
import math
import random
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Literal

Dtype = Literal["F16", "F32"]
Shape = tuple[int, ...]

SHRINK = 16
"""The divisor of the rehearsal's checkpoints: 24.6 MB of data in F16, 49.2 MB in F32."""
STRUCT_CODES: Mapping[Dtype, str] = {"F16": "e", "F32": "f"}
VALUE_BYTES: Mapping[Dtype, int] = {"F16": 2, "F32": 4}
TILE_VALUES = 65_537
"""A prime, so that rows of a tensor, whose lengths have small factors, do not repeat where the tile does."""
TILES_A_CHUNK = 16
LEVELS_DEVIATION = math.sqrt((256**2 - 1) / 12)
"""The standard deviation of a random byte."""
LOGIT_SCALE = math.log(100)
"""Where CLIP clamps the factor that it learns (openai/CLIP, logit_scale)."""


@dataclass(frozen=True, slots=True)
class CheckpointFile:
    """A file that was written: its size in bytes and its sha256 in hexadecimal."""

    size_bytes: int
    sha256: str


@cache
def tensor_shapes() -> dict[str, Shape]:
    """Name and shape of every tensor of an SDXL checkpoint, in the order in which they lie in the file."""
    text = Path(__file__).with_name("sdxl_tensors.json").read_text(encoding="utf-8")
    return {name: tuple(shape) for name, shape in json.loads(text).items()}


def shrunk(shape: Shape, divisor: int | None) -> Shape:
    """A shape with every side divided, none below 1; the same shape where `divisor` is None."""
    return shape if divisor is None else tuple(max(1, side // divisor) for side in shape)


def write_checkpoint(path: Path, *, dtype: Dtype, shrink: int | None, seed: int) -> CheckpointFile:
    """Write an SDXL checkpoint of random numbers, the same bytes for the same arguments on every machine.

    With `shrink`, every side of every tensor is divided by it. Folders above `path` are made. Raises OSError.
    """
    shapes = {name: shrunk(shape, shrink) for name, shape in tensor_shapes().items()}
    return write_safetensors(path, shapes, dtype=dtype, seed=seed)


def write_safetensors(path: Path, shapes: Mapping[str, Shape], *, dtype: Dtype, seed: int) -> CheckpointFile:
    """Write tensors of these names and shapes, in this order, with values as fresh layers have them.

    Norms are 1, biases 0, everything else has a standard deviation of 1/sqrt(fan-in). Raises OSError.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    digest, size_bytes = hashlib.sha256(), 0
    with path.open("wb") as file:
        for chunk in checkpoint_chunks(shapes, dtype, seed):
            digest.update(chunk)
            size_bytes += file.write(chunk)
    return CheckpointFile(size_bytes, digest.hexdigest())


def checkpoint_chunks(shapes: Mapping[str, Shape], dtype: Dtype, seed: int) -> Iterator[bytes | memoryview]:
    """The bytes of a safetensors file, a chunk at a time: the header, then tensor after tensor."""
    yield header(shapes, dtype)
    tiles = Tiles(dtype, seed)
    for index, (name, shape) in enumerate(shapes.items()):
        count = math.prod(shape)
        value = constant(name, shape)
        if value is None:
            yield from tiles.cut(1 / math.sqrt(math.prod(shape[1:])), count, start=index * 7919)
        else:
            yield struct.pack(f"<{STRUCT_CODES[dtype]}", value) * count


def header(shapes: Mapping[str, Shape], dtype: Dtype) -> bytes:
    """The first part of a safetensors file: 8 bytes of length (little-endian), and JSON filled up with spaces.

    See github.com/huggingface/safetensors, "Format"; the data that follows is aligned to 8 bytes.
    """
    ends = accumulate((math.prod(shape) * VALUE_BYTES[dtype] for shape in shapes.values()), initial=0)
    entries = {
        name: {"dtype": dtype, "shape": list(shape), "data_offsets": list(span)}
        for (name, shape), span in zip(shapes.items(), pairwise(ends), strict=True)
    }
    text = json.dumps({"__metadata__": {"format": "pt"}, **entries}, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text


def constant(name: str, shape: Shape) -> float | None:
    """The one value that fills a tensor: 0 for a bias, 1 for a norm; None where values differ."""
    if name.endswith("bias"):
        return 0.0
    if name.endswith("logit_scale"):
        return LOGIT_SCALE
    return 1.0 if len(shape) == 1 else None


class Tiles:
    """Random numbers, made once for each standard deviation and then repeated.

    They are uniform, as PyTorch initialises layers, with 256 values: a random byte each, looked up in a table, so that
    none is made by itself. The same comes on every machine.
    """

    def __init__(self, dtype: Dtype, seed: int) -> None:
        self._dtype = dtype
        self._noise = random.Random(seed).randbytes(TILE_VALUES)  # noqa: S311 - weights, not a secret
        self._tiles: dict[float, memoryview] = {}

    def cut(self, deviation: float, count: int, start: int) -> Iterator[memoryview]:
        """`count` values of this standard deviation, from place `start` of the endless row of tiles."""
        tile = self._tile(deviation)
        place, left = start % TILE_VALUES * VALUE_BYTES[self._dtype], count * VALUE_BYTES[self._dtype]
        while left > 0:
            piece = tile[place : place + left]
            yield piece
            place, left = 0, left - len(piece)

    def _tile(self, deviation: float) -> memoryview:
        if deviation not in self._tiles:
            size, step = VALUE_BYTES[self._dtype], deviation / LEVELS_DEVIATION
            levels = ((level - 127.5) * step for level in range(256))
            table = struct.pack(f"<256{STRUCT_CODES[self._dtype]}", *levels)
            tile = bytearray(TILE_VALUES * size)
            for place in range(size):
                tile[place::size] = self._noise.translate(table[place::size])
            self._tiles[deviation] = memoryview(tile * TILES_A_CHUNK)
        return self._tiles[deviation]


def write_diffusers_files(folder: Path) -> dict[str, Path]:
    """Write the rest of a repository like stabilityai/sdxl-turbo, small: path in the repository -> file.

    The diffusers layout with its weights in both precisions: what must not be downloaded, and shows when it is.
    Raises OSError.
    """
    classes = {part: ["transformers" if kind.startswith("CLIP") else "diffusers", kind] for part, kind in PARTS.items()}
    index = {"_class_name": "StableDiffusionXLPipeline", "_diffusers_version": "0.24.0", **classes}
    texts = {"README.md": README, "model_index.json": _json_text(index)}
    texts |= {_config_path(part): _json_text({"_class_name": kind}) for part, kind in PARTS.items()}
    for path, text in texts.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, encoding="utf-8", newline="\n")
    weights = [(f"{stem}{infix}.safetensors", dtype) for stem in WEIGHTS for infix, dtype in PRECISIONS]
    for seed, (path, dtype) in enumerate(weights):
        write_safetensors(folder / path, DIFFUSERS_TENSORS, dtype=dtype, seed=seed)
    return {path: folder / path for path in sorted({*texts, *(path for path, _ in weights)})}


def _config_path(part: str) -> str:
    kind = part.removesuffix("_2")
    return f"{part}/{kind}_config.json" if kind in ("scheduler", "tokenizer") else f"{part}/config.json"


def _json_text(value: object) -> str:
    """JSON as people write it in repositories."""
    return json.dumps(value, indent=2) + "\n"


DIFFUSERS_TENSORS: Mapping[str, Shape] = {"block.weight": (256, 256), "block.bias": (256,)}
PRECISIONS: tuple[tuple[str, Dtype], ...] = ((".fp16", "F16"), ("", "F32"))
WEIGHTS = ("text_encoder/model", "text_encoder_2/model", "unet/diffusion_pytorch_model", "vae/diffusion_pytorch_model")
PARTS: Mapping[str, str] = {
    "scheduler": "EulerAncestralDiscreteScheduler",
    "text_encoder": "CLIPTextModel",
    "text_encoder_2": "CLIPTextModelWithProjection",
    "tokenizer": "CLIPTokenizer",
    "tokenizer_2": "CLIPTokenizer",
    "unet": "UNet2DConditionModel",
    "vae": "AutoencoderKL",
}
README = """---
pipeline_tag: text-to-image
inference: false
---

# SDXL-Turbo, in miniature

The files of this repository have the names and the layout of the real one's, and random numbers inside.
"""
