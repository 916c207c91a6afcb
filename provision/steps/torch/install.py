"""Putting a set of torch in use: made beside the one that is there, proven, and only then in its place.

The new set is installed into a copy of the environment in use (see `environments`), so that whatever else a person put
there stays. It must compute right and, where ComfyUI was seen to import before, import ComfyUI. A set that fails leaves
the old one as it was, and the next candidate is tried; each failure is said, and kept as the reason for what was taken.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from provision.comfyui.server_process import running_environment
from provision.command import ours
from provision.core.receipt_kinds import TorchReceipt
from provision.core.receipts import same_facts
from provision.core.step import Context
from provision.environment import generations, packages
from provision.errors import EngineError, NetworkError, PackageError, ProbeFailed, ProvisionError
from provision.steps.requirements import install as engine_packages
from provision.steps.torch.choice import Choice, candidates, reason, resolve
from provision.steps.torch.download_size import download_says
from provision.steps.torch.place import here
from provision.steps.torch.proof import proof_facts, prove

PARTS = ("nvidia-", "cuda-", "triton")
"""How the names begin of the packages that torch for an NVIDIA GPU is made of."""
Failed = tuple[Choice, ProvisionError]


def install_torch_set(ctx: Context, *, audio: bool, reinstall: bool = False) -> None:
    """Choose, install and prove a set that fits together, and put it in use; `reinstall` writes its files again.

    Raises PackageError, ProbeFailed or EngineError when no candidate can be had and proven; what was in use stays so.
    """
    failed: list[Failed] = []
    for choice in candidates(ctx, here(ctx), audio=audio):
        if choice.channel == "nightly" and any(isinstance(error, PackageError) for _, error in failed):
            continue  # an index that does not give one nightly gives none
        why = "; ".join([*(reason(*each) for each in failed), *([choice.why] if choice.why else [])])
        try:
            choice = resolve(ctx, here(ctx), replace(choice, why=why))
            _take(ctx, choice, reinstall=reinstall, again=bool(failed))
        except (PackageError, NetworkError, ProbeFailed, EngineError) as error:
            failed.append((choice, error))
            ctx.note(f"{reason(choice, error)}.")
        else:
            return
    raise _nothing_works(ctx, failed)


def _take(ctx: Context, choice: Choice, *, reinstall: bool, again: bool) -> None:
    """Put one candidate in use; one that is here, and proven, when others failed only gets the reason why it stays."""
    if again and _is_here(ctx, choice):
        ctx.note(f"{choice.line()} is installed and tested: keeping it.")
        receipt = ctx.receipts.read("torch", TorchReceipt)
        ctx.receipts.write("torch", replace(receipt, wanted=ctx.manifest.torch.channel, why=choice.why))
        return
    if choice.why and not again:
        ctx.note(f"{choice.why}: using {choice.channel} torch ({download_says(ctx, choice)}).")
    elif again:
        ctx.note(f"Trying {choice.line()} ({download_says(ctx, choice)}).")
    for newer in choice.passed_over[:1]:
        ctx.note(f"{newer}; using {choice.line()}.")
    if ctx.home.venv_of_another is not None or ctx.home.env is not None:  # agreed to, or a copy already
        _fill(ctx, ctx, choice, reinstall=reinstall)
    else:
        with_new(ctx, lambda new: _fill(ctx, new, choice, reinstall=reinstall), choice.line())


def with_new(
    ctx: Context, fill: Callable[[Context], None], reason: str, make: Callable[[Context], Path] = generations.begin
) -> None:
    """Make an environment, usually a copy of the one in use, fill it, and put it in use; one that fails is removed."""
    home = ctx.home
    generations.move_in(home)
    generations.keep_last(home, ctx.manifest.keep, running_environment(ctx))
    new = make(ctx)
    try:
        fill(generations.inside(ctx, new))
        generations.write_about(new, generations.About(made=ctx.machine.timestamp(), reason=reason))
    except ProvisionError:
        generations.discard(new)
        raise
    ours = generations.active(home).parent == home.envs
    works = ours and is_proven(ctx) and engine_packages.imported(ctx)
    if works:
        generations.leave(home, ctx.machine.timestamp())
    generations.enter(home, new, generations.active(home) if works else generations.before(home))
    generations.restore(home, ("torch", "requirements"), files=False)
    generations.keep_last(home, ctx.manifest.keep, running_environment(ctx))


def _fill(ctx: Context, new: Context, choice: Choice, *, reinstall: bool) -> None:
    new.note(f"Installing {', '.join(choice.pins)} ...", passing=True)
    if parts := _parts_of_old(new):
        packages.run_uv(new, "pip", "uninstall", "--python", new.home.python, *parts)
    how = "--reinstall-package" if reinstall else "--upgrade-package"
    anew = [word for pin in choice.pins for word in (how, re.split("[=<]", pin)[0])]
    ran = packages.pip_install(new, *packages.index_words(new, choice.index), *anew, *choice.pins)
    if not ran.ok:
        raise packages.package_error("torch", ran)
    prove(new, choice, ctx.manifest.torch.channel)
    if engine_packages.is_proven(ctx):
        engine_packages.complete(new)


def _parts_of_old(new: Context) -> list[str]:
    """CUDA's packages that only the torch before asked for.

    They must go first: `nvidia-nccl-cu12` and `nvidia-nccl-cu13` are two packages with one file, and whichever was
    installed last has it (seen with torch 2.11.0, 2.10.0 and 2.11.0 again: `undefined symbol: ncclDevCommDestroy`).
    """
    asked_by = packages.requirers(new.home.venv)
    parts = [name for name in packages.installed_versions(new.home.venv) if name.startswith(PARTS)]
    family = {"torch", "torchvision", "torchaudio", *parts}
    return [name for name in parts if asked_by.get(name, set()) <= family]


def is_proven(ctx: Context) -> bool:
    """Whether the set in use was seen to compute right as it is now."""
    return "torch" in packages.installed_versions(ctx.home.venv) and same_facts(
        ctx.receipts.read("torch", TorchReceipt), proof_facts(ctx)
    )


def _is_here(ctx: Context, choice: Choice) -> bool:
    versions = packages.installed_versions(ctx.home.venv)
    pins = dict(pin.split("==", 1) for pin in choice.pins)
    return all(versions.get(name) == version for name, version in pins.items()) and is_proven(ctx)


def _nothing_works(ctx: Context, failed: Sequence[Failed]) -> ProvisionError:
    """What to raise when no candidate is left."""
    _, error = failed[-1]
    here = packages.installed_versions(ctx.home.venv).get("torch")
    stays = f"\nThe current torch {here} stays in use." if here else ""
    if len(failed) == 1:
        return type(error)(f"{error.message}{stays}", hint=error.hint)
    lines = "\n".join(f"- {reason(*each)}" for each in failed)
    return type(error)(f"No tested torch works here:\n{lines}{stays}", hint=ours("doctor", "--deep"))
