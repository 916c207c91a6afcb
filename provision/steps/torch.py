"""torch: of the channel asked for, torchvision of the same build, and proven to compute right on this machine's device.

A nightly is the newest day on which every package that is wanted has a wheel for this machine. Where the nightly index
cannot be reached or has no such day, stable torch is taken, and the receipt keeps why.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from provision import known_bad, ladder, packages, wheels
from provision.errors import PackageError, ProbeFailed
from provision.facts import parse_sw_vers
from provision.finding import JSON, Finding, Fix, fixable, ok, warn
from provision.hosts import bundle_of
from provision.machine import Ran
from provision.network import unreachable_because
from provision.probe import TorchProbe, broke_off, describe_failure, parse_torch_probe
from provision.step import Context, Step
from provision.steps.python_env import python_flags

PROBE = Path(__file__).resolve().parent.parent / "torch_probe.py"
PROBE_TIMEOUT_S = 300
PAGE_TIMEOUT_S = (5, 20)
SIZES = {  # bytes over the network and on the disk, with dependencies; measured, but for "cpu", in November 2026
    "mac": (165 * 10**6, 700 * 10**6),
    "cpu": (260 * 10**6, 1_100 * 10**6),
    "cuda": (2_750 * 10**6, 4_900 * 10**6),
    "rehearsal": (100_000, 1_000_000),
}
BROKEN_GPU = (
    "This torch is built for MPS and sees no Metal device: as over SSH, in a virtual machine or in a sandbox "
    "(pytorch issue 167679)."
)


@dataclass(frozen=True, slots=True)
class Choice:
    """What is to be installed, from where, and why it is not what was asked for (empty when it is)."""

    channel: str
    pins: tuple[str, ...]
    index: str
    why: str = ""


# -- check ------------------------------------------------------------------------------------------------------


def check_torch(ctx: Context) -> Iterable[Finding]:
    """Is the set there, of one build and of the channel asked for, and proven? Nothing is imported here."""
    versions = packages.installed_versions(ctx.home.venv)
    receipt, wanted = ctx.receipts.read("torch"), ctx.manifest.torch.channel
    torch, vision = versions.get("torch"), versions.get("torchvision")
    if torch is None:
        yield _to_install(ctx, "torch-missing", f"torch is not installed; {wanted} is wanted.")
    elif says := wheels.vision_mismatch(torch, vision, _metadata(ctx, f"torchvision-{vision}")):
        yield _to_install(ctx, "tv-mismatch", f"{says}; ComfyUI ends with `operator torchvision::nms does not exist`.")
    elif "torchaudio" in versions and (says := wheels.audio_mismatch(torch, versions["torchaudio"])):
        yield _audio_mismatch(ctx, f"{says}.")
    elif wheels.day_of(torch) and (why := ladder.stable_instead(ctx)):
        yield _to_install(ctx, "torch-channel", f"{why}: stable torch is taken in its place ({_download(ctx)}).")
    elif not _stands_for(torch, wanted, receipt):
        yield _to_install(ctx, "torch-channel", f"torch {torch} is here; {wanted} is asked for.")
    elif (
        ctx.options.deep
        or _may_see_more(ctx, receipt)
        or any(receipt.get(name) != value for name, value in proof_facts(ctx).items())
    ):
        yield from _unproven(ctx, torch)
    else:
        yield from _proven(receipt)


def _stands_for(torch: str, wanted: str, receipt: Mapping[str, JSON]) -> bool:
    """Whether a torch is what is asked for, or was taken in its place; of unknown origin it may stand for a nightly."""
    if wheels.answers(wanted, torch):
        return True
    return wanted == receipt.get("wanted", "nightly") and wanted in ("nightly", "stable")


def _metadata(ctx: Context, package: str) -> str:
    folder = packages.site_packages(ctx.home.venv)
    return (folder and ctx.machine.read_text(folder / f"{package}.dist-info" / "METADATA")) or ""


def _audio_mismatch(ctx: Context, says: str) -> Finding:
    if asks_for_audio(ctx):
        return _to_install(ctx, "ta-mismatch", says)
    fix = Fix("It is removed: this ComfyUI does not ask for it.", ("uv", "pip", "uninstall", "torchaudio"))
    return fixable("ta-mismatch", "torchaudio", says, fix=fix)


def _unproven(ctx: Context, torch: str) -> Iterable[Finding]:
    if not ctx.options.deep:
        yield fixable(
            "torch-unproven", "torch", f"torch {torch} has not been seen to compute right here.",
            fix=Fix("A small probe compares its device with the CPU."),
        )  # fmt: skip
        return
    facts = proof_facts(ctx)
    yield from ctx.proofs.recall("torch", facts) or ctx.proofs.keep("torch", facts, [_probed(ctx, torch)])


def _probed(ctx: Context, torch: str) -> Finding:
    ctx.note("Comparing torch's device with the CPU ...")
    ctx.progress("torch computes", 0, None, "steps")
    ran, probe = run_probe(ctx)
    if probe is not None and not probe.failed:
        return _computed(torch, probe)
    says = describe_failure(probe) if probe else broke_off(ran.code, ran.tail(3))
    return _to_install(ctx, "mps-numerics" if probe else "torch-broken", f"torch {torch} does not work: {says}.")


def _computed(torch: str, probe: TorchProbe) -> Finding:
    says = f"torch {torch} on {probe.device}: computed right just now ({probe.seconds:.1f} s)"
    return ok("torch-ready", "torch", says)


def _proven(receipt: dict[str, JSON]) -> Iterable[Finding]:
    because = f"; {receipt['wanted']} was asked for: {receipt['why']}" if receipt.get("why") else ""
    says = f"torch {receipt['torch']} ({receipt['got']}) on {receipt['device']}, proven on {str(receipt['when'])[:10]}"
    yield ok("torch-ready", "torch", says + because, device=receipt["device"])
    if receipt.get("mps_built") and not receipt.get("mps_available"):
        fix = Fix("Run it in Terminal on the Mac itself, not over SSH or in a virtual machine.")
        yield warn("gpu-hidden", "torch", f"{BROKEN_GPU} The CPU is used: minutes an image.", fix=fix)


def proof_facts(ctx: Context) -> dict[str, JSON]:
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
    version = parse_sw_vers(ctx.machine.run(["/usr/bin/sw_vers"], timeout_s=10).out).version
    return "macOS " + ".".join(str(part) for part in version)


def _may_see_more(ctx: Context, receipt: Mapping[str, JSON]) -> bool:
    """Whether a Mac's GPU was hidden when torch was proven, and we are now started from elsewhere."""
    hidden = receipt.get("mps_built") is True and receipt.get("mps_available") is False
    return hidden and receipt.get("session") != session(ctx)


def session(ctx: Context) -> str:
    """Whence we were started, where that decides whether a Mac's GPU is seen (pytorch issue 167679)."""
    given = ctx.machine.environ
    return "ssh" if "SSH_CONNECTION" in given else given.get("TERM_PROGRAM", "")


def _to_install(ctx: Context, id: str, says: str) -> Finding:
    download, disk = SIZES[_kind(ctx)]
    argv = ("uv", "pip", "install", "torch", "torchvision")
    return fixable(
        id, "torch", says, fix=Fix("torch and torchvision of one build are installed and proven.", argv),
        download_bytes=download, disk_bytes=disk,
    )  # fmt: skip


def set_bytes(ctx: Context) -> tuple[int, int]:
    """What a whole set takes: bytes over the network, bytes on the disk."""
    return SIZES[_kind(ctx)]


def _download(ctx: Context) -> str:
    return f"about {SIZES[_kind(ctx)][0] / 10**6:g} MB to download"


def _kind(ctx: Context) -> str:
    if ctx.options.rehearsal:
        return "rehearsal"
    if ctx.machine.system == "Darwin":
        return "mac"
    return "cuda" if has_nvidia(ctx) or not ctx.manifest.torch.stable_index else "cpu"


def has_nvidia(ctx: Context) -> bool:
    """Whether this machine has an NVIDIA GPU with its driver."""
    return ctx.machine.which("nvidia-smi") is not None


def _plain(version: str) -> str:
    return version.partition("+")[0]


# -- apply ------------------------------------------------------------------------------------------------------


def apply_torch(ctx: Context, finding: Finding) -> None:
    """Install what is missing and prove it. Raises PackageError, ProbeFailed."""
    if finding.id == "torch-unproven":
        receipt, versions = ctx.receipts.read("torch"), packages.installed_versions(ctx.home.venv)
        wanted = ctx.manifest.torch.channel
        if run_probe(ctx)[1] is None:
            ctx.note("torch cannot be used, as after an installation that was cut off: it is installed again.")
            install_torch_set(ctx, audio=asks_for_audio(ctx), reinstall=True)
            return
        got = str(receipt.get("got") or ("nightly" if wheels.day_of(versions["torch"]) else "stable"))
        prove(ctx, Choice(got, (), "", str(receipt.get("why") or "")), wanted)
    elif finding.id == "ta-mismatch" and not asks_for_audio(ctx):
        ran = packages.run_uv(ctx, "pip", "uninstall", "--python", ctx.home.python, "torchaudio")
        if not ran.ok:
            raise PackageError(f"torchaudio could not be removed:\n{ran.tail()}", hint="provision doctor")
    elif finding.id == "mps-numerics" and ladder.may_take_stable(ctx):
        torch = packages.installed_versions(ctx.home.venv)["torch"]
        ladder.wish_for_stable(ctx, f"torch {torch} computes wrong here")
        install_torch_set(ctx, audio=asks_for_audio(ctx))
    elif finding.id == "torch-broken":
        install_torch_set(ctx, audio=asks_for_audio(ctx), reinstall=True)
    else:
        install_torch_set(ctx, audio=asks_for_audio(ctx))


def asks_for_audio(ctx: Context) -> bool:
    """Whether the revision of ComfyUI that is here asks for torchaudio; False while none is here."""
    asked = ctx.home.comfyui / "requirements.txt"
    return asked.is_file() and any(
        packages.normalised(line).startswith("torchaudio") for line in packages.asked_packages(asked)
    )


def install_torch_set(ctx: Context, *, audio: bool, reinstall: bool = False) -> None:
    """Choose, install and prove a set of one build; with `reinstall` its files are written anew.

    Raises PackageError when none can be had, ProbeFailed.
    """
    choice = choose(ctx, audio=audio)
    if choice.why:
        ctx.note(f"{choice.why}: {choice.channel} torch is taken ({_download(ctx)}).")
    ctx.note(f"Installing {', '.join(choice.pins)} ...")
    ran = _install(ctx, choice, reinstall=reinstall)
    if not ran.ok and choice.channel == "nightly":
        choice = _stable(ctx, audio=audio, why=f"the nightly could not be installed ({_reason(ran)})")
        ctx.note(f"{choice.why}: stable torch is taken.")
        ran = _install(ctx, choice, reinstall=reinstall)
    if not ran.ok:
        raise packages.package_error("torch", ran)
    prove(ctx, choice, ctx.manifest.torch.channel)


def _install(ctx: Context, choice: Choice, *, reinstall: bool) -> Ran:
    source = ("--index", choice.index, "--index-strategy", "unsafe-best-match") if choice.index else ()
    # What is installed must not satisfy the wish: a nightly would count as newer than any release.
    how = "--reinstall-package" if reinstall else "--upgrade-package"
    anew = [word for pin in choice.pins for word in (how, re.split("[=<]", pin)[0])]
    return packages.pip_install(ctx, *source, *anew, *choice.pins)


def _reason(ran: Ran) -> str:
    lines = [line.strip(" ╰─▶×│") for line in (ran.out + ran.err).splitlines() if line.strip()]
    return lines[-1][:200] if lines else "uv gave no reason"


def choose(ctx: Context, *, audio: bool) -> Choice:
    """What to install for the channel asked for, and why it is another; never a known bad one. Raises PackageError."""
    choice = _choose(ctx, audio=audio)
    if choice.channel == "nightly" and (why := known_bad.refused(ctx.machine, choice.pins)):
        choice = _stable(ctx, audio=audio, why=why)
    if why := known_bad.refused(ctx.machine, choice.pins):
        raise PackageError(f"{why}. Nothing was installed.", hint="provision all --torch stable")
    return choice


def _choose(ctx: Context, *, audio: bool) -> Choice:
    channel = ctx.manifest.torch.channel
    if channel == "stable":
        return _stable(ctx, audio=audio, why="")
    if why := ladder.stable_instead(ctx):
        return _stable(ctx, audio=audio, why=why)
    day = wheels.day_of(channel)
    if channel != "nightly" and not day:
        return _stable(ctx, audio=audio, why="", exact=channel)
    if channel == "nightly" and _has_cuda(ctx) and ctx.manifest.torch.nightly_index.rstrip("/").endswith("/cpu"):
        return _stable(ctx, audio=audio, why="the nightly index that is named has no builds for NVIDIA GPUs")
    names = ("torch", "torchvision", *(("torchaudio",) if audio else ()))
    index = ctx.manifest.torch.nightly_index.rstrip("/")
    pages, trouble = read_pages(ctx, index, names)
    tags = target_tags(ctx)
    if day:
        return _one_day(
            ctx, channel, index, {name: [w for w in found if w.day == day] for name, found in pages.items()}
        )
    if trouble:
        return _stable(ctx, audio=audio, why=f"the nightly index {trouble}")
    versions = wheels.newest_common_day(pages, tags)
    if versions is None:
        return _stable(ctx, audio=audio, why="the nightly index has no matching set for this machine")
    late = wheels.missing_on_newest(pages, tags)
    if late:
        ctx.note(f"{late}; the set of {wheels.day_of(versions['torch'])} is taken.")
    return Choice("nightly", tuple(f"{name}=={version}" for name, version in versions.items()), index)


def _one_day(ctx: Context, channel: str, index: str, pages: wheels.Pages) -> Choice:
    """The nightly that is asked for by its version."""
    versions = wheels.newest_common_day(pages, target_tags(ctx)) if pages else None
    if versions is None or not wheels.answers(channel, versions["torch"]):
        raise PackageError(
            f"{index} has no set of torch {channel} for this machine.", hint="provision all --torch nightly"
        )
    return Choice(channel, tuple(f"{name}=={version}" for name, version in versions.items()), index)


def read_pages(ctx: Context, index: str, names: Iterable[str]) -> tuple[dict[str, list[wheels.Wheel]], str]:
    """The index's pages of some packages; the second is why they could not be had, empty when they could."""
    import requests

    pages: dict[str, list[wheels.Wheel]] = {}
    for name in names:
        try:
            answer = requests.get(f"{index}/{name}/", timeout=PAGE_TIMEOUT_S, verify=bundle_of(ctx.machine.environ))
        except OSError:  # requests' own errors are, and a bundle of certificates that is not there
            reason = unreachable_because(ctx, index) or "the connection broke"
            return {}, f"cannot be reached ({reason})"
        if answer.status_code == requests.codes.not_found:
            return {}, f"has no {name}"
        if not answer.ok:
            return {}, f"answers {answer.status_code}"
        pages[name] = wheels.parse_index_page(answer.text)
    return pages, ""


def target_tags(ctx: Context) -> frozenset[str]:
    """The wheel tags of the target Python on this machine."""
    macos = None
    if ctx.machine.system == "Darwin":
        version = parse_sw_vers(ctx.machine.run(["/usr/bin/sw_vers"], timeout_s=10).out).version
        macos = (version[0], version[1] if len(version) > 1 else 0)
    return wheels.target_tags(packages.target_python(ctx), macos, "arm64" if macos else ctx.machine.arch)


def _has_cuda(ctx: Context) -> bool:
    return ctx.machine.system != "Darwin" and has_nvidia(ctx)


def _stable(ctx: Context, *, audio: bool, why: str, exact: str = "") -> Choice:
    """Stable torch: from the manifest's index, but for an NVIDIA GPU; from the configured one where it has none."""
    index, channel = ctx.manifest.torch.stable_index.rstrip("/"), exact or "stable"
    if index and not _has_cuda(ctx):
        pages, trouble = read_pages(ctx, index, ("torch", "torchvision", *(("torchaudio",) if audio else ())))
        pins = None if trouble else wheels.stable_pins(pages, target_tags(ctx), exact)
        if pins:
            return Choice(channel, pins, index, why)
        ctx.note(f"{index} {trouble or 'has no such set for this machine'}; the configured package index is taken.")
    if exact:
        pins = (f"torch=={exact}", "torchvision", *((f"torchaudio=={_plain(exact)}",) if audio else ()))
    else:
        pins = _audio_pins(ctx) if audio else ("torch", "torchvision")
    return Choice(channel, pins, "", why)


def _audio_pins(ctx: Context) -> tuple[str, ...]:
    """torchaudio ended at 2.11.0 and does not say which torch it was built for: it is the one of its own number."""
    ran = packages.pip_install(ctx, "--dry-run", "--no-deps", "--upgrade", "--reinstall", "torchaudio")
    found = re.search(r"[+~] torchaudio==(\S+)", ran.out + ran.err)
    if not ran.ok or found is None:
        raise PackageError(
            f"This revision of ComfyUI asks for torchaudio, and none can be had:\n{ran.tail()}",
            hint="provision all --comfyui latest",
        )
    version = _plain(found[1])
    return (f"torch=={version}", "torchvision", f"torchaudio=={version}")


# -- proof ------------------------------------------------------------------------------------------------------


def run_probe(ctx: Context) -> tuple[Ran, TorchProbe | None]:
    """Run the probe by the target Python; None when it did not come to a result."""
    ran = ctx.machine.run([ctx.home.python, *python_flags(ctx), PROBE], timeout_s=PROBE_TIMEOUT_S)
    try:
        return ran, parse_torch_probe(ran.out) if ran.ok else None
    except ValueError:
        return ran, None


def prove(ctx: Context, choice: Choice, wanted: str) -> None:
    """Probe the installed set and write the receipt. Raises ProbeFailed, with what computes wrong."""
    ctx.note("Comparing torch's device with the CPU ...")
    ran, probe = run_probe(ctx)
    if probe is None:
        says = broke_off(ran.code, ran.tail(3))
        raise ProbeFailed(f"torch cannot be used; {says}", hint="provision all --torch stable")
    if probe.failed:
        raise ProbeFailed(
            f"torch {probe.torch} computes wrong on {probe.device}: {describe_failure(probe)}.",
            hint="provision all --torch stable" if choice.channel == "nightly" else "provision all --torch nightly",
        )
    ctx.receipts.write(
        "torch", **proof_facts(ctx), wanted=wanted, got=choice.channel, why=choice.why, torch=probe.torch,
        device=probe.device, mps_built=probe.mps_built, mps_available=probe.mps_available, session=session(ctx),
        worst_error=probe.worst, probe_s=probe.seconds, gflop_s=probe.block_gflop_s, skipped=list(probe.skipped),
        doubtful=[check.says for check in probe.doubtful], when=ctx.machine.timestamp(),
    )  # fmt: skip
    ctx.proofs.keep("torch", proof_facts(ctx), [_computed(probe.torch, probe)])


TORCH = Step(
    "torch", needs=("python_env",), check=check_torch, apply=apply_torch,
    about="torch and torchvision of one build, of the channel asked for, computing right on this device",
)  # fmt: skip
