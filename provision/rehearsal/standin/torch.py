"""A stand-in for torch in the rehearsal: the few operations of the probe, computed for real in plain Python.

fp16 is rounded as the hardware does it (through `struct`), so that the probe measures true errors.
"""

import math
import random
import struct

__version__ = "@VERSION@"
DEFECT = "@DEFECT@"
if DEFECT == "import":
    raise ImportError("dlopen(libtorch_cpu.dylib): Symbol not found: _stand_in")


class _Mps:
    @staticmethod
    def is_available():
        return False

    @staticmethod
    def is_built():
        return False


class backends:
    mps = _Mps


class cuda:
    @staticmethod
    def is_available():
        return False


float16, float32 = "float16", "float32"


def manual_seed(seed):
    random.seed(seed)


def _rounded(value):
    return struct.unpack("<e", struct.pack("<e", value))[0] if math.isfinite(value) else value


class Tensor:
    """Numbers in row-major order, their shape and dtype."""

    def __init__(self, data, shape, dtype=float32):
        self.data, self.shape, self.dtype = data, tuple(shape), dtype

    def _made(self, data, shape=None):
        if self.dtype == float16:
            data = [_rounded(value) for value in data]
            if DEFECT == "nan":
                data = [math.nan] * len(data)
        return Tensor(data, self.shape if shape is None else shape, self.dtype)

    def half(self):
        return Tensor([_rounded(value) for value in self.data], self.shape, float16)

    def float(self):
        return Tensor(list(self.data), self.shape, float32)

    def to(self, device):
        return self

    def abs(self):
        return self._made([abs(value) for value in self.data])

    def max(self):
        wrong = [value for value in self.data if value != value]
        return Tensor(wrong[:1] or [max(self.data)], (1,), self.dtype)

    def item(self):
        return self.data[0]

    def __sub__(self, other):
        return self._made([a - b for a, b in zip(self.data, other.data)])

    def __matmul__(self, other):
        rows, inner = self.shape
        columns = other.shape[1]
        data = [
            sum(self.data[r * inner + k] * other.data[k * columns + c] for k in range(inner))
            for r in range(rows)
            for c in range(columns)
        ]
        return self._made(data, (rows, columns))

    def permute(self, *order):
        strides = [math.prod(self.shape[axis + 1 :]) for axis in range(len(self.shape))]
        shape = [self.shape[axis] for axis in order]
        data = []
        for place in range(len(self.data)):
            at, rest = 0, place
            for position, axis in enumerate(order):
                size = math.prod(shape[position + 1 :])
                at += rest // size * strides[axis]
                rest %= size
            data.append(self.data[at])
        return Tensor(data, shape, self.dtype)


def randn(*shape):
    return Tensor([random.gauss(0, 1) for _ in range(math.prod(shape))], shape)


def _conv2d(x, w, padding=0):
    _, channels, height, width = x.shape
    outputs, _, k, _ = w.shape

    def at(c, row, column):
        inside = 0 <= row < height and 0 <= column < width
        return x.data[(c * height + row) * width + column] if inside else 0.0

    data = [
        sum(
            at(c, row + i - padding, column + j - padding) * w.data[((o * channels + c) * k + i) * k + j]
            for c in range(channels)
            for i in range(k)
            for j in range(k)
        )
        for o in range(outputs)
        for row in range(height)
        for column in range(width)
    ]
    return x._made(data, (1, outputs, height, width))


def _attention(q, k, v):
    _, heads, length, size = q.shape
    data = []
    for head in range(heads):
        base = head * length * size
        for row in range(length):
            one = q.data[base + row * size : base + (row + 1) * size]
            scores = [
                sum(a * b for a, b in zip(one, k.data[base + other * size : base + (other + 1) * size])) / size**0.5
                for other in range(length)
            ]
            top = max(scores)
            weights = [math.exp(score - top) for score in scores]
            total = sum(weights)
            data += [
                sum(weight / total * v.data[base + other * size + column] for other, weight in enumerate(weights))
                for column in range(size)
            ]
    return q._made(data, q.shape)


class nn:
    class functional:
        conv2d = staticmethod(_conv2d)
        scaled_dot_product_attention = staticmethod(_attention)
