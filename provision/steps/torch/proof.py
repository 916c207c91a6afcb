"""That torch computes right here: a small probe, run by the target Python, whose verdict the receipt keeps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from provision.comfyui.exclusive_start import one_start
from provision.comfyui.isolation import look_env
from provision.command import ours
from provision.core.finding import Finding
from provision.core.receipt_kinds import TorchReceipt
from provision.core.step import Context
from provision.environment import packages
from provision.environment.torch_probe_result import TorchProbe, broke_off, describe_failure, parse_torch_probe
from provision.errors import ProbeFailed
from provision.steps.python_env.step import LOOKING
from provision.steps.torch import kinds
from provision.steps.torch.choice import Choice
from provision.system.git_program import plain
from provision.system.mac import must_read_macos
from provision.system.machine import Ran

PROBE = Path(packages.__file__).with_name("torch_probe.py")
PROBE_TIMEOUT_S = 300


def computed(torch: str, probe: TorchProbe) -> Finding:
    """That this torch computes right, seen just now."""
    says = f"torch {torch} on {probe.device}: computes correctly ({probe.seconds:.1f} s)"
    return kinds.TORCH_READY.ok("torch", says)


def proof_facts(ctx: Context) -> dict[str, Any]:
    """What the proof depends on: the installed set, the Python, the system's version."""
    versions = packages.installed_versions(ctx.home.venv)
    folder = packages.site_packages(ctx.home.venv)
    return {
        "versions": {name: versions[name] for name in ("torch", "torchvision", "torchaudio") if name in versions},
        "python": folder.parent.name if folder else "",
        "os": system_version(ctx),
    }


def system_version(ctx: Context) -> str:
    """macOS's version; on other systems the name of the system, whose updates do not change torch's device."""
    if ctx.machine.system != "Darwin":
        return ctx.machine.system
    version = must_read_macos(ctx.machine).version
    return "macOS " + ".".join(str(part) for part in version)


def may_see_more(ctx: Context, receipt: TorchReceipt) -> bool:
    """Whether a Mac's GPU was hidden when torch was proven, and we are now started from elsewhere."""
    return receipt.mps_built and receipt.mps_available is False and receipt.session != session(ctx)


def session(ctx: Context) -> str:
    """Whence we were started, where that decides whether a Mac's GPU is seen (pytorch issue 167679)."""
    given = ctx.machine.environ
    return "ssh" if "SSH_CONNECTION" in given else given.get("TERM_PROGRAM", "")


def run_probe(ctx: Context, *, compiled: bool = False) -> tuple[Ran, TorchProbe | None]:
    """Run the probe by the target Python; None when it did not come to a result.

    With `compiled` torch's compiled files stay where they belong, in an environment of ours.
    """
    flags = ("-I",) if compiled and ctx.home.venv_of_another is None else LOOKING
    with one_start(ctx):
        ran = ctx.machine.run([ctx.home.python, *flags, PROBE], env=look_env(), timeout_s=PROBE_TIMEOUT_S)
    try:
        return ran, parse_torch_probe(ran.out) if ran.ok else None
    except ValueError:
        return ran, None


def prove(ctx: Context, choice: Choice, wanted: str) -> None:
    """Probe the installed set and write the receipt. Raises ProbeFailed, with what computes wrong."""
    ctx.note("Comparing torch's device with the CPU ...", passing=True)
    ran, probe = run_probe(ctx, compiled=True)
    if probe is None:
        says = broke_off(ran.code, ran.tail(3))
        raise ProbeFailed(f"torch is not usable; {says}", hint=ours("all", "--torch", "stable"))
    if probe.failed:
        raise ProbeFailed(
            f"torch {probe.torch} computes incorrectly on {probe.device}: {describe_failure(probe)}.",
            hint=ours("all", "--torch", "stable") if choice.channel == "nightly" else ours("all", "--torch", "nightly"),
        )
    if probe.audio_fault and choice.needs_audio:
        raise ProbeFailed(
            f"torchaudio cannot be imported with torch {probe.torch}: {probe.audio_fault}.",
            hint=ours("all", "--comfyui", "latest"),
        )
    receipt = TorchReceipt(
        **proof_facts(ctx),
        wanted=wanted,
        got=choice.channel,
        why=plain(choice.why),
        index=choice.index,
        passed_over=tuple(map(plain, choice.passed_over)),
        torch=probe.torch,
        device=probe.device,
        mps_built=probe.mps_built,
        mps_available=probe.mps_available,
        session=session(ctx),
        worst_error=probe.worst,
        probe_s=probe.seconds,
        gflop_s=probe.block_gflop_s,
        skipped=probe.skipped,
        audio_fault=plain(probe.audio_fault),
        doubtful=tuple(check.says for check in probe.doubtful),
        when=ctx.machine.timestamp(),
    )
    ctx.receipts.write("torch", receipt)
    ctx.proofs.keep("torch", proof_facts(ctx), [computed(probe.torch, probe)])
