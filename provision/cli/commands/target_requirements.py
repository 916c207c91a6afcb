"""What a plan for another Mac asks the index for: torch's set, ComfyUI's requirements, the tool's own."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

from provision.command import Fix, ours
from provision.core.receipt_kinds import ComfyReceipt
from provision.core.step import Context
from provision.environment import wheel_index
from provision.environment.resolution import name_of
from provision.errors import GitError, PackageError, UsageError
from provision.system.strict import read_text
from provision.system.target import Target

TORCH = ("torch", "torchvision", "torchaudio")
TOOL_PYTHONS = (11, 14)
"""The minor versions of Python that bin/provision makes the tool's own environment of, whatever ComfyUI's is."""

# -- ComfyUI and the tool -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Asked:
    """ComfyUI's requirement lines, where they come from in words, and the day up to which packages are taken."""

    lines: tuple[str, ...]
    source: str
    until: str = ""

    @property
    def audio(self) -> bool:
        """Whether torchaudio is among them."""
        return any(name_of(line) == "torchaudio" for line in self.lines)

    @property
    def others(self) -> tuple[str, ...]:
        """The lines without torch's set, which is chosen before."""
        return tuple(line for line in self.lines if name_of(line) not in TORCH)


def read_asked(ctx: Context, file: Path | None) -> Asked:
    """ComfyUI's requirements: from the file, else of the revision on the git host, else of the home's checkout.

    Raises UsageError for a file that cannot be read, GitError when there is neither host nor checkout.
    """
    from provision.comfyui.git_remote import read_remote_file

    comfy = ctx.manifest.comfyui
    if file is not None:
        try:
            return Asked(requirement_lines(read_text(file.expanduser())), str(file))
        except (OSError, ValueError, RuntimeError) as error:  # RuntimeError: the home of a user who is not there
            raise UsageError(
                f"{file} cannot be read: {error}.", hint=Fix("Name another file: --requirements FILE")
            ) from error
    try:
        found = read_remote_file(comfy.url, comfy.ref, "requirements.txt", ctx.machine.environ)
    except GitError as error:
        return _of_checkout(ctx, error)
    until = _until(ctx, found.date)
    source = f"{found.revision} of {comfy.url}, packages as of {until}"
    return Asked(requirement_lines(found.text), source, until)


def _of_checkout(ctx: Context, error: GitError) -> Asked:
    """The requirements of the home's checkout, in place of a host that failed with `error`, which is raised without."""
    here, receipt = ctx.home.comfyui / "requirements.txt", ctx.receipts.read("comfyui", ComfyReceipt)
    if not here.is_file():
        hint = Fix("Give them yourself:", ours("plan", "--for", "TARGET", "--requirements", "FILE"))
        raise GitError(error.message, hint=hint) from error
    ctx.note(f"{error.message} The checkout in the home is read in its place.")
    until = _until(ctx, receipt.date) if receipt.date else ""
    as_of = f", packages as of {until}" if until else ""
    source = f"{receipt.name or 'the revision'} in {ctx.home.comfyui}{as_of}"
    return Asked(requirement_lines(read_text(here)), source, until)


def _until(ctx: Context, date: str) -> str:
    """The commit's day plus the manifest's days, as the requirements step takes it; empty for what is no day."""
    try:
        days = timedelta(days=ctx.manifest.comfyui.requirements_days)
        return (datetime.fromisoformat(date) + days).date().isoformat()
    except (ValueError, OverflowError):
        return ""


def requirement_lines(text: str) -> tuple[str, ...]:
    """The requirements of a requirements file; options and addresses are left out: an index is asked, nothing else."""
    lines = (line.split(" #")[0].strip() for line in text.splitlines())
    return tuple(line for line in lines if line and not line.startswith(("#", "-")) and "://" not in line)


def tool_requirements() -> tuple[str, ...]:
    """What the tool itself needs, as its package says."""
    from importlib.metadata import requires

    return tuple(line for line in requires("comfy-provision") or () if "extra ==" not in line)


def tool_python(target: Target) -> str:
    """The Python of the tool's own environment: the target's where the tool accepts it, else the nearest."""
    low, high = TOOL_PYTHONS
    return f"3.{min(max(int(target.python.partition('.')[2]), low), high)}"


# -- torch --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TorchWish:
    """The requirement lines of torch's set, the index that has them (empty: the configured one), and what to tell."""

    lines: tuple[str, ...]
    index: str = ""
    channel: str = "stable"
    notes: tuple[str, ...] = ()


def choose_torch(ctx: Context, target: Target, *, audio: bool) -> TorchWish:
    """What `--torch` means for the target. A nightly index that cannot be reached is a note, and stable is taken.

    Raises PackageError when the nightly of a day is asked for and not there.
    """
    from provision.steps.torch.choice import read_pages

    channel = ctx.manifest.torch.channel
    day = wheel_index.pinned_day(channel)
    if channel != "nightly" and not day:
        return _stable(ctx, target, "" if channel == "stable" else channel, audio=audio)
    index, tags = ctx.manifest.torch.nightly_index.rstrip("/"), _tags(target)
    pages, trouble = read_pages(ctx, index, _names(audio=audio))
    if day:
        pages = {name: [wheel for wheel in found if wheel.day == day] for name, found in pages.items()}
    days = [] if trouble else wheel_index.whole_days(pages, tags)
    if days:
        lines = tuple(f"{name}=={version}" for name, version in days[0].items())
        late = wheel_index.passed_over(pages, tags, wheel_index.day_of(days[0]["torch"]))
        return TorchWish(lines, index, "nightly", (f"{late[0]}; an older set is taken.",) if late else ())
    why = f"The nightly index {trouble or f'has no such set for {target.says}'}"
    if day:
        raise PackageError(
            f"{why}: torch {channel} cannot be had.", hint=ours("plan", "--for", target.name, "--torch", "stable")
        )
    stable = _stable(ctx, target, "", audio=audio)
    return replace(stable, notes=(f"{why}: stable torch is planned in its place.", *stable.notes))


def _stable(ctx: Context, target: Target, exact: str, *, audio: bool) -> TorchWish:
    """The stable set: from the manifest's index, from the configured one where that has none."""
    from provision.steps.torch.choice import read_pages

    index = ctx.manifest.torch.stable_index.rstrip("/")
    notes: tuple[str, ...] = ()
    if index:
        pages, trouble = read_pages(ctx, index, _names(audio=audio))
        pins = None if trouble else wheel_index.stable_pins(pages, _tags(target), exact)
        if pins:
            return TorchWish(pins, index, exact or "stable")
        notes = (f"{index} {trouble or 'has no such set'}: the configured package index is asked.",)
    same = f"=={exact.partition('+')[0]}" if exact else ""
    lines = (f"torch=={exact}" if exact else "torch", "torchvision", *((f"torchaudio{same}",) if audio else ()))
    return TorchWish(lines, "", exact or "stable", notes)


def _names(*, audio: bool) -> tuple[str, ...]:
    return TORCH if audio else TORCH[:2]


def _tags(target: Target) -> frozenset[str]:
    return wheel_index.target_tags(target.python, target.macos, target.arch)
