"""torch: of the channel asked for, with the torchvision that fits it, and proven to compute right on this device.

Which set that is, `torch_choice` finds out; how it is put in use, `torch_set`. The receipt keeps why it is another.
"""

from __future__ import annotations

from collections.abc import Iterable

from provision.comfyui import fallback_flags
from provision.command import Fix, ours, program
from provision.core.deep_results import part_says
from provision.core.events import Work
from provision.core.finding import JSON, Finding, Kind
from provision.core.receipt_kinds import TorchReceipt
from provision.core.receipts import same_facts
from provision.core.sentences import dated
from provision.core.step import Context, Step
from provision.environment import generations, packages, torch_family, wheel_index
from provision.environment.known_bad_torch import doubts
from provision.environment.torch_probe_result import broke_off, describe_failure
from provision.errors import PackageError, ProbeFailed
from provision.steps.lock.rebuild import check_locked, rebuild
from provision.steps.torch import kinds
from provision.steps.torch.choice import Choice, asks_for_audio, planned
from provision.steps.torch.download_size import download_says, set_cost
from provision.steps.torch.install import install_torch_set
from provision.steps.torch.proof import computed, may_see_more, proof_facts, prove, run_probe

BROKEN_GPU = (
    "This torch is built for MPS but sees no Metal device: is this SSH, a virtual machine or a sandbox? "
    "(pytorch issue 167679)."
)


# -- check ------------------------------------------------------------------------------------------------------


def check_torch(ctx: Context) -> Iterable[Finding]:
    """Is the set there, of the lock if one is given, else of the channel asked for and fitting together, and proven?

    Nothing is imported here.
    """
    if ctx.options.locked is not None and (wrong := list(check_locked(ctx, ctx.options.locked))):
        yield from wrong
        return
    versions = packages.installed_versions(ctx.home.venv)
    receipt, wanted = ctx.receipts.read("torch", TorchReceipt), ctx.manifest.torch.channel
    torch, vision = versions.get("torch"), versions.get("torchvision")
    if torch is None:
        yield _to_install(ctx, kinds.TORCH_MISSING, f"torch is not installed ({wanted}).")
    elif says := torch_family.vision_mismatch(torch, vision, _metadata(ctx, f"torchvision-{vision}")):
        yield _to_install(
            ctx, kinds.TV_MISMATCH, f"{says}; ComfyUI exits with `operator torchvision::nms does not exist`."
        )
    elif (audio := versions.get("torchaudio")) and (
        says := torch_family.audio_mismatch(torch, audio, _metadata(ctx, f"torchaudio-{audio}"))
    ):
        yield _audio_mismatch(ctx, f"{says}.")
    elif wheel_index.day_of(torch) and (why := fallback_flags.stable_instead(ctx)):
        yield _to_install(ctx, kinds.TORCH_CHANNEL, f"{why}: using stable torch instead ({download_says(ctx)}).")
    elif not _stands_for(torch, wanted, receipt):
        yield _to_install(ctx, kinds.TORCH_CHANNEL, f"torch {torch} is installed; {wanted} is wanted.")
    elif ctx.options.deep or may_see_more(ctx, receipt) or not same_facts(receipt, proof_facts(ctx)):
        yield from _unproven(ctx, torch)
    else:
        yield from _proven(ctx, receipt)


def _stands_for(torch: str, wanted: str, receipt: TorchReceipt) -> bool:
    """Whether a torch is what is asked for, or was taken in its place; of unknown origin it may stand for a nightly."""
    if wheel_index.answers(wanted, torch):
        return True
    return wanted == (receipt.wanted or "nightly") and wanted in ("nightly", "stable")


def _metadata(ctx: Context, package: str) -> str:
    folder = packages.site_packages(ctx.home.venv)
    return (folder and ctx.machine.read_text(folder / f"{package}.dist-info" / "METADATA")) or ""


def _audio_mismatch(ctx: Context, says: str) -> Finding:
    if asks_for_audio(ctx):
        return _to_install(ctx, kinds.TA_MISMATCH, says)
    fix = Fix("Remove it: this ComfyUI does not need it.", program("uv", "pip", "uninstall", "torchaudio"))
    return kinds.TA_MISMATCH.fixable("torchaudio", says, fix=fix)


def _unproven(ctx: Context, torch: str) -> Iterable[Finding]:
    if not ctx.options.deep:
        yield kinds.TORCH_UNPROVEN.fixable(
            "torch",
            f"torch {torch} has not been tested here.",
            fix=Fix("Compare its device with the CPU."),
        )
        return
    facts = proof_facts(ctx)
    yield from ctx.proofs.recall("torch", facts) or ctx.proofs.keep("torch", facts, [_probed(ctx, torch)])


def _probed(ctx: Context, torch: str) -> Finding:
    ctx.note("Comparing torch's device with the CPU ...", passing=True)
    ctx.progress("torch computes", 0, None, "steps", Work.PROVE)
    ctx.doing(part_says("torch", "comparing torch's device with the CPU"))
    ran, probe = run_probe(ctx)
    ctx.proofs.device = probe.device if probe is not None else ""
    if probe is not None and not probe.failed:
        return computed(torch, probe)
    says = describe_failure(probe) if probe else broke_off(ran.code, ran.tail(3))
    return _to_install(
        ctx, kinds.MPS_NUMERICS if probe else kinds.TORCH_BROKEN, f"torch {torch} does not work: {says}."
    )


def _proven(ctx: Context, receipt: TorchReceipt) -> Iterable[Finding]:
    asked = "not the newest" if receipt.wanted == receipt.got else f"requested: {receipt.wanted}"
    because = f"; {asked}: {receipt.why}" if receipt.why else ""
    says = f"torch {receipt.torch} ({receipt.got}) on {receipt.device}, tested" + dated(
        " on", receipt.when, ctx.machine.timestamp()
    )
    yield kinds.TORCH_READY.ok("torch", says + because, facts={"device": receipt.device})
    if kept := generations.before_says(ctx.home):
        yield kinds.ROLLBACK_READY.ok("torch", f"{kept}, is kept: `provision rollback` returns to it", detail=True)
    if receipt.mps_built and not receipt.mps_available:
        fix = Fix("Run it in Terminal on the Mac itself, not over SSH or in a virtual machine.")
        yield kinds.GPU_HIDDEN.warn("torch", f"{BROKEN_GPU} Using the CPU: minutes per image.", fix=fix)


def _to_install(ctx: Context, kind: Kind, says: str) -> Finding:
    argv: tuple[str, ...] = ("uv", "pip", "install", "torch", "torchvision")
    chosen: dict[str, JSON] = {}
    choice = planned(ctx) if ctx.options.planning else None
    if choice is not None:
        because = f": {reasons}" if (reasons := choice.reasons()) else ""
        will_be = choice.changes(packages.installed_versions(ctx.home.venv))
        known = "".join(f" {doubt}" for _, doubt in doubts(ctx.machine, choice.pins))
        says = f"{says} It will be {will_be}{because}.{known}"
        argv = (*argv[:3], *packages.index_words(ctx, choice.index), *choice.pins)
        chosen = {
            "pins": list(choice.pins),
            "index": choice.index,
            "why": choice.why,
            "passed_over": list(choice.passed_over),
        }
    return kind.fixable(
        "torch",
        says,
        fix=Fix("Install torch with the torchvision that fits it, and test both.", program(*argv)),
        cost=set_cost(ctx, choice),
        facts=chosen,
    )


# -- apply ------------------------------------------------------------------------------------------------------


def apply_torch(ctx: Context, finding: Finding) -> None:
    """Install what is missing and prove it. Raises PackageError, ProbeFailed, EngineError."""
    audio = asks_for_audio(ctx)
    if finding.kind == kinds.TORCH_UNPROVEN:
        _prove_again(ctx, audio=audio)
    elif finding.kind == kinds.TA_MISMATCH and not audio:
        ran = packages.run_uv(ctx, "pip", "uninstall", "--python", ctx.home.python, "torchaudio")
        if not ran.ok:
            raise PackageError(f"torchaudio could not be removed:\n{ran.tail()}", hint=ours("doctor"))
    else:
        if finding.kind in (kinds.TORCH_BROKEN, kinds.MPS_NUMERICS):
            ctx.receipts.drop("torch")  # what was proven once is not what is there now
        _install(ctx, audio=audio, reinstall=finding.kind == kinds.TORCH_BROKEN)


def _prove_again(ctx: Context, *, audio: bool) -> None:
    """Prove the set that is here; where it is no good, as after an upgrade of macOS, another is put in use."""
    if run_probe(ctx)[1] is None:
        ctx.note("torch is not usable (interrupted installation?): installing it again.")
        _install(ctx, audio=audio, reinstall=True)
        return
    receipt, versions = ctx.receipts.read("torch", TorchReceipt), packages.installed_versions(ctx.home.venv)
    got = receipt.got or ("nightly" if wheel_index.day_of(versions["torch"]) else "stable")
    choice = Choice(got, (), receipt.index or "", receipt.why, receipt.passed_over)
    try:
        prove(ctx, choice, ctx.manifest.torch.channel)
    except ProbeFailed as error:
        if ctx.home.venv_of_another is not None:  # nobody was asked about installing there
            raise
        ctx.note(f"{error.sentence} Looking for another version.")
        ctx.receipts.drop("torch")
        _install(ctx, audio=audio, reinstall=False)


def _install(ctx: Context, *, audio: bool, reinstall: bool) -> None:
    if ctx.options.locked is not None:
        rebuild(ctx, ctx.options.locked)
    else:
        install_torch_set(ctx, audio=audio, reinstall=reinstall)


TORCH = Step(
    "torch",
    needs=("python_env", "comfyui"),
    check=check_torch,
    apply=apply_torch,
    about="torch and torchvision",
)
