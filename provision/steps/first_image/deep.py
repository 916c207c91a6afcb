"""`--deep`: make an image now, on the server that runs or on one that is started for it and stopped again."""

from __future__ import annotations

from collections.abc import Iterable

from provision.comfyui.server_process import on_cpu
from provision.comfyui.temporary_server import any_server
from provision.command import Fix
from provision.core.deep_results import part_says
from provision.core.events import Work
from provision.core.finding import Finding
from provision.core.image import Quality
from provision.core.step import Context, Look
from provision.download.model_files import wanted_files
from provision.errors import EngineError, PortTaken
from provision.steps.catalogue import kind_of
from provision.steps.first_image import kinds
from provision.steps.first_image.step import (
    MEANINGS,
    Picture,
    apply_first_image,
    check_ready,
    made_now,
    make_image,
    proof_facts,
)


def check_image(ctx: Context) -> Iterable[Finding]:
    """Can an image be made? Only where `--deep` asks for it, and all is there that it takes."""
    checkpoints = [wanted.place for wanted in wanted_files(ctx) if wanted.checkpoint]
    here = all(path.exists() for path in (ctx.home.python, ctx.home.main_py, *checkpoints))
    if not (ctx.options.deep and here):
        return
    facts = proof_facts(ctx)
    yield from ctx.proofs.recall("first_image", facts) or ctx.proofs.keep("first_image", facts, _make(ctx))


def _make(ctx: Context) -> Iterable[Finding]:
    ctx.note("Making an image ...", passing=True)
    ctx.progress("Asking ComfyUI for an image", 0, None, "steps", Work.SAMPLE)
    ctx.doing(part_says("first_image", "making an image" + (", minutes on a CPU" if on_cpu(ctx) else "")))
    started = ctx.machine.clock()
    try:
        with any_server(ctx) as (at, was_started):
            check_ready(at)
            picture = make_image(at, ctx.manifest.first_image, "an image", kept=False)
    except (EngineError, PortTaken) as error:
        named = error.finding if isinstance(error, EngineError) else ""
        kind = kind_of(named) if named else kinds.ENGINE_ERROR
        facts = {"seconds": round(ctx.machine.clock() - started, 1)}
        yield kind.blocked("an image", error.message, fix=error.hint, facts=facts)
    else:
        yield _judged(picture, ctx.machine.clock() - started, was_started=was_started)


def _judged(picture: Picture, seconds: float, *, was_started: bool) -> Finding:
    judgement = picture.judgement
    how = f" in {picture.seconds:.1f} s"
    if was_started:
        how += f"; the server was not running, so one was started and stopped again ({seconds:.1f} s in all)"
    if judgement.verdict is not Quality.BAD:
        return made_now(picture, how, seconds)
    fix = Fix("Try again with other flags, then with stable torch; keep what works.")
    says = f"An image was made just now{how}. {judgement.says} {MEANINGS[judgement.why]}"
    return kinds.IMAGE_REJECTED.fixable("an image", says, fix=fix, facts={"why": judgement.why})


DEEP_IMAGE = Look(check_image, (kinds.IMAGE_REJECTED,), apply_first_image)
