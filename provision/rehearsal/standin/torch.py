"""A stand-in for torch in the rehearsal: the few operations of the probe, computed for real in plain Python.

fp16 and bf16 are rounded as the hardware does it, so that the probe measures true errors. A defect spoils what is done
in these two, as faults of MPS do: `nan`, `noise` (numbers off by a tenth), `varies` (each run another), `permuted`
(attention reads permuted tensors as if they were not, pytorch issue 163597), `slow`; `import` does not even load.
"""

import itertools
import math
import random
import struct
import time
from operator import mul
from types import SimpleNamespace

__version__ = "@VERSION@"
DEFECT = "@DEFECT@"
SLOW_S = 0.03
if DEFECT == "import":
    raise ImportError("dlopen(libtorch_cpu.dylib): Symbol not found: _stand_in")


backends = SimpleNamespace(mps=SimpleNamespace(is_available=lambda: False, is_built=lambda: False))
cuda = SimpleNamespace(is_available=lambda: False)
float16, bfloat16, float32, int64 = "float16", "bfloat16", "float32", "int64"
_count = itertools.count()


def manual_seed(seed):
    random.seed(seed)


def get_num_threads():
    return 1


def set_num_threads(count):
    pass


def _to_fp16(value):
    return struct.unpack("<e", struct.pack("<e", value))[0] if math.isfinite(value) else value


def _to_bf16(value):
    """The upper half of a float32, rounded to the nearest even."""
    bits = struct.unpack("<I", struct.pack("<f", value))[0]
    rounded = (bits + 0x7FFF + (bits >> 16 & 1)) & 0xFFFF0000
    return struct.unpack("<f", struct.pack("<I", rounded))[0] if math.isfinite(value) else value


ROUNDINGS = {float16: _to_fp16, bfloat16: _to_bf16}


def _spoiled(data):
    if DEFECT == "nan":
        return [math.nan] * len(data)
    if DEFECT == "noise":
        return [value * (1 + random.gauss(0, 0.1)) for value in data]
    if DEFECT == "varies":
        factor = 1 + 0.0025 * (next(_count) % 2)
        return [value * factor for value in data]
    return data


class Tensor:
    """Numbers in row-major order, their shape and dtype; `before` holds a permuted one's numbers in their old order."""

    def __init__(self, data, shape, dtype=float32, before=None):
        self.data, self.shape, self.dtype, self.before = data, tuple(shape), dtype, before

    def _made(self, data, shape=None):
        if self.dtype in ROUNDINGS:
            data = list(map(ROUNDINGS[self.dtype], _spoiled(data)))
        return Tensor(data, self.shape if shape is None else shape, self.dtype)

    def is_floating_point(self):
        return self.dtype != int64

    def half(self):
        return self.to(float16)

    def float(self):
        return self.to(float32)

    def to(self, where):
        if where in ROUNDINGS and self.dtype != where:
            return Tensor(list(map(ROUNDINGS[where], self.data)), self.shape, where)
        return Tensor(self.data, self.shape, float32) if where == float32 else self

    def abs(self):
        return Tensor([abs(value) for value in self.data], self.shape, self.dtype)

    def max(self):
        wrong = [value for value in self.data if value != value]
        return Tensor(wrong[:1] or [max(self.data)], (1,), self.dtype)

    def sum(self):
        return Tensor([sum(self.data)], (1,), self.dtype)

    def item(self):
        return self.data[0]

    def __sub__(self, other):
        return self._made([a - b for a, b in zip(self.data, other.data)])

    def __mul__(self, other):
        factors = other.data if isinstance(other, Tensor) else itertools.repeat(other)
        return self._made([a * b for a, b in zip(self.data, factors)])

    def __matmul__(self, other):
        """Of matrices, and of stacks of them."""
        rows, inner = self.shape[-2:]
        columns = other.shape[-1]
        data = []
        for stack in range(math.prod(self.shape[:-2])):
            left, right = stack * rows * inner, stack * inner * columns
            lines = [self.data[at : at + inner] for at in range(left, left + rows * inner, inner)]
            uprights = [other.data[right + c : right + inner * columns : columns] for c in range(columns)]
            data += [sum(map(mul, line, upright)) for line in lines for upright in uprights]
        return self._made(data, (*self.shape[:-1], columns))

    def __getitem__(self, place):
        """Rows of pictures, which is all that is cut."""
        rows = range(self.shape[2])[place[2]]
        batch, channels, height, width = self.shape
        data = [
            value
            for plane in range(batch * channels)
            for row in rows
            for value in self.data[(plane * height + row) * width :][:width]
        ]
        return Tensor(data, (batch, channels, len(rows), width), self.dtype)

    def chunk(self, count, dim):
        """The halves of the channels."""
        batch, channels, *sides = self.shape
        size = math.prod(sides) * channels // count
        parts = [[], []]
        for at in range(batch * count):
            parts[at % count] += self.data[at * size : (at + 1) * size]
        return [Tensor(part, (batch, channels // count, *sides), self.dtype) for part in parts]

    def permute(self, *order):
        strides = [math.prod(self.shape[axis + 1 :]) for axis in order]
        shape = [self.shape[axis] for axis in order]
        places = [0]
        for size, stride in zip(shape, strides):
            places = [place + step * stride for place in places for step in range(size)]
        return Tensor([self.data[place] for place in places], shape, self.dtype, before=self.data)

    def softmax(self, dim):
        size, data = self.shape[-1], []
        for at in range(0, len(self.data), size):
            row = self.data[at : at + size]
            top = max(row)
            powers = [math.exp(value - top) for value in row]
            total = sum(powers)
            data += [power / total for power in powers]
        return self._made(data)


def randn(*shape):
    return Tensor([random.gauss(0, 1) for _ in range(math.prod(shape))], shape)


def randint(low, high, shape):
    return Tensor([random.randrange(low, high) for _ in range(math.prod(shape))], shape, int64)


def cat(tensors, dim):
    """Along the rows of pictures."""
    first, data = tensors[0], []
    batch, channels, _, width = first.shape
    for plane in range(batch * channels):
        for each in tensors:
            size = each.shape[2] * width
            data += each.data[plane * size : (plane + 1) * size]
    return Tensor(data, (batch, channels, sum(each.shape[2] for each in tensors), width), first.dtype)


def _conv2d(x, w, padding=0):
    """Of 3x3: each output is the sum over what its window covers, gathered once and used by all output channels."""
    if DEFECT == "slow" and x.dtype in ROUNDINGS:
        time.sleep(SLOW_S)
    batch, channels, height, width = x.shape
    outputs, size = w.shape[0], channels * 9
    kernels = [w.data[o * size : (o + 1) * size] for o in range(outputs)]
    steps = list(itertools.product(range(-1, 2), range(-1, 2)))
    data = []
    for b in range(batch):
        planes = [x.data[(b * channels + c) * height * width :][: height * width] for c in range(channels)]
        windows = [
            [
                plane[(row + i) * width + column + j] if 0 <= row + i < height and 0 <= column + j < width else 0.0
                for plane in planes
                for i, j in steps
            ]
            for row in range(height)
            for column in range(width)
        ]
        data += [sum(map(mul, kernel, window)) for kernel in kernels for window in windows]
    return x._made(data, (batch, outputs, height, width))


def _group_norm(x, groups):
    size, data = math.prod(x.shape[1:]) // groups, []
    for at in range(0, len(x.data), size):
        group = x.data[at : at + size]
        mean = sum(group) / size
        scale = (sum((value - mean) ** 2 for value in group) / size + 1e-5) ** -0.5
        data += [(value - mean) * scale for value in group]
    return x._made(data)


def _interpolate(x, scale_factor, mode="nearest"):
    """To twice the size."""
    batch, channels, height, width = x.shape
    data = []
    for at in range(0, len(x.data), height * width):
        plane = x.data[at : at + height * width]
        for row, column in itertools.product(range(2 * height), range(2 * width)):
            if mode == "nearest":
                data.append(plane[row // 2 * width + column // 2])
                continue
            (top, bottom, down), (left, right, across) = _between(row, height), _between(column, width)
            upper = plane[top * width + left] * (1 - across) + plane[top * width + right] * across
            lower = plane[bottom * width + left] * (1 - across) + plane[bottom * width + right] * across
            data.append(upper * (1 - down) + lower * down)
    return x._made(data, (batch, channels, 2 * height, 2 * width))


def _between(place, size):
    """The two old places between which a new one lies, and how far from the first."""
    at = max(0.0, place / 2 - 0.25)
    first = int(at)
    return first, min(first + 1, size - 1), at - first


def _linear(x, w):
    return x @ w.permute(1, 0)


def _gelu(x):
    return x._made([value / 2 * (1 + math.erf(value / 2**0.5)) for value in x.data])


def _embedding(index, table):
    size = table.shape[1]
    data = [value for at in index.data for value in table.data[at * size : (at + 1) * size]]
    return table._made(data, (*index.shape, size))


def _attention(q, k, v):
    if DEFECT == "permuted" and q.dtype in ROUNDINGS and q.before:
        q = Tensor(q.before, q.shape, q.dtype)
    # float32 within, rounded once, as fused kernels do it
    scores = (q.float() @ k.float().permute(0, 1, 3, 2)) * q.shape[3] ** -0.5
    mixed = scores.softmax(-1) @ v.float()
    return q._made(mixed.data, mixed.shape)


nn = SimpleNamespace(
    functional=SimpleNamespace(
        conv2d=_conv2d,
        scaled_dot_product_attention=_attention,
        group_norm=_group_norm,
        interpolate=_interpolate,
        linear=_linear,
        gelu=_gelu,
        embedding=_embedding,
    )
)
