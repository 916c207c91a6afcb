"""The ladder: which flags are tried, in order, when the first image is black or broken, and which are kept.

`--force-upcast-attention` helps where attention overflows fp16 (ComfyUI 3521), `--fp32-vae` where the decoder does
(ComfyUI 4799). A machine may need both, and a spoilt latent decodes to nothing, so the second rung includes the first.
Some nightlies compute wrong whatever the flags (ComfyUI 10681), so the last rung is stable torch, with default flags
first and then the same rungs. `--force-fp32` did not help there and is not tried.

Three receipts carry this between steps and runs: `ladder` (the attempts), `launch-flags` (flags beside the manifest's,
while torch, ComfyUI, macOS and the manifest's flags stay the same) and `torch-wish` (stable torch instead of a
nightly, while macOS and the wanted channel stay the same).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from provision.command import Fix, ours
from provision.core.receipt_kinds import Attempt, ComfyReceipt, FlagsReceipt, LadderReceipt, TorchReceipt, WishReceipt
from provision.core.receipts import same_facts
from provision.core.step import Context
from provision.environment.packages import torch_version
from provision.environment.wheel_index import day_of
from provision.errors import ProvisionError, StartOver

FLAG_RUNGS: tuple[tuple[str, ...], ...] = (
    ("--force-upcast-attention",),
    ("--force-upcast-attention", "--fp32-vae"),
)
"""Flags beside the manifest's, in the order in which they are tried."""
STABLE = "stable"
"""The last rung: this channel in place of a nightly."""
EXCLUDES: Mapping[str, tuple[str, ...]] = {
    "--force-upcast-attention": ("--dont-upcast-attention",),
    "--fp32-vae": ("--fp16-vae", "--bf16-vae"),
}
"""Flags that ComfyUI refuses beside another (comfy/cli_args.py); the manifest's give way."""
LOOKS = {
    "black": "is black",
    "flat": "is one flat colour",
    "noise": "is noise",
    "broken": "cannot be opened",
}
"""The verdicts on a picture that another rung may change: not a wrong size."""
UNSTARTED, UNSTARTED_SAYS = "unstarted", "ComfyUI does not start with these flags"
KEPT, TRIED, WISH = "launch-flags", "ladder", "torch-wish"
HINT = Fix("Write a report for an issue:", ours("doctor", "--deep", "--report", "report.md"))


def kept_flags(ctx: Context) -> tuple[str, ...]:
    """The flags beside the manifest's that helped here or are on trial; none where things changed."""
    receipt = ctx.receipts.read(KEPT, FlagsReceipt)
    return receipt.flags if same_facts(receipt, _facts(ctx)) else ()


def flags_with(args: Sequence[str], more: Iterable[str]) -> tuple[str, ...]:
    """The manifest's flags and more of them, without those that the added ones exclude."""
    added = [flag for flag in more if flag not in args]
    excluded = {other for flag in added for other in EXCLUDES.get(flag, ())}
    return (*[flag for flag in args if flag not in excluded], *added)


def launch_flags(ctx: Context) -> tuple[str, ...]:
    """The manifest's flags and the kept ones."""
    return flags_with(ctx.manifest.comfyui.args, kept_flags(ctx))


def kept_says(ctx: Context) -> str:
    """Why ComfyUI is started with more flags than the manifest's; empty where it is not, or they are on trial."""
    receipt, flags = ctx.receipts.read(KEPT, FlagsReceipt), kept_flags(ctx)
    if not flags or not receipt.proven:
        return ""
    return f"ComfyUI is started with {_joined(flags)}: {receipt.why} (torch {receipt.torch}, {receipt.when[:10]})"


def is_trying(ctx: Context) -> bool:
    """Whether the current flags are on trial."""
    return bool(kept_flags(ctx)) and not ctx.receipts.read(KEPT, FlagsReceipt).proven


def stable_instead(ctx: Context) -> str:
    """Why stable torch is installed instead of the wanted nightly; empty where it is not."""
    receipt = ctx.receipts.read(WISH, WishReceipt)
    agrees = same_facts(receipt, {"wanted": ctx.manifest.torch.channel, "os": _system(ctx)})
    return receipt.why if agrees else ""


def climb(ctx: Context, why: str, says: str, seconds: float, error: ProvisionError) -> ProvisionError:
    """The error to raise after a failed attempt: StartOver with the next rung, or `error` after the last.

    `why` is a key of LOOKS or UNSTARTED, `says` the verdict as a sentence. Raises HomeError, DiskFull.
    """
    attempt = Attempt(torch_version(ctx.home.venv), launch_flags(ctx), why, says.rstrip("."), round(seconds, 1))
    tried = (*_read_tried(ctx), attempt)
    rung = _next_flags(ctx, tried)
    if rung is None and not may_take_stable(ctx):
        return _gave_up(tried, error, _restore(ctx, tried))
    ctx.receipts.write(TRIED, LadderReceipt(tried, **_system_facts(ctx)))
    if rung is not None:
        because = f"without, the image {LOOKS.get(tried[0].why, 'fails')}"
        ctx.receipts.write(KEPT, FlagsReceipt(rung, because, when=ctx.machine.timestamp(), **_facts(ctx)))
        return _again(attempt, _joined(rung), "server")
    whose = f"torch {torch_version(ctx.home.venv)} fails with all flags ({says.rstrip('.')})"
    wish_for_stable(ctx, whose)
    return _again(attempt, "stable torch and the default flags", "torch")


def settle(ctx: Context, seconds: float) -> None:
    """Keep the flags with which a picture came out right, and say so. Raises HomeError, DiskFull."""
    flags, receipt = kept_flags(ctx), ctx.receipts.read(KEPT, FlagsReceipt)
    if flags:
        ctx.receipts.write(KEPT, replace(receipt, proven=True, seconds=round(seconds, 1)))
    else:
        ctx.receipts.drop(KEPT)
    if _read_tried(ctx):
        stable = [f"stable torch {torch_version(ctx.home.venv)}"] if stable_instead(ctx) else []
        ctx.note(
            f"The image is correct with {_joined([*stable, *(flags or ['the default flags'])])} ({seconds:.1f} s); "
            "every start now uses them."
        )
    ctx.receipts.drop(TRIED)


def _again(attempt: Attempt, what: str, step: str) -> StartOver:
    look = f"The image {LOOKS[attempt.why]} ({attempt.seconds:.1f} s)" if attempt.why in LOOKS else UNSTARTED_SAYS
    return StartOver(f"{look}: trying again with {what}.", hint=Fix("To continue:", ours("all")), step=step)


def _restore(ctx: Context, tried: Sequence[Attempt]) -> str:
    """Forget the rungs, so that the next run does as the user asked; a sentence where torch was changed in vain."""
    here, instead = torch_version(ctx.home.venv), bool(stable_instead(ctx))
    for name in (TRIED, KEPT, WISH):
        ctx.receipts.drop(name)
    if not instead and tried[0].torch == here:
        return ""
    # Recorded as a stable release, it is no answer to the wanted channel.
    ctx.receipts.write("torch", replace(ctx.receipts.read("torch", TorchReceipt), wanted=STABLE, why=""))
    asked = ctx.manifest.torch.channel
    return f"torch {here} did not help either: the next run goes back to {asked} torch."


def _gave_up(tried: Sequence[Attempt], error: ProvisionError, restored: str) -> ProvisionError:
    lines = [restored] if restored else []
    if len(tried) > 1:
        attempts = [f"- {attempt.line()}" for attempt in tried]
        lines = ["None of the known fixes helped:", *attempts, *lines]
    return type(error)("\n".join([error.message, *lines]), hint=HINT) if lines else error


def _next_flags(ctx: Context, tried: Sequence[Attempt]) -> tuple[str, ...] | None:
    """The first rung that was not tried with this torch."""
    done = {attempt.flags for attempt in tried if attempt.torch == torch_version(ctx.home.venv)}
    return next((rung for rung in FLAG_RUNGS if flags_with(ctx.manifest.comfyui.args, rung) not in done), None)


def wish_for_stable(ctx: Context, why: str) -> None:
    """Have stable torch installed instead of the nightly, for a reason that is kept. Raises HomeError, DiskFull."""
    ctx.receipts.write(WISH, WishReceipt(ctx.manifest.torch.channel, why, ctx.machine.timestamp(), _system(ctx)))
    ctx.receipts.drop(KEPT)


def may_take_stable(ctx: Context) -> bool:
    """Whether stable torch may replace this one: only a nightly where nightly is wanted, never a chosen version."""
    return ctx.manifest.torch.channel == "nightly" and bool(day_of(torch_version(ctx.home.venv)))


def _read_tried(ctx: Context) -> tuple[Attempt, ...]:
    receipt = ctx.receipts.read(TRIED, LadderReceipt)
    return receipt.tried if same_facts(receipt, _system_facts(ctx)) else ()


def _facts(ctx: Context) -> dict[str, Any]:
    """While these are the same, kept flags are used."""
    return {"torch": torch_version(ctx.home.venv), **_system_facts(ctx)}


def _system_facts(ctx: Context) -> dict[str, Any]:
    commit = ctx.receipts.read("comfyui", ComfyReceipt).commit
    return {"comfyui": commit or None, "os": _system(ctx), "args": ctx.manifest.comfyui.args}


def _system(ctx: Context) -> str | None:
    """The system by torch's receipt, which is made again before ComfyUI starts on another one."""
    return ctx.receipts.read("torch", TorchReceipt).os


def _joined(words: Sequence[str]) -> str:
    return ", ".join(words[:-1]) + " and " + words[-1] if len(words) > 1 else "".join(words)
