"""Does the model fit into this machine's memory? The verdict with its numbers, before anything is downloaded."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from provision.comfyui import fallback_flags
from provision.comfyui.memory import (
    LARGER,
    NO_HELP,
    Fit,
    device_here,
    memory_flags,
    picture_of,
    read_weights,
    says,
    use_here,
)
from provision.command import Fix, ours
from provision.core.finding import JSON, Finding
from provision.core.step import Context, Look
from provision.steps.hardware import kinds

ADVICE: Mapping[Fit, str] = {
    Fit.TIGHT: "Close other programs before a picture is made.",
    Fit.SWAPS: "Close other programs, make one small picture at a time, or take a smaller model (sd-turbo).",
}
SMALLER = ours("manifests")


def check_memory_fit(ctx: Context) -> Iterable[Finding]:
    """One finding; none where the model's size or the machine's memory is not known."""
    if ctx.options.rehearsal:
        yield kinds.MEM_FITS.ok("memory", f"The rehearsal's stand-in for {ctx.manifest.title} is small: it fits.")
        return
    weights, flags = read_weights(ctx), fallback_flags.launch_flags(ctx)
    added = memory_flags(ctx, flags)
    found = use_here(ctx, weights, (*flags, *added)) if weights else None
    if weights is None or found is None:
        return
    device, image = device_here(ctx), ctx.manifest.first_image
    larger = use_here(ctx, weights, (*flags, *added), LARGER) if image.width * image.height < LARGER**2 else None
    system = "macOS" if ctx.machine.system == "Darwin" else "the system"
    text = says(ctx.manifest.title, picture_of(ctx, weights), found, larger, system)
    if not weights.by_header:
        text += " That is by the size of the file; its header will tell more."
    if added:
        text += f" ComfyUI is started with {' '.join(added)} for it."
    text += "".join(f" {flag} does not help: {NO_HELP[flag]}." for flag in flags if device == "mps" and flag in NO_HELP)
    facts: dict[str, JSON] = {
        "verdict": str(found.fit), "total_bytes": found.total_bytes, "memory_bytes": found.memory_bytes,
        "weights_bytes": found.weights_bytes, "activations_bytes": found.activations_bytes,
        "metal_bytes": found.metal_bytes, "recommended_bytes": found.recommended_bytes, "device": device,
        "by_header": weights.by_header, "flags": list(added),
    }  # fmt: skip
    if found.fit is Fit.FITS:
        yield kinds.MEM_FITS.ok("memory", text, facts=facts)
        return
    kind = kinds.MEM_TIGHT if found.fit is Fit.TIGHT else kinds.MEM_SWAPS
    yield kind.warn("memory", text, fix=Fix(ADVICE[found.fit], SMALLER), facts=facts)


MEMORY_FIT = Look(check_memory_fit)
