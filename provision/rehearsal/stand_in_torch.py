"""The rehearsal's torch: what the probe and the miniature engine use of it, in pure Python, with real arithmetic.

This file becomes `torch/__init__.py` in the stand-in wheels, so it imports nothing but the standard library.
Results in fp16 are rounded to fp16 once, as a device with wide accumulators does.
"""

from __future__ import annotations

import math
import platform
import random
import struct
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from operator import mul

__version__ = "0"
BROKEN = ""  # "nan": fp16 results are no numbers; "hidden": made for Apple's GPU, and sees none

if BROKEN == "import":
    raise ImportError("libtorch_cpu.dylib: mach-o file, but is an incompatible architecture (have 'x86_64')")


@dataclass(frozen=True)
class DType:
    """A number format; `eps` is the step after 1."""

    name: str
    eps: float


float16 = DType("torch.float16", 2.0**-10)
float32 = DType("torch.float32", 2.0**-23)
_random = random.Random(0)


def manual_seed(seed: int) -> None:
    """Begin the random numbers anew."""
    _random.seed(seed)


def finfo(dtype: DType) -> DType:
    """The limits of a number format."""
    return dtype


@contextmanager
def inference_mode() -> Iterator[None]:
    """There are no gradients to leave out."""
    yield


def _strides(shape: Sequence[int]) -> list[int]:
    return [math.prod(shape[place + 1 :]) for place in range(len(shape))]


def _rounded(data: Sequence[float], dtype: DType) -> list[float]:
    if dtype is not float16:
        return list(data)
    if BROKEN == "nan":
        return [math.nan] * len(data)
    form = f"{len(data)}e"
    return list(struct.unpack(form, struct.pack(form, *data)))


class Tensor:
    """Numbers in row-major order, and their shape."""

    def __init__(self, data: Sequence[float], shape: Sequence[int], dtype: DType = float32) -> None:
        self.data, self.shape, self.dtype = list(data), tuple(shape), dtype

    def to(self, target: DType | str) -> Tensor:
        """In another number format, or on another device, which here is the same."""
        if isinstance(target, str):
            return self
        exact = target is float32 or self.dtype is target
        return Tensor(self.data if exact else _rounded(self.data, target), self.shape, target)

    def _each(self, change: Callable[[float], float]) -> Tensor:
        return Tensor([change(value) for value in self.data], self.shape, self.dtype)

    def abs(self) -> Tensor:
        """Each number without its sign."""
        return self._each(abs)

    def max(self) -> Tensor:
        """The largest number."""
        return Tensor([max(self.data)], ())

    def all(self) -> Tensor:
        """1 where no number is 0."""
        return Tensor([float(all(self.data))], ())

    def item(self) -> float:
        """The only number."""
        (value,) = self.data
        return value

    def __sub__(self, other: Tensor) -> Tensor:
        return Tensor([a - b for a, b in zip(self.data, other.data, strict=True)], self.shape, self.dtype)

    def transpose(self, first: int, second: int) -> Tensor:
        """Two axes exchanged."""
        order = list(range(len(self.shape)))
        order[first], order[second] = second, first
        steps, shape = _strides(self.shape), [self.shape[axis] for axis in order]
        places = [0]
        for axis in order:
            places = [place + index * steps[axis] for place in places for index in range(self.shape[axis])]
        return Tensor([self.data[place] for place in places], shape, self.dtype)

    def chunk(self, count: int, dim: int) -> list[Tensor]:
        """Equal parts along an axis."""
        shape, inner = list(self.shape), math.prod(self.shape[dim:])
        shape[dim] //= count
        width = inner // count
        rows = [self.data[start : start + inner] for start in range(0, len(self.data), inner)]
        return [
            Tensor([x for row in rows for x in row[part * width : (part + 1) * width]], shape, self.dtype)
            for part in range(count)
        ]


def randn(*shape: int) -> Tensor:
    """Normally distributed numbers."""
    return Tensor([_random.gauss(0, 1) for _ in range(math.prod(shape))], shape)


def isfinite(tensor: Tensor) -> Tensor:
    """1 for each number that is one."""
    return Tensor([float(math.isfinite(value)) for value in tensor.data], tensor.shape)


def _rows(data: Sequence[float], width: int) -> list[Sequence[float]]:
    return [data[start : start + width] for start in range(0, len(data), width)]


def _dot(a: Sequence[float], b: Sequence[float]) -> float:
    return sum(map(mul, a, b))


def matmul(a: Tensor, b: Tensor) -> Tensor:
    """The product of two matrices."""
    width = b.shape[1]
    columns = [b.data[place::width] for place in range(width)]
    result = [_dot(row, column) for row in _rows(a.data, a.shape[1]) for column in columns]
    return Tensor(_rounded(result, a.dtype), (a.shape[0], width), a.dtype)


def _conv2d(image: Tensor, weight: Tensor) -> Tensor:
    _, channels, height, width = image.shape
    count, _, tall, wide = weight.shape
    size = (height - tall + 1, width - wide + 1)
    kernels = _rows(weight.data, channels * tall * wide)
    patches = [
        [
            value
            for channel in range(channels)
            for line in range(y, y + tall)
            for value in image.data[(channel * height + line) * width + x :][:wide]
        ]
        for y in range(size[0])
        for x in range(size[1])
    ]
    result = [_dot(patch, kernel) for kernel in kernels for patch in patches]
    return Tensor(_rounded(result, image.dtype), (1, count, *size), image.dtype)


def _softmax(scores: Sequence[float]) -> list[float]:
    top = max(scores)
    weights = [math.exp(score - top) for score in scores]
    total = sum(weights)
    return [weight / total for weight in weights]


def _attention(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    length, depth = query.shape[-2:]
    result: list[float] = []
    for head in range(query.shape[1]):
        part = slice(head * length * depth, (head + 1) * length * depth)
        keys, values = _rows(key.data[part], depth), value.data[part]
        for row in _rows(query.data[part], depth):
            weights = _softmax([_dot(row, other) / math.sqrt(depth) for other in keys])
            result += [_dot(weights, values[place::depth]) for place in range(depth)]
    return Tensor(_rounded(result, query.dtype), query.shape, query.dtype)


class nn:  # noqa: N801  (torch's own name)
    """Neural networks."""

    class functional:  # noqa: N801  (torch's own name)
        """Layers as functions."""

        conv2d = staticmethod(_conv2d)
        scaled_dot_product_attention = staticmethod(_attention)


class backends:  # noqa: N801  (torch's own name)
    """Devices."""

    class mps:  # noqa: N801  (torch's own name)
        """Apple's GPU."""

        @staticmethod
        def is_built() -> bool:
            """Whether this torch is made for it."""
            return platform.system() == "Darwin" or BROKEN == "hidden"

        @staticmethod
        def is_available() -> bool:
            """Whether it is here."""
            return platform.system() == "Darwin" and platform.machine() == "arm64" and BROKEN != "hidden"


class cuda:  # noqa: N801  (torch's own name)
    """Nvidia's GPU."""

    @staticmethod
    def is_available() -> bool:
        """Never: the rehearsal computes on the CPU."""
        return False
