"""Run by the *target* Python: does torch compute right on this machine's device? Prints one JSON object.

Each operation is done in fp16 on the device and in float32 on the CPU, with the same numbers. The bound follows from
fp16's epsilon and the number of terms that are added up. A permuted (non-contiguous) attention is a known weak spot of
MPS (pytorch issues 163597, 181133). This file must run on any Python from 3.10 and import nothing of the tool.
"""

import json
import sys
import time

EPSILON = 2.0**-10  # of fp16: 10 bits of mantissa


def audio_version():
    """torchaudio's version; None when it is not here, or of another torch: only its own nodes need it."""
    try:
        import torchaudio
    except (ImportError, OSError, RuntimeError):
        return None
    return str(torchaudio.__version__)


def device_of(torch):
    if torch.backends.mps.is_available():
        return "mps"
    return "cuda" if torch.cuda.is_available() else "cpu"


def compare(name, terms, wanted, found):
    """The largest error, relative to the largest number, against its bound."""
    wanted, found = wanted.float(), found.float().to("cpu")
    largest = max(float(wanted.abs().max().item()), 1e-6)
    error = float((wanted - found).abs().max().item()) / largest
    finite = error == error and error != float("inf")
    bound = 4.0 * EPSILON * max(1.0, terms**0.5 / 2.0)
    return {
        "name": name,
        "error": error if finite else None,
        "bound": bound,
        "finite": finite,
        "ok": finite and error <= bound,
    }


def operations(torch):
    """Name, number of terms that are summed, inputs, function."""
    functional = torch.nn.functional
    n = 16
    matrix = (torch.randn(n, n), torch.randn(n, n))
    picture, kernel = torch.randn(1, 4, 8, 8), torch.randn(4, 4, 3, 3)
    heads = tuple(torch.randn(1, 2, 8, 8) for _ in range(3))
    loose = tuple(torch.randn(1, 8, 2, 8) for _ in range(3))
    return [
        ("matmul", n, matrix, lambda a, b: a @ b),
        ("convolution", 36, (picture, kernel), lambda x, w: functional.conv2d(x, w, padding=1)),
        ("attention", 8, heads, functional.scaled_dot_product_attention),
        (
            "attention, permuted",
            8,
            loose,
            lambda q, k, v: functional.scaled_dot_product_attention(
                q.permute(0, 2, 1, 3), k.permute(0, 2, 1, 3), v.permute(0, 2, 1, 3)
            ),
        ),
    ]


def main():
    started = time.perf_counter()
    import torch
    import torchvision  # one of another build ends here

    imported_s = time.perf_counter() - started
    device = device_of(torch)
    torch.manual_seed(7)
    checks = []
    for name, terms, inputs, function in operations(torch):
        halves = [each.half() for each in inputs]
        wanted = function(*[each.float() for each in halves])
        found = function(*[each.to(device) for each in halves])
        checks.append(compare(name, terms, wanted, found))
    print(
        json.dumps(
            {
                "torch": str(torch.__version__),
                "torchvision": str(torchvision.__version__),
                "torchaudio": audio_version(),
                "device": device,
                "mps_built": bool(torch.backends.mps.is_built()),
                "mps_available": bool(torch.backends.mps.is_available()),
                "checks": checks,
                "import_s": imported_s,
                "seconds": time.perf_counter() - started,
            }
        )
    )


if __name__ == "__main__":
    sys.exit(main())
