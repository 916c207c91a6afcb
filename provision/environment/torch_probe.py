"""Run by the *target* Python: does torch compute right on this machine's device? Prints one JSON object.

Each operation of SDXL is done on the device, in fp16 and in bf16, and in float32 on the CPU with the same numbers. What
is compared are the largest error as a share of the largest number, which one wrong element shows in, and the root of
the mean square of the errors as a share of that of the numbers, which a wrong factor shows in. The bound for both:

    2 x eps(dtype) + eps(fp16) x sqrt(terms)

The first part is the result's own rounding, and that of one intermediate result. The second is what remains when
`terms` numbers are added up in fp16 itself: the roundings of the partial sums are independent, so their errors grow to
about 0.2 x eps x sqrt(terms) of the sum (Higham, Accuracy and Stability of Numerical Algorithms, ch. 4); the factor 1
leaves five times that. Devices that add in float32 stay far below. Nothing adds in bf16, whose 8 bits would lose the
sum, so its eps stands in the first part alone. Norms and softmax add in a tree or in float32: 256 terms in a row.

Every operation is done twice on the device; the two may differ by 2 x eps. Shapes follow known faults of MPS: short
permuted queries with more than one batch (pytorch issues 163597, 181133), a convolution of what `chunk` leaves
(169342), a transposed weight (162730), attention as ComfyUI does it on MPS. Of the VAE's widest convolution the CPU
computes three strips only, as 8 GB machines have no room for all of it. This file runs on Python 3.10 and imports
nothing of the tool.
"""

import json
import sys
import time
from typing import NamedTuple

EPS = {"fp16": 2.0**-10, "bf16": 2.0**-7}
IN_A_ROW = 256
STRIP = 10
CALIBRATION_S = 0.001
"""Processor time of a product of two 64x64 matrices, at most (0.02 ms here); what takes longer gets tiny ones."""


class Size(NamedTuple):
    """Lengths of the shapes: SDXL's own on a GPU, less on a CPU, whose fp16 is a thousand times slower."""

    name: str
    matrix: int
    channels: int
    side: int
    groups: int
    heads: int
    tokens: int
    head: int
    row: int
    words: int
    vae: tuple  # (channels, side) of the narrow and of the wide end


FULL = Size("full", 1024, 320, 64, 32, 10, 1024, 64, 16384, 49408, ((512, 64), (128, 512)))
SMALL = Size("small", 256, 64, 16, 32, 4, 256, 64, 16384, 49408, ((512, 6), (128, 24)))
TINY = Size("tiny", 12, 4, 6, 2, 2, 6, 4, 256, 64, ((8, 3), (2, 12)))


class Operation(NamedTuple):
    """`terms` are the numbers that are added up; `reference` and `look` where not all is compared.

    What `may_lack` may be missing on the device (ComfyUI upsamples in float32 then), but must not be wrong. A fault of
    what only `custom_nodes` use is told, and condemns no torch.
    """

    name: str
    terms: int
    inputs: tuple
    function: object
    reference: object = None
    look: object = None
    may_lack: bool = False
    custom_nodes: bool = False


# -- the comparison: plain numbers ------------------------------------------------------------------------------


def bound(dtype, terms):
    """The largest error that is rounding, as a share; see above."""
    return 2 * EPS[dtype] + EPS["fp16"] * terms**0.5


def judge(dtype, terms, seen):
    """The verdict on what was `seen`: `largest`, `off`, `square`, `square_off` and `repeat` (the second run's)."""
    largest, square = max(seen["largest"], 1e-6), max(seen["square"], 1e-12)
    error = max(seen["off"] / largest, (seen["square_off"] / square) ** 0.5)
    repeat, limit = seen["repeat"] / largest, bound(dtype, terms)
    if not is_finite(error):
        return {"error": None, "repeat": None, "bound": limit, "fault": "not finite"}
    fault = "wrong" if error > limit else ""
    if not fault and not repeat <= 2 * EPS[dtype]:
        fault = "varies"
    return {"error": error, "repeat": repeat if is_finite(repeat) else None, "bound": limit, "fault": fault}


def is_finite(number):
    """Neither NaN nor infinity."""
    return number == number and abs(number) != float("inf")


def measure(wanted, first, second):
    """The numbers that `judge` needs of three float32 tensors on the CPU."""
    difference = wanted - first
    return {
        "largest": wanted.abs().max().item(),
        "off": difference.abs().max().item(),
        "square": (wanted * wanted).sum().item(),
        "square_off": (difference * difference).sum().item(),
        "repeat": (first - second).abs().max().item(),
    }


# -- the operations ---------------------------------------------------------------------------------------------


def weights(torch, *shape):
    """Random weights of a layer, so scaled that what comes out is as large as what went in."""
    fan_in = 1
    for side in shape[1:]:
        fan_in *= side
    return torch.randn(*shape) * fan_in**-0.5


def in_steps(q, k, v):
    """Attention as ComfyUI's sub-quadratic one does it, which is what it uses on MPS."""
    q, k, v = q.permute(0, 2, 1, 3), k.permute(0, 2, 3, 1), v.permute(0, 2, 1, 3)
    return ((q @ k) * q.shape[3] ** -0.5).softmax(-1) @ v


def layer_operations(torch, size):
    """What the UNet and the text encoders are made of."""
    functional, n, side, wide = torch.nn.functional, size.channels, size.side, size.matrix
    picture = torch.randn(2, n, side, side)
    return [
        Operation("matmul", wide, (torch.randn(wide, wide), weights(torch, wide, wide)), lambda a, b: a @ b),
        Operation(
            "linear and gelu",
            wide,
            (torch.randn(wide, wide), weights(torch, 2 * wide, wide)),
            lambda x, w: functional.gelu(functional.linear(x, w)),
        ),
        Operation(
            "linear, transposed weight",
            wide,
            (torch.randn(8, wide), weights(torch, wide, wide)),
            lambda x, w: functional.linear(x, w.permute(1, 0)),
        ),
        Operation(
            "convolution", 9 * n, (picture, weights(torch, n, n, 3, 3)), lambda x, w: functional.conv2d(x, w, padding=1)
        ),
        Operation(
            "convolution after chunk",
            9 * n // 2,
            (picture, weights(torch, n // 2, n // 2, 3, 3)),
            lambda x, w: functional.conv2d(x.chunk(2, 1)[1], w, padding=1),
        ),
        Operation("group norm", IN_A_ROW, (picture,), lambda x: functional.group_norm(x, size.groups)),
        Operation(
            "upsampling, nearest", 1, (picture,), lambda x: functional.interpolate(x, scale_factor=2.0), may_lack=True
        ),
        Operation(
            "upsampling, bilinear",
            4,
            (picture,),
            lambda x: functional.interpolate(x, scale_factor=2.0, mode="bilinear"),
            may_lack=True,
        ),
        Operation("softmax of long rows", IN_A_ROW, (torch.randn(4, size.row),), lambda x: x.softmax(-1)),
        Operation(
            "embedding", 1, (torch.randint(0, size.words, (77,)), torch.randn(size.words, 16)), functional.embedding
        ),
    ]


def attention_operations(torch, size):
    """Attention over many tokens, contiguous, permuted and in steps; and over few, which has kernels of its own.

    ComfyUI does not use those on MPS, and they are wrong in all of 2.9 to 2.11, the last that have a torchaudio.
    """
    attend, terms = torch.nn.functional.scaled_dot_product_attention, size.head + size.tokens

    def permuted(q, k, v):
        return attend(q.permute(0, 2, 1, 3), k.permute(0, 2, 1, 3), v.permute(0, 2, 1, 3))

    plain = tuple(torch.randn(1, size.heads, size.tokens, size.head) for _ in range(3))
    loose = tuple(torch.randn(1, size.tokens, size.heads, size.head) for _ in range(3))
    short = tuple(torch.randn(3, 3, size.heads, size.head) for _ in range(3))
    return [
        Operation("attention", terms, plain, attend),
        Operation("attention, permuted", terms, loose, permuted),
        Operation("attention, permuted and short", size.head + 3, short, permuted, custom_nodes=True),
        Operation("attention in steps", terms, loose, in_steps),
    ]


def vae_operations(torch, size):
    """The VAE's widest shapes: most channels, and the whole picture."""
    functional = torch.nn.functional
    (deep, low), (broad, high) = size.vae
    strips = ((0, 0, STRIP - 1), (high // 2 - STRIP // 2, 1, STRIP - 1), (high - STRIP, 1, STRIP))

    def convolve(x, w):
        return functional.conv2d(x, w, padding=1)

    def convolve_strips(x, w):  # the rows next to a cut would be wrong
        return torch.cat([convolve(x[:, :, at : at + STRIP], w)[:, :, low:high] for at, low, high in strips], 2)

    def look_at_strips(found):
        return torch.cat([found[:, :, at + low : at + high] for at, low, high in strips], 2)

    def normalize(x):
        return functional.group_norm(x, size.groups)

    whole = torch.randn(1, broad, high, high)
    return [
        Operation(
            f"convolution of the VAE, {deep}x{low}x{low}",
            9 * deep,
            (torch.randn(1, deep, low, low), weights(torch, deep, deep, 3, 3)),
            convolve,
        ),
        Operation(
            f"convolution of the VAE, {broad}x{high}x{high}",
            9 * broad,
            (whole, weights(torch, broad, broad, 3, 3)),
            convolve,
            convolve_strips,
            look_at_strips,
        ),
        Operation(
            f"group norm of the VAE, {broad}x{high}x{high}",
            IN_A_ROW,
            (whole,),
            normalize,
            lambda x: look_at_strips(normalize(x)),
            look_at_strips,
        ),
    ]


# -- running them -----------------------------------------------------------------------------------------------


def device_of(torch):
    """Where ComfyUI will compute."""
    if torch.backends.mps.is_available():
        return "mps"
    return "cuda" if torch.cuda.is_available() else "cpu"


def size_for(torch, device):
    """How large the shapes may be, so that all is done in some seconds."""
    if device != "cpu":
        return FULL
    matrix, threads, best = torch.randn(64, 64), torch.get_num_threads(), CALIBRATION_S
    torch.set_num_threads(1)  # several wait for each other on a busy machine, and count that as work
    for _ in range(3):
        started = time.thread_time()
        matrix @ matrix
        best = min(best, time.thread_time() - started)
    torch.set_num_threads(threads)
    return SMALL if best < CALIBRATION_S else TINY


def on_device(each, dtype, device):
    """An input of an operation; what holds indices stays what it is."""
    return (each.to(dtype) if each.is_floating_point() else each).to(device)


def compare(torch, operation, dtypes, device):
    """The verdicts on one operation, one for each dtype, and what could not be done."""
    # All of bf16's numbers are fp16's too, but for the smallest: one reference serves both.
    inputs = [each.to(torch.bfloat16).float() if each.is_floating_point() else each for each in operation.inputs]
    wanted = (operation.reference or operation.function)(*inputs)
    look = operation.look or (lambda found: found)
    checks, skipped = [], []
    for dtype_name, dtype in dtypes:
        name, limit = f"{operation.name}, {dtype_name}", bound(dtype_name, operation.terms)
        try:
            given = [on_device(each, dtype, device) for each in inputs]
            first, second = [look(operation.function(*given).to("cpu")).float() for _ in range(2)]
            verdict = judge(dtype_name, operation.terms, measure(wanted, first, second))
            checks.append({"name": name, **verdict, "custom_nodes": operation.custom_nodes})
        except (RuntimeError, TypeError) as error:  # NotImplementedError is a RuntimeError
            why = first_line(error)
            if operation.may_lack or "out of memory" in why:
                skipped.append({"name": name, "why": why})
            else:
                found = {"error": None, "repeat": None, "bound": limit, "fault": why}
                checks.append({"name": name, **found, "custom_nodes": operation.custom_nodes})
    return checks, skipped


def first_line(error):
    """What an error says, in short."""
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]


def usable_dtypes(torch, device):
    """The dtypes that the device knows, and why it does not know the others (bf16 on MPS needs macOS 14)."""
    usable, skipped = [], []
    for name, dtype in (("fp16", torch.float16), ("bf16", torch.bfloat16)):
        try:
            matrix = on_device(torch.randn(2, 2), dtype, device)
            (matrix @ matrix).to("cpu")
            usable.append((name, dtype))
        except (RuntimeError, TypeError) as error:
            skipped.append({"name": name, "why": first_line(error)})
    return usable, skipped


def compare_all(torch, device, size, deadline):
    """All verdicts, and what was left out."""
    dtypes, skipped = usable_dtypes(torch, device)
    checks = []
    for make in (layer_operations, attention_operations, vae_operations):
        for operation in make(torch, size):
            if time.perf_counter() > deadline:
                skipped.append({"name": operation.name, "why": "out of time"})
                continue
            print(f"comparing: {operation.name}", file=sys.stderr, flush=True)  # what a crash is read from
            seen, left_out = compare(torch, operation, dtypes, device)
            checks, skipped = checks + seen, skipped + left_out
    return checks, skipped


def time_block(torch, device, size):
    """Seconds and operations (10**9, a multiplication and an addition are two) of a block of the UNet in fp16."""
    functional, n, wide, side = torch.nn.functional, size.channels, size.matrix, size.side
    x, k = torch.randn(1, n, side, side).half().to(device), weights(torch, n, n, 3, 3).half().to(device)
    rows, w = torch.randn(wide, wide).half().to(device), weights(torch, wide, wide).half().to(device)
    best = float("inf")
    for _ in range(4 if device != "cpu" else 1):
        started = time.perf_counter()
        picture = functional.conv2d(x, k, padding=1)
        product = functional.gelu(rows @ w)
        picture.abs().max().item()  # waits for the device
        product.abs().max().item()
        best = min(best, time.perf_counter() - started)
    return {"seconds": best, "gflop": 2e-9 * (9 * n * n * side * side + wide**3)}


def look_at_audio():
    """torchaudio's version, and why it cannot be imported; None and nothing when it is not here.

    It has checks of its own, as of CUDA's minor number, and a C++ extension: only an import tells whether it fits.
    """
    try:
        import torchaudio
    except ModuleNotFoundError as error:
        return None, "" if error.name == "torchaudio" else str(error)
    except (ImportError, OSError, RuntimeError, AttributeError) as error:
        return None, " ".join(str(error).split())[:300] or type(error).__name__
    return str(torchaudio.__version__), ""


def main(seconds=120.0):
    """Compare, beginning nothing more after so many seconds, and print what was seen."""
    started = time.perf_counter()
    import torch
    import torchvision  # one of another build ends here

    imported_s = time.perf_counter() - started
    device = device_of(torch)
    size = size_for(torch, device)
    torch.manual_seed(7)
    checks, skipped = compare_all(torch, device, size, started + seconds)
    audio, audio_fault = look_at_audio()
    said = {
        "torch": str(torch.__version__),
        "torchvision": str(torchvision.__version__),
        "torchaudio": audio,
        "torchaudio_fault": audio_fault,
        "device": device,
        "mps_built": bool(torch.backends.mps.is_built()),
        "mps_available": bool(torch.backends.mps.is_available()),
        "size": size.name,
        "checks": checks,
        "skipped": skipped,
        "block": None if any(check["fault"] for check in checks) else time_block(torch, device, size),
        "import_s": imported_s,
        "seconds": time.perf_counter() - started,
    }
    print(json.dumps(said))


if __name__ == "__main__":
    main(*map(float, sys.argv[1:]))
