"""Safetensors files: the header, what is wrong with it, and which model it holds.

The format: 8 bytes little-endian length, a JSON object of that length, then the tensors' bytes without gaps.
"""

from __future__ import annotations

import hashlib
import json
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cli_args import IS_RECENT

HEADER_BYTES_MAX = 100_000_000
SAMPLE_BYTES = 1 << 16
SAMPLES = 16
UNET = "model.diffusion_model."
SDXL_UNET_KEYS = (
    f"{UNET}input_blocks.0.0.weight",
    f"{UNET}label_emb.0.0.weight",
    f"{UNET}input_blocks.4.1.transformer_blocks.1.attn2.to_k.weight",
    f"{UNET}out.2.weight",
)
CLIP_PREFIXES = ("conditioner.embedders.0.", "conditioner.embedders.1.")
VAE_PREFIX = "first_stage_model."

# The messages of safetensors 0.8 and of 0.5, which releases of ComfyUI of their time came with.
MESSAGES = {
    "small": ("header too small", "HeaderTooSmall"),
    "large": ("header too large", "HeaderTooLarge"),
    "length": ("invalid header length", "InvalidHeaderLength"),
    "text": ("invalid UTF-8 in header", "InvalidHeader"),
    "json": ("invalid JSON in header", "InvalidHeaderDeserialization"),
    "cut": ("incomplete metadata, file not fully covered", "MetadataIncompleteBuffer"),
}


class SafetensorError(RuntimeError):
    """What the safetensors package raises on a file that it cannot read."""

    __module__ = "safetensors_rust"


@dataclass(frozen=True)
class Checkpoint:
    """What a file holds: its tensors' names, the format of its weights, a digest of some of its bytes."""

    names: frozenset[str]
    dtype: str
    digest: bytes

    def has(self, prefix: str) -> bool:
        return any(name.startswith(prefix) for name in self.names)


def broken(kind: str, detail: str = "") -> SafetensorError:
    """The error for a kind of damage, in the words of the safetensors release that goes with this engine."""
    words = MESSAGES[kind][0] + detail if IS_RECENT else MESSAGES[kind][1]
    return SafetensorError(f"Error while deserializing header: {words}")


def read_header(path: Path) -> dict[str, dict[str, Any]]:
    """The tensors of a file; SafetensorError where it is not whole."""
    size = path.stat().st_size
    with path.open("rb") as stream:
        prefix = stream.read(8)
        if len(prefix) < 8:
            raise broken("small")
        (length,) = struct.unpack("<Q", prefix)
        if length > HEADER_BYTES_MAX:
            raise broken("large")
        if 8 + length > size:
            raise broken("length")
        raw = stream.read(length)
    header = parse_header(raw)
    end = max((entry["data_offsets"][1] for entry in header.values()), default=0)
    if 8 + length + end != size:
        raise broken("cut")
    return header


def parse_header(raw: bytes) -> dict[str, dict[str, Any]]:
    """The tensors in a header's text, without its metadata."""
    try:
        header = json.loads(raw.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise broken("text", f": {error.reason}") from None
    except json.JSONDecodeError as error:
        raise broken("json", f": {error.msg} at line {error.lineno} column {error.colno}") from None
    header.pop("__metadata__", None)
    return dict(header)


def sample_digest(path: Path) -> bytes:
    """A digest of slices spread over the file: another file gives another one, and 7 GB are not read."""
    digest = hashlib.sha256()
    size = path.stat().st_size
    with path.open("rb") as stream:
        for index in range(SAMPLES):
            stream.seek(max(0, size - SAMPLE_BYTES) * index // (SAMPLES - 1))
            digest.update(stream.read(SAMPLE_BYTES))
    return digest.digest()


def read_checkpoint(path: Path) -> Checkpoint:
    """The checkpoint at `path`.

    SafetensorError where it is broken, ValueError with more words where ComfyUI adds them, RuntimeError
    where it is whole but not an SDXL checkpoint.
    """
    try:
        header = read_header(path)
    except SafetensorError as error:
        raise explained(error, path) from error
    if not all(name in header for name in SDXL_UNET_KEYS):
        raise RuntimeError(f"ERROR: Could not detect model type of: {path}\n")
    dtype = str(header[SDXL_UNET_KEYS[0]]["dtype"])
    return Checkpoint(frozenset(header), dtype, sample_digest(path))


def explained(error: SafetensorError, path: Path) -> Exception:
    """The error with ComfyUI's own words, which it adds only to the names of safetensors before 0.8."""
    if "HeaderTooLarge" in str(error):
        advice = (
            "The safetensors file is corrupt or invalid. Make sure this is actually a safetensors file and "
            "not a ckpt or pt or other filetype."
        )
    elif "MetadataIncompleteBuffer" in str(error):
        advice = (
            "The safetensors file is corrupt/incomplete. Check the file size and make sure you have "
            "copied/downloaded it correctly."
        )
    else:
        return error
    return ValueError(f"{error}\n\nFile path: {path}\n\n{advice}")
