"""The first image: made through ComfyUI's API, judged and kept as proof; and a second, warm one for its seconds."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from provision.comfyui import fallback_flags
from provision.comfyui.attention_limit import check_size
from provision.comfyui.error_explanations import death
from provision.comfyui.server_process import (
    Record,
    client_of,
    engine_commit,
    engine_flags,
    log_tail,
    our_process,
    read_record,
    record_path,
    unlisted,
)
from provision.comfyui.workflow_graph import SEED_LIMIT, listed_name, prompt_graph, ui_workflow
from provision.command import Command, Fix, ours, program
from provision.core.events import ImageMade, Work
from provision.core.finding import JSON, Cost, Finding, Kind
from provision.core.image import SIDE_MAX, Judgement, Quality, judge, most_bytes
from provision.core.manifest import FirstImage
from provision.core.receipt_kinds import ImageReceipt
from provision.core.receipts import file_identity, same_facts, write_bytes
from provision.core.sentences import dated
from provision.core.step import Context, Step
from provision.environment import packages
from provision.errors import EngineError, ImageRejected, ProvisionError
from provision.steps.first_image import kinds
from provision.system.mac import read_sysctl
from provision.system.parsers import parse_cpuinfo
from provision.system.strict import Unreadable, read_file

DISK_BYTES = 2_000_000
PUBLISHED = "2 to 3 s, warm, on an M1 Pro"
"""Published for 512x512, one step, on a 14-inch MacBook Pro with an M1 Pro and 16 GB."""
REJECTED = "first-image.rejected.png"

MEANINGS = {
    "black": "The decoder produced NaN, as fp16 does on some systems.",
    "flat": "The sampler or the decoder produced nothing.",
    "noise": "The image was decoded from noise: this torch computes incorrectly here, or the weights are damaged.",
    "size": "ComfyUI did not use the given settings.",
    "broken": "ComfyUI saved something that is not an image.",
}
"""What a bad picture means, by the judgement's `why`."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture that was made; `seconds` from submitting the prompt to the end of its execution."""

    png: bytes
    seed: int
    seconds: float
    judgement: Judgement


def check_first_image(ctx: Context) -> Iterable[Finding]:
    """Has an image been made with what is installed now, and is it still there?"""
    receipt, path = ctx.receipts.read("first_image", ImageReceipt), ctx.home.first_image
    shown = ctx.home.shown(path)
    if not receipt.sha256 or not path.is_file():
        yield _to_make(kinds.FIRST_IMAGE_MISSING, shown, "No image has been made with this install yet.")
        return
    facts = proof_facts(ctx)
    if changed := next((name for name in facts if not same_facts(receipt, {name: facts[name]})), ""):
        other = "other" if changed in ("flags", "settings", "weights") else "another"
        yield _to_make(kinds.FIRST_IMAGE_STALE, shown, f"The first image was made with {other} {changed}.")
    elif _sha256_of(path) != receipt.sha256:
        yield _to_make(kinds.FIRST_IMAGE_STALE, shown, f"{shown} is not the image that was made.")
    else:
        made = dated(", made on", receipt.when, ctx.machine.timestamp())
        yield kinds.FIRST_IMAGE_MADE.ok(shown, f"{shown}{made}: {_seconds(receipt, rehearsal=ctx.options.rehearsal)}")
        if receipt.verdict == Quality.WARN:
            fix = Fix("Look at it: does it show the prompt?", program("open", str(path)))
            yield kinds.FIRST_IMAGE_ROUGH.warn(shown, receipt.says, fix=fix)


def _to_make(kind: Kind, shown: str, says: str) -> Finding:
    fix = Fix("Make and check two images.")
    return kind.fixable(shown, says, fix=fix, cost=Cost(disk_bytes=DISK_BYTES))


def _seconds(receipt: ImageReceipt, *, rehearsal: bool) -> str:
    first, warm = (f"{s:.2g} s" if s < 10 else f"{s:.0f} s" for s in (receipt.seconds_first, receipt.seconds_warm))
    if rehearsal:
        return f"first {first}, warm {warm} (drawn by a stand-in)"
    chip, device = receipt.chip or "an unknown processor", receipt.device
    here = f"; this machine: {chip}, {device}"
    if chip == "Apple M1 Pro" and device == "mps":
        here = ", like this one"
    return f"first {first}, warm {warm} (published: {PUBLISHED}{here})"


def proof_facts(ctx: Context) -> dict[str, Any]:
    """What the image proves: it need not be made again while all of this is the same."""
    model, file = ctx.manifest.checkpoint(ctx.options.precision)
    versions = packages.installed_versions(ctx.home.venv)
    weights: JSON = file.sha256
    if not weights:
        with suppress(OSError):
            weights = file_identity(ctx.home.models / model.folder / file.name)
    return {
        "torch": versions.get("torch"),
        "torchvision": versions.get("torchvision"),
        "comfyui": engine_commit(ctx),
        "checkpoint": listed_name(model, file),
        "weights": weights,
        "flags": engine_flags(ctx),
        "settings": asdict(ctx.manifest.first_image),
    }


def _sha256(png: bytes) -> str:
    return hashlib.sha256(png).hexdigest()


def _sha256_of(path: Path) -> str:
    """The hash of the file there; empty where it cannot be a picture by its kind and size."""
    with suppress(OSError, Unreadable):
        return _sha256(read_file(path, max_bytes=most_bytes(SIDE_MAX, SIDE_MAX)))
    return ""


def apply_first_image(ctx: Context, finding: Finding) -> None:
    """As `make_first_image`, whatever is found."""
    make_first_image(ctx)


def make_first_image(ctx: Context) -> None:
    """Make two images, judge both, keep the first and what they were made with.

    Raises StartOver for a bad one while other flags are left to try, else ImageRejected; EngineError, HomeError,
    DiskFull.
    """
    facts, image = proof_facts(ctx), ctx.manifest.first_image
    check_size(ctx, image, _of_size)
    device = check_ready(ctx)
    first = make_image(ctx, image, "the first image", kept=False)
    _refuse_bad(ctx, first)
    write_bytes(ctx.home.first_image, first.png)
    ctx.emit(ImageMade(path=str(ctx.home.first_image), seconds=first.seconds))
    warm = make_image(ctx, image, "a second, warm image", kept=False)
    _refuse_bad(ctx, warm)
    worst = max((first.judgement, warm.judgement), key=lambda judgement: judgement.verdict is Quality.WARN)
    receipt = ImageReceipt(
        **facts,
        sha256=_sha256(first.png),
        when=ctx.machine.timestamp(),
        seconds_first=round(first.seconds, 3),
        seconds_warm=round(warm.seconds, 3),
        seeds=(first.seed, warm.seed),
        verdict=str(worst.verdict),
        says=worst.says,
        measures=first.judgement.facts.to_json(),
        device=device,
        chip=chip_name(ctx),
    )
    ctx.receipts.write("first_image", receipt)
    fallback_flags.settle(ctx, first.seconds)
    ctx.proofs.keep("first_image", proof_facts(ctx), [made_now(first, f" in {first.seconds:.1f} s", first.seconds)])


def made_now(picture: Picture, how: str, seconds: float) -> Finding:
    """The finding that an image was made just now."""
    says = f"An image was made just now{how}. {picture.judgement.says}"
    return kinds.IMAGE_PROVEN.ok("an image", says, facts={"seconds": round(seconds, 1)})


def _of_size(width: int, height: int) -> Command:
    return ours("all", "--set", f"first_image.width={width}", "--set", f"first_image.height={height}")


def check_ready(ctx: Context) -> str:
    """The device that ComfyUI computes on. Raises EngineError where it does not run or see the checkpoint."""
    client = client_of(ctx)
    stats = client.system_stats()
    if stats is None:
        raise EngineError("ComfyUI is not running.", hint=ours("launch"))
    name, names = listed_name(*ctx.manifest.checkpoint(ctx.options.precision)), client.checkpoints()
    if name not in names:
        raise unlisted(name, names)
    return stats.device


def make_image(ctx: Context, image: FirstImage, what: str, seed: int | None = None, *, kept: bool = True) -> Picture:
    """Make one image on the running server, and judge it; a fresh seed unless one is given.

    ComfyUI keeps no file of one that is not `kept`. Anything but a picture is judged BAD.
    Raises EngineError with what ComfyUI's error means, Interrupted after the prompt was stopped.
    """
    seed = secrets.randbelow(SEED_LIMIT) if seed is None else seed
    checkpoint = listed_name(*ctx.manifest.checkpoint(ctx.options.precision))
    client, before = client_of(ctx), read_record(ctx)

    def on_progress(stage: str, done: int, total: int | None) -> None:
        ctx.progress(f"{what}: {stage}", done, total, "steps", Work.SAMPLE)

    try:
        made = client.generate(
            prompt_graph(image, checkpoint, seed, kept=kept),
            on_progress=on_progress,
            workflow=ui_workflow(image, checkpoint, seed),
        )
        if not made.images:
            raise EngineError("ComfyUI says it is done, but names no image.", hint=ours("logs"))
        png = client.view(made.images[0], max_bytes=most_bytes(image.width, image.height))
    except EngineError as error:
        raise _with_cause_of_death(ctx, error, before) from error
    return Picture(png, seed, made.seconds, judge(png, image.width, image.height))


def _with_cause_of_death(ctx: Context, error: EngineError, before: Record | None) -> ProvisionError:
    """The error, with why ComfyUI ended, if it did. Whoever stops a server of ours removes its record first."""
    now = our_process(ctx)
    if now is not None and (before is None or now.pid == before.pid):
        return error
    if before is not None and (now is not None or not record_path(ctx).exists()):
        return EngineError("ComfyUI was stopped while making the image.", hint=ours("launch"))
    meaning = death(log_tail(ctx.home).rpartition("got prompt")[2])
    return EngineError(meaning.says, hint=meaning.hint, finding=meaning.id)


def rejection(picture: Picture, kept: str = "") -> ImageRejected | None:
    """The error for an image that is no picture; None where it is one."""
    judgement = picture.judgement
    if judgement.verdict is not Quality.BAD:
        return None
    return ImageRejected(
        f"ComfyUI made an image, but it is not usable. {judgement.says} {MEANINGS[judgement.why]}{kept}",
        hint=ours("logs") if judgement.why in ("broken", "size") else ours("doctor", "--deep"),
    )


def _refuse_bad(ctx: Context, picture: Picture) -> None:
    judgement, kept = picture.judgement, ctx.home.root / REJECTED
    is_shown = judgement.why != "broken"
    error = rejection(picture, f" It is kept as {ctx.home.shown(kept)}." if is_shown else "")
    if error is None:
        return
    if is_shown:
        write_bytes(kept, picture.png)
    if judgement.why in fallback_flags.LOOKS:
        raise fallback_flags.climb(ctx, judgement.why, judgement.says, picture.seconds, error)
    raise error


def chip_name(ctx: Context) -> str | None:
    """The processor's name; None where it is not known."""
    if ctx.machine.system != "Darwin":
        return parse_cpuinfo(ctx.machine.read_text("/proc/cpuinfo") or "")
    return read_sysctl(ctx.machine).get("machdep.cpu.brand_string")


FIRST_IMAGE = Step(
    "first_image",
    needs=("server", "models", "workflow"),
    check=check_first_image,
    apply=apply_first_image,
    about="the first image",
)
