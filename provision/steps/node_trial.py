"""Whether ComfyUI starts and makes a right image with some custom nodes alone, and which of them are at fault.

Each try is a start on a free port, of a folder with links to these nodes and no others, in a sandbox: what runs is not
touched, and nothing is written.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from provision.comfyui.added_nodes import link_data
from provision.comfyui.isolation import look_folder
from provision.comfyui.sandbox import can_fence
from provision.comfyui.temporary_server import brief_server
from provision.command import ours
from provision.core.image import Quality
from provision.core.step import Context
from provision.download.model_files import wanted_files
from provision.errors import EngineError
from provision.steps.first_image.step import make_image
from provision.steps.requirements.install import custom_nodes


def has_checkpoint(ctx: Context) -> bool:
    """Whether the checkpoints are here, without which no image can be made."""
    return all(wanted.place.exists() for wanted in wanted_files(ctx) if wanted.checkpoint)


def fault(ctx: Context, names: Sequence[str]) -> str:
    """What is wrong with a start, or an image, with these custom nodes alone, as a sentence; empty where nothing is.

    Raises HomeError, DiskFull, Interrupted.
    """
    with look_folder(ctx) as folder:
        link_data(ctx.home, folder / "data", names)
        tried = replace(ctx, home=replace(ctx.home, data=folder / "data"))
        try:
            with brief_server(tried, nodes=bool(names)) as brief:
                if not has_checkpoint(ctx):
                    return ""
                judgement = make_image(brief, ctx.manifest.first_image, "an image", kept=False).judgement
        except EngineError as error:
            return error.message.partition("\n")[0].removesuffix(" Its last output:")
    return judgement.says if judgement.verdict is Quality.BAD else ""


def culprits(
    names: Sequence[str], is_wrong: Callable[[Sequence[str]], bool], told: Callable[[int, int], None]
) -> tuple[str, ...]:
    """The fewest of `names` that together are wrong, by halves; all of them are wrong, and none of them are right.

    Before each try `told` is given how many nodes are loaded, and how many tries are left at most for this one.
    """
    found: list[str] = []
    left = list(names)
    while left:
        right, wrong = 0, len(left)  # so many of the first are known to be right, and to be wrong
        while wrong - right > 1:
            middle = (right + wrong) // 2
            told(len(found) + middle, (wrong - right - 1).bit_length())
            right, wrong = (right, middle) if is_wrong([*found, *left[:middle]]) else (middle, wrong)
        found.append(left[wrong - 1])
        left = left[: wrong - 1]
        if left:
            told(len(found), 1)
            if is_wrong(found):
                break
    return tuple(found)


def find_culprits(ctx: Context, names: Sequence[str]) -> tuple[str, ...]:
    """The custom nodes that are at fault, each try told. Raises HomeError, DiskFull, Interrupted."""

    def told(loaded: int, left: int) -> None:
        starts = f"{left} start{'s' if left > 1 else ''} left"
        ctx.note(f"Trying {loaded} of {len(names)} custom nodes, {starts} ...")

    return culprits(names, lambda some: bool(fault(ctx, some)), told)


def prove_images(ctx: Context, trial: Context) -> None:
    """ComfyUI must start, and make a right image, with the custom nodes too, if it does so now.

    Raises EngineError, which names those at fault, HomeError, DiskFull.
    """
    names = custom_nodes(trial)
    if not names or not can_fence(ctx.machine):
        return
    ctx.note("Making an image with the custom nodes ...", passing=True)
    wrong = fault(trial, names)
    if not wrong:
        return
    now = custom_nodes(ctx)
    if now and fault(ctx, now):
        ctx.note(f"With the custom nodes, as before: {wrong} To find which:", ours("doctor", "--bisect"))
        return
    found = find_culprits(trial, names)
    raise EngineError(f"With {' and '.join(found)}: {wrong} Nothing was changed.", hint=ours("logs", "--tool"))
