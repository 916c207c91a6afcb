"""What is worth knowing of a torch that computes right: it is slow here, or not all of it could be compared."""

from __future__ import annotations

from collections.abc import Iterable

from provision.command import Fix, ours, program
from provision.core.finding import Finding
from provision.core.receipt_kinds import TorchReceipt
from provision.core.receipts import same_facts
from provision.core.step import Context, Look
from provision.environment.torch_probe_result import slow_says
from provision.steps.torch import kinds
from provision.steps.torch.choice import asks_for_audio
from provision.steps.torch.proof import proof_facts
from provision.system.mac import read_chip, read_sysctl


def check_reservations(ctx: Context) -> Iterable[Finding]:
    """By the receipt of the proof, while it holds."""
    receipt = ctx.receipts.read("torch", TorchReceipt)
    if not same_facts(receipt, proof_facts(ctx)):
        return
    speed, skipped = receipt.gflop_s, receipt.skipped
    if receipt.device == "mps" and speed is not None:
        says = slow_says(speed, read_chip(read_sysctl(ctx.machine)))
        if says:
            fix = Fix(
                "Close other programs, turn Low Power Mode off, and test it again.",
                ours("doctor", "--deep"),
            )
            yield kinds.TORCH_SLOW.warn("torch", says, fix=fix, facts={"gflop_s": speed})
    if receipt.doubtful:
        says = (
            f"torch {receipt.torch} computes operations incorrectly that only custom nodes use: "
            f"{'; '.join(receipt.doubtful)}."
        )
        yield kinds.TORCH_DOUBTFUL.warn("torch", says, fix=Fix("A newer torch.", ours("all", "--torch", "stable")))
    if receipt.audio_fault:
        yield _audio(ctx, receipt)
    if skipped:
        count = "1 comparison" if len(skipped) == 1 else f"{len(skipped)} comparisons"
        says = f"{count} of torch with the CPU were skipped ({skipped[0]})."
        yield kinds.TORCH_PART_PROVEN.warn("torch", says, facts={"skipped": list(skipped)})


def _audio(ctx: Context, receipt: TorchReceipt) -> Finding:
    version = receipt.versions.get("torchaudio", "")
    says = (
        f"torchaudio {version} cannot be imported with torch {receipt.torch} ({receipt.audio_fault}): "
        "audio nodes fail, images still work."
    )
    fix = Fix("A matching torch:", ours("all", "--torch", "stable"))
    if not asks_for_audio(ctx):
        fix = Fix(
            "This ComfyUI does not need it. Remove it:",
            program("uv", "pip", "uninstall", "--python", str(ctx.home.python), "torchaudio"),
        )
    return kinds.TA_MISMATCH.warn("torchaudio", says, fix=fix)


RESERVATIONS = Look(check_reservations)
