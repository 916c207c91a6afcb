"""The flags in `comfyui.args`: which ComfyUI refuses or calls deprecated, which fail on a Mac, which open it to others.

Checked before ComfyUI is started with them: which flags it has, and which exclude each other, is in its cli_args.py.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence

from provision.comfyui.isolation import cli_args
from provision.comfyui.server_process import engine_flags
from provision.command import Fix, ours
from provision.core.finding import Finding
from provision.core.receipt_kinds import TorchReceipt
from provision.core.step import Context, Look
from provision.steps.server import kinds
from provision.system.address import quoted

SUBJECT = "comfyui.args"
ATTENTIONS = ("split-cross", "quad-cross", "pytorch-cross", "sage", "flash", "ck")
UNET_DTYPES = ("fp32", "fp64", "bf16", "fp16", "fp8_e4m3fn", "fp8_e5m2", "fp8_e8m0fnu")
TEXT_DTYPES = ("fp8_e4m3fn", "fp8_e5m2", "fp16", "fp32", "bf16")
EXCLUSIVE: tuple[tuple[str, ...], ...] = (
    ("--force-fp32", "--force-fp16"),
    tuple(f"--{dtype}-unet" for dtype in UNET_DTYPES),
    ("--fp16-vae", "--fp32-vae", "--bf16-vae"),
    tuple(f"--{dtype}-text-enc" for dtype in TEXT_DTYPES),
    ("--force-upcast-attention", "--dont-upcast-attention"),
    tuple(f"--use-{kind}-attention" for kind in ATTENTIONS),
    ("--gpu-only", "--highvram", "--normalvram", "--lowvram", "--novram", "--cpu"),
)
"""Of each group ComfyUI takes one at most."""
FLAG = re.compile(r'"(--[a-z0-9][\w-]*)"')
DEPRECATED = re.compile(r'add_argument\("(--[\w-]+)"[^\n]*\bhelp="([^"\n]*\bdeprecated\b[^"\n]*)"', re.IGNORECASE)
"""A flag of cli_args.py, and one whose help says that it is deprecated (`--disable-api-nodes` of 0.39)."""


def conflicts(args: Sequence[str]) -> Iterator[Finding]:
    """The flags with which ComfyUI does not start."""
    for group in EXCLUSIVE:
        given = [flag for flag in dict.fromkeys(args) if flag in group]
        if len(given) > 1:
            says = f"{SUBJECT} holds {' and '.join(given)}, of which ComfyUI takes one: it ends at once."
            yield kinds.DTYPE_FLAGS.blocked(SUBJECT, says, fix=_without(args, given[1:]))


def _against_its_own(args: Sequence[str], text: str) -> Iterator[Finding]:
    """The flags that this ComfyUI does not have, and those that it calls deprecated; `text` is its cli_args.py."""
    known = FLAG.findall(text)
    given = [word.partition("=")[0] for word in args if word.startswith("--")]
    unknown = [flag for flag in given if not any(each.startswith(flag) for each in known)]  # argparse takes the shorter
    if known and unknown:
        says = f"{SUBJECT} holds {' and '.join(unknown)}, which this ComfyUI does not know: it ends at once."
        yield kinds.FLAG_UNKNOWN.blocked(SUBJECT, says, fix=_without(args, unknown))
    for flag, help in DEPRECATED.findall(text):
        if flag in given:
            says = f"{SUBJECT} holds {flag}, which this ComfyUI calls deprecated: {quoted(help.strip(), 200)}"
            yield kinds.FLAG_OLD.warn(SUBJECT, says, fix=_without(args, [flag]))


def check_flags(ctx: Context) -> Iterable[Finding]:
    """Does ComfyUI accept its flags, and do they do what the user expects?"""
    args, subject = ctx.manifest.comfyui.args, SUBJECT
    on_mps = ctx.receipts.read("torch", TorchReceipt).device == "mps" and "--cpu" not in engine_flags(ctx)
    yield from conflicts(args)
    yield from _against_its_own(args, cli_args(ctx))
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
            yield kinds.LISTEN_WRONG.warn(subject, says, fix=_without(args, ["--listen"]))


def _without(args: Sequence[str], flags: Sequence[str]) -> Fix:
    """Leave flags out, with the values that stand after them."""
    kept, taken = list[str](), False
    for word in args:
        taken = word.partition("=")[0] in flags if word.startswith("--") else taken
        kept += [] if taken else [word]
    return Fix(f"Leave out {' '.join(flags)}.", ours("all", "--set", f"comfyui.args={json.dumps(kept)}"))


FLAGS = Look(check_flags)
