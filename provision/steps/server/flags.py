"""The flags that a person gave ComfyUI: which it refuses, which fail on a Mac, which open it to others.

Read from the manifest (`comfyui.args`), before ComfyUI is started with them; what excludes what is in its cli_args.py.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence

from provision.comfyui.server_process import engine_flags
from provision.command import Fix, ours
from provision.core.finding import Finding
from provision.core.receipt_kinds import TorchReceipt
from provision.core.step import Context, Look
from provision.steps.server import kinds

SUBJECT = "comfyui.args"
EXCLUSIVE: tuple[tuple[str, ...], ...] = (
    ("--force-fp32", "--force-fp16"),
    ("--fp32-unet", "--fp64-unet", "--bf16-unet", "--fp16-unet", "--fp8_e4m3fn-unet", "--fp8_e5m2-unet",
     "--fp8_e8m0fnu-unet"),
    ("--fp16-vae", "--fp32-vae", "--bf16-vae"),
    ("--fp8_e4m3fn-text-enc", "--fp8_e5m2-text-enc", "--fp16-text-enc", "--fp32-text-enc", "--bf16-text-enc"),
    ("--force-upcast-attention", "--dont-upcast-attention"),
    ("--use-split-cross-attention", "--use-quad-cross-attention", "--use-pytorch-cross-attention",
     "--use-sage-attention", "--use-flash-attention", "--use-ck-attention"),
    ("--gpu-only", "--highvram", "--normalvram", "--lowvram", "--novram", "--cpu"),
)  # fmt: skip
"""Of each, ComfyUI takes one at most."""


def conflicts(args: Sequence[str]) -> Iterator[Finding]:
    """What keeps ComfyUI from starting with these flags."""
    for group in EXCLUSIVE:
        given = [flag for flag in dict.fromkeys(args) if flag in group]
        if len(given) > 1:
            says = f"{SUBJECT} holds {' and '.join(given)}, of which ComfyUI takes one: it ends at once."
            yield kinds.DTYPE_FLAGS.blocked(SUBJECT, says, fix=_without(args, given[1:]))


def check_flags(ctx: Context) -> Iterable[Finding]:
    """Will ComfyUI take its flags, and do they do what a person would expect?"""
    args, subject = ctx.manifest.comfyui.args, SUBJECT
    on_mps = ctx.receipts.read("torch", TorchReceipt).device == "mps" and "--cpu" not in engine_flags(ctx)
    yield from conflicts(args)
    if "--fp16-vae" in args and on_mps:
        says = f"{subject} holds --fp16-vae: on a Mac's GPU pictures may come out black."
        yield kinds.DTYPE_FLAGS.warn(subject, says, fix=_without(args, ["--fp16-vae"]))
    unknown = [flag for flag in args if flag.startswith("--") and ("fp8" in flag or "fp64" in flag)]
    if unknown and on_mps:
        says = f"{subject} holds {' and '.join(unknown)}: a Mac's GPU has no such numbers, and every picture fails."
        yield kinds.FP8_FP64_MPS.blocked(subject, says, fix=_without(args, unknown))
    if "--listen" in args:
        place = args.index("--listen") + 1
        named = args[place] if place < len(args) and not args[place].startswith("-") else ""
        if not named.startswith("127.") and named not in ("localhost", "::1"):
            says = f"{subject} holds --listen {named or '(all addresses)'}: whoever is in your network may use ComfyUI."
            yield kinds.LISTEN_WRONG.warn(subject, says, fix=_without(args, ["--listen", *([named] if named else [])]))


def _without(args: Sequence[str], flags: Sequence[str]) -> Fix:
    kept = json.dumps([word for word in args if word not in flags])
    return Fix(f"Leave out {' '.join(flags)}.", ours("all", "--set", f"comfyui.args={kept}"))


FLAGS = Look(check_flags)
