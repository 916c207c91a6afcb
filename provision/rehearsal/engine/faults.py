"""Faults on purpose, for tests, from the environment variable ENGINE_FAULT. Several are joined by commas.

Pictures are spoilt until something is changed where an argument is given: `black:FLAG` until the engine is started
with FLAG (`black:--fp32-vae`), `black:stable` until torch is no nightly.

black            every picture is black
noise            every picture is white noise
flat             every picture is of one colour
broken           every picture is saved cut in half
oom              KSampler runs out of memory, with the words that torch uses on MPS
node_error       KSampler fails with an error of shapes, as with a model of another kind
op_missing       KSampler uses an operation that torch lacks on MPS
fp8              KSampler meets a number format that MPS lacks
strange          KSampler fails with words that nobody knows
ckpt_error       CheckpointLoaderSimple finds the file cut short, whatever it is
die              the process is killed (SIGKILL) while KSampler runs, as where memory is out
refuse_flag:FLAG the process ends with exit code 2 where it is started with FLAG, as an older engine does
slow_start:S     the server binds its port S seconds later
no_ws            /ws answers 404, as behind a proxy that lets no WebSocket through
"""

from __future__ import annotations

import os
import sys

SAMPLER_FAILURES = {
    "oom": "MPS backend out of memory (MPS allocated: 17.34 GB, other allocations: 512.00 MB, max allowed: "
    "18.13 GB). Tried to allocate 1.25 GB on private pool. Use PYTORCH_MPS_HIGH_WATERMARK_RATIO=0.0 to "
    "disable upper limit for memory allocations (may cause system failure).",
    "node_error": "mat1 and mat2 shapes cannot be multiplied (77x2048 and 768x320)",
    "op_missing": "The operator 'aten::_upsample_bicubic2d_aa.out' is not currently implemented for the MPS device.",
    "fp8": "Trying to convert Float8_e4m3fn to the MPS backend but it does not have support for that dtype.",
    "strange": "the moon is in the wrong house",
}
PICTURE_FAULTS = frozenset({"black", "noise", "flat", "broken"})
KNOWN = PICTURE_FAULTS | SAMPLER_FAILURES.keys() | {"ckpt_error", "die", "refuse_flag", "slow_start", "no_ws"}


def parse_faults(text: str) -> dict[str, str]:
    """Names and their arguments ("" where there is none); SystemExit on a name that is not known."""
    faults = dict(part.partition(":")[::2] for part in text.split(",") if part)
    unknown = sorted(faults.keys() - KNOWN)
    if unknown:
        raise SystemExit(f"ENGINE_FAULT: {', '.join(unknown)} is none of {', '.join(sorted(KNOWN))}")
    return faults


FAULTS = parse_faults(os.environ.get("ENGINE_FAULT", ""))


def has_fault(name: str) -> bool:
    """Whether this fault was asked for."""
    return name in FAULTS


def is_spoilt(name: str, torch_version: str) -> bool:
    """Whether pictures are spoilt in this way, with this torch and the flags that the engine was started with."""
    until = FAULTS.get(name)
    if until == "stable":
        return ".dev" in torch_version
    return until is not None and (until or None) not in sys.argv
