"""The header of a safetensors file, read without the library and without the weights.

The format: eight bytes, little endian, with the length of a JSON object; that object; the tensors' bytes. See
https://github.com/huggingface/safetensors#format. The object has every tensor's name, dtype, shape and offsets: a few
hundred kB from the front of a remote file say what the file is and how large it must be.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

LENGTH_BYTES = 8
POINTER = b"version https://git-lfs"
"""The beginning of a Git LFS pointer (git-lfs' spec.md)."""
HEADER_LIMIT_BYTES = 100_000_000
"""The format's own limit."""
MARKS_MAX = 1_500_000
"""Brackets, colons and commas: a tensor has about 15, SDXL 2,500 tensors; millions of them would fill the memory."""
DIMENSIONS_MAX = 32
"""Dimensions of a tensor: to multiply a million numbers takes minutes."""

Architecture = Literal["sdxl", "sdxl-refiner", "sd1", "sd2", "sd3", "flux", "unknown"]
Precision = Literal["fp16", "bf16", "fp32", "fp8", "mixed", "other"]

_DTYPES = {
    8: ("BOOL", "U8", "I8", "F8_E4M3", "F8_E5M2", "F8_E8M0"),
    16: ("U16", "I16", "F16", "BF16"),
    32: ("U32", "I32", "F32"),
    64: ("U64", "I64", "F64", "C64"),
}
_BITS = {dtype: bits for bits, dtypes in _DTYPES.items() for dtype in dtypes}
_PRECISIONS: Mapping[str, Precision] = {
    "F16": "fp16",
    "BF16": "bf16",
    "F32": "fp32",
    "F8_E4M3": "fp8",
    "F8_E5M2": "fp8",
    "F64": "other",
}
_NEARLY_ALL = 0.99
_UNET, _VAE = "model.diffusion_model.", "first_stage_model."
Part = Literal["unet", "text", "vae", "other"]
_PARTS: tuple[tuple[str, Part], ...] = (
    (_UNET, "unet"),
    (_VAE, "vae"),
    ("conditioner.", "text"),
    ("cond_stage_model.", "text"),
    ("text_encoders.", "text"),
)
_ARCHITECTURES: tuple[tuple[Architecture, tuple[str, ...]], ...] = (
    ("sdxl", (_UNET, "conditioner.embedders.0.", "conditioner.embedders.1.", _VAE)),
    # Two files of the form of Stability's generative-models, with one text encoder; only the refiner is given the size.
    ("sdxl-refiner", (_UNET, f"{_UNET}label_emb.", "conditioner.embedders.0.model.", _VAE)),
    ("sd2", (_UNET, "conditioner.embedders.0.model.", _VAE)),
    ("sd3", (f"{_UNET}joint_blocks.",)),
    ("flux", (f"{_UNET}double_blocks.",)),
    ("flux", ("double_blocks.",)),
    ("sd2", (_UNET, "cond_stage_model.model.")),
    ("sd1", (_UNET, "cond_stage_model.transformer.")),
)
_MAGIC: tuple[tuple[bytes, str], ...] = (
    (POINTER, "a Git LFS pointer, not the file itself"),
    (b"PK\x03\x04", "a zip archive, the form of a pickled PyTorch checkpoint (.ckpt, .pt)"),
    (b"\x80\x02", "a Python pickle, the form of an old PyTorch checkpoint (.ckpt, .pt)"),
    (b"\x80\x04", "a Python pickle, the form of an old PyTorch checkpoint (.ckpt, .pt)"),
    (b"GGUF", "a GGUF file"),
    (b"\x00\x05\x16\x07", "an AppleDouble file (the ._ copy that macOS writes on foreign disks)"),
    (b"\x1f\x8b", "a gzip archive"),
)
_TEXTS = {
    "an HTML page": ("<!doctype html", "<html", "<head", "<body"),
    "an XML answer": ("<?xml",),
    "a JSON answer": ("{", "["),
}


class NotSafetensors(ValueError):
    """This is not the beginning of a safetensors file; the message says what it looks like."""


class HeaderTruncated(ValueError):
    """The header is longer than what was read: the first `needed_bytes` of the file hold all of it."""

    def __init__(self, needed_bytes: int, seen_bytes: int) -> None:
        super().__init__(
            f"The header needs the first {needed_bytes:,} bytes of the file; only {seen_bytes:,} are available."
        )
        self.needed_bytes = needed_bytes
        self.seen_bytes = seen_bytes


@dataclass(frozen=True, slots=True)
class SafetensorsHeader:
    """A whole header. `dtypes` has the bytes of each dtype, `values` how many numbers each part of a checkpoint has."""

    header_bytes: int
    tensor_count: int
    dtypes: Mapping[str, int]
    data_bytes: int
    metadata: Mapping[str, str]
    architecture: Architecture
    precision: Precision
    values: Mapping[Part, int]

    @property
    def file_size_bytes(self) -> int:
        """The size of the complete file: length, header, data."""
        return LENGTH_BYTES + self.header_bytes + self.data_bytes


def describe_bytes(prefix: bytes) -> str:
    """What a file looks like by its first bytes, to follow "it is"."""
    if not prefix:
        return "empty (0 bytes)"
    for magic, says in _MAGIC:
        if prefix.startswith(magic):
            return says
    if not prefix.strip(b"\0"):
        return f"only zeros ({len(prefix):,} bytes of them)"
    text = _text_of(prefix)
    if text is None:
        return f"something else (first bytes {prefix[:8].hex(' ')})"
    start = text.lstrip().lower()
    looks = next((looks for looks, beginnings in _TEXTS.items() if start.startswith(beginnings)), "text")
    return f"{looks}: “{' '.join(text.split())[:80]}”"


def _text_of(prefix: bytes) -> str | None:
    start = prefix[:256]
    for cut in range(min(4, len(start))):  # the last character may be cut in two: up to three of its bytes
        try:
            text = start[: len(start) - cut].decode("utf-8-sig")
        except UnicodeDecodeError:
            continue
        return text if text.strip() and all(char.isprintable() or char in "\r\n\t" for char in text) else None
    return None


def header_length(prefix: bytes) -> int:
    """The length of the JSON header in bytes, from the first eight of the file.

    Raises NotSafetensors where it is below 2 or over 100 MB, as in any other file; more bytes help to name that.
    """
    length = int.from_bytes(prefix[:LENGTH_BYTES], "little")
    if len(prefix) < LENGTH_BYTES or not 2 <= length <= HEADER_LIMIT_BYTES:
        raise _stranger(prefix)
    return length


def parse_safetensors_header(prefix: bytes) -> SafetensorsHeader:
    """Read the header from the first bytes of a file.

    Raises HeaderTruncated where more bytes are needed, NotSafetensors for anything that is no header: not JSON,
    tensors that overlap or leave holes, sizes that do not fit the shapes.
    """
    length = header_length(prefix)
    if prefix[LENGTH_BYTES : LENGTH_BYTES + 4] == b"\0\0\0\0":
        raise _broken("it contains zeros instead of text")
    if prefix[LENGTH_BYTES : LENGTH_BYTES + 1] not in (b"{", b""):
        raise _stranger(prefix)
    end = LENGTH_BYTES + length
    if len(prefix) < end:
        raise HeaderTruncated(end, len(prefix))
    entries = _load(prefix[LENGTH_BYTES:end])
    metadata = _metadata(entries.pop("__metadata__", {}))
    tensors = {name: _tensor(name, entry) for name, entry in entries.items()}
    dtypes, values = Counter[str](), Counter[Part]()
    for name, tensor in tensors.items():
        dtypes[tensor.dtype] += tensor.stop - tensor.begin
        values[next((part for start, part in _PARTS if name.startswith(start)), "other")] += math.prod(tensor.shape)
    return SafetensorsHeader(
        header_bytes=length,
        tensor_count=len(entries),
        dtypes=dtypes,
        data_bytes=_covered(tensors.values()),
        metadata=metadata,
        architecture=judge_architecture(entries),
        precision=judge_precision(dtypes),
        values=values,
    )


def judge_architecture(names: Iterable[str]) -> Architecture:
    """The kind of one-file checkpoint, by its tensors' names; "unknown" also for parts (a UNet, a LoRA)."""
    starts = tuple({prefix for _, needed in _ARCHITECTURES for prefix in needed})
    seen = {start for name in names for start in starts if name.startswith(start)}
    return next((kind for kind, needed in _ARCHITECTURES if seen.issuperset(needed)), "unknown")


def judge_precision(dtypes: Mapping[str, int]) -> Precision:
    """The precision of at least 99% of the floating-point bytes, else "mixed".

    Integer tensors (position ids) do not count; "other" is a file without floating point, or in float64.
    """
    sizes = Counter[Precision]()
    for dtype, size in dtypes.items():
        if dtype in _PRECISIONS:
            sizes[_PRECISIONS[dtype]] += size
    if not sizes.total():
        return "other"
    most, size = sizes.most_common(1)[0]
    return most if size >= _NEARLY_ALL * sizes.total() else "mixed"


def _stranger(prefix: bytes) -> NotSafetensors:
    return NotSafetensors(f"This is not a safetensors file; it is {describe_bytes(prefix)}.")


def _broken(why: str) -> NotSafetensors:
    return NotSafetensors(f"The safetensors header is damaged: {why}.")


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("it contains a name twice")
    for text in (word for pair in pairs for word in pair if isinstance(word, str)):
        text.encode()  # half a character, as JSON can name it, could never be written
    return found


def _load(raw: bytes) -> dict[str, object]:
    if sum(map(raw.count, (b"{", b"[", b":", b","))) > MARKS_MAX:
        raise _broken("it lists more than a checkpoint can hold")
    try:
        loaded = json.loads(raw.decode("utf-8"), object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        zeros = ", it contains zeros instead of text" if b"\0\0\0\0" in raw else ""
        raise _broken(f"it is not valid JSON{zeros} ({ascii(str(error))[1:121]})") from error
    if not isinstance(loaded, dict):
        raise _broken("it is not a JSON object")
    return loaded


def _metadata(found: object) -> Mapping[str, str]:
    if not isinstance(found, dict):
        raise _broken("its metadata is not an object")
    if not all(isinstance(value, str | int | float | None) for value in found.values()):
        raise _broken("its metadata is not text")
    return {str(key): str(value) for key, value in found.items()}


class _Tensor(NamedTuple):
    dtype: str
    shape: tuple[int, ...]
    begin: int
    stop: int


def _tensor(name: str, entry: object) -> _Tensor:
    if not isinstance(entry, dict):
        raise _broken(f"the entry of {name[:80]!r} is not an object")
    dtype, shape, place = entry.get("dtype"), entry.get("shape"), entry.get("data_offsets")
    sizes, offsets = _naturals(shape), _naturals(place)
    if not isinstance(dtype, str) or sizes is None or offsets is None or len(offsets) != 2:
        raise _broken(f"the entry of {name[:80]!r} lacks a dtype, a shape or its offsets")
    begin, stop = offsets
    bits = _BITS.get(dtype)  # a dtype younger than this table is taken on trust
    if begin > stop or (bits is not None and math.prod(sizes) * bits != (stop - begin) * 8):
        raise _broken(f"{name[:80]!r} has a size that does not match its shape")
    return _Tensor(dtype, sizes, begin, stop)


def _naturals(found: object) -> tuple[int, ...] | None:
    if not isinstance(found, list) or len(found) > DIMENSIONS_MAX:
        return None
    numbers = tuple(x for x in found if type(x) is int and 0 <= x < 2**63)
    return numbers if len(numbers) == len(found) else None


def _covered(tensors: Iterable[_Tensor]) -> int:
    """The bytes of all tensors, which lie one behind the other."""
    end = 0
    for tensor in sorted(tensors, key=lambda tensor: (tensor.begin, tensor.stop)):
        if tensor.begin != end:
            raise _broken(f"its tensors {'overlap' if tensor.begin < end else 'leave a hole'} at byte {end:,}")
        end = tensor.stop
    return end
