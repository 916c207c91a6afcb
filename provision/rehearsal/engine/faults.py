"""Faults on purpose, for tests, from the environment variable ENGINE_FAULT. Several are joined by commas.

black            every picture is black; `black:FLAG` only until the engine is started with FLAG,
                 as `black:--fp32-vae`
noise            every picture is white noise
flat             every picture is of one colour
oom              KSampler runs out of memory, with the words that torch uses on MPS
node_error       KSampler fails with an error of shapes, as with a model of another kind
ckpt_error       CheckpointLoaderSimple finds the file cut short, whatever it is
die              the process is killed (SIGKILL) while KSampler runs, as where memory is out
slow_start:S     the server binds its port S seconds later
no_ws            /ws answers 404, as behind a proxy that lets no WebSocket through
"""

from __future__ import annotations

import os
import sys

KNOWN = frozenset({"black", "noise", "flat", "oom", "node_error", "ckpt_error", "die", "slow_start", "no_ws"})


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


def is_black() -> bool:
    """Whether pictures come out black with the flags that the engine was started with."""
    return has_fault("black") and (FAULTS["black"] or None) not in sys.argv
