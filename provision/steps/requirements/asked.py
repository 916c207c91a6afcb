"""What the wanted revision of ComfyUI asks for: by its checkout, or by its git host where it is not here yet."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from provision.command import Fix, ours
from provision.core.receipt_kinds import ComfyReceipt
from provision.core.step import Context
from provision.environment.resolution import name_of
from provision.environment.torch_family import TORCH
from provision.errors import GitError, HubRefused, NetworkError, ProvisionError, UsageError
from provision.system.strict import read_text

FILE = "requirements.txt"


@dataclass(frozen=True, slots=True)
class Asked:
    """ComfyUI's requirement lines, their origin in words, and the day up to which packages are taken."""

    lines: tuple[str, ...]
    source: str
    until: str = ""

    @property
    def audio(self) -> bool:
        """Whether torchaudio is among them."""
        return any(name_of(line) == "torchaudio" for line in self.lines)

    @property
    def others(self) -> tuple[str, ...]:
        """The lines without torch's set, which is resolved first."""
        return tuple(line for line in self.lines if name_of(line) not in TORCH)


def read_asked(ctx: Context, file: Path | None) -> Asked:
    """ComfyUI's requirements from `file`, else from the git host, else from the home's checkout.

    Raises UsageError for a file that cannot be read, GitError when there is neither host nor checkout.
    """
    from provision.download.source_archive import read_remote_file

    comfy = ctx.manifest.comfyui
    if file is not None:
        try:
            return Asked(requirement_lines(read_text(file.expanduser())), str(file))
        except (OSError, ValueError, RuntimeError) as error:  # RuntimeError: the home of a user who is not there
            raise UsageError(
                f"{file} cannot be read: {error}.", hint=Fix("Choose another file: --requirements FILE")
            ) from error
    try:
        found = read_remote_file(ctx, comfy.url, comfy.ref, FILE)
    except (GitError, NetworkError, HubRefused) as error:
        return _of_checkout(ctx, error)
    until = _until(ctx, found.date)
    source = f"{found.revision} of {comfy.url}, packages as of {until}"
    return Asked(requirement_lines(found.text), source, until)


def wanted_is_here(ctx: Context) -> bool:
    """Whether the checkout is of the revision that is wanted, so that nobody need be asked."""
    receipt = ctx.receipts.read("comfyui", ComfyReceipt)
    as_it_is = ctx.home.code_of_another is not None or receipt.ref in ("", ctx.manifest.comfyui.ref)
    return as_it_is and (ctx.home.comfyui / FILE).is_file()


def _of_checkout(ctx: Context, error: ProvisionError) -> Asked:
    """The requirements of the home's checkout. Raises `error`, the git host's, where there is none."""
    here, receipt = ctx.home.comfyui / FILE, ctx.receipts.read("comfyui", ComfyReceipt)
    if not here.is_file():
        hint = Fix("Pass the requirements yourself:", ours("plan", "--for", "TARGET", "--requirements", "FILE"))
        raise GitError(error.message, hint=hint) from error
    ctx.note(f"{error.sentence} Using the installed checkout instead.")
    until = _until(ctx, receipt.date) if receipt.date else ""
    as_of = f", packages as of {until}" if until else ""
    source = f"{receipt.name or 'the revision'} in {ctx.home.comfyui}{as_of}"
    return Asked(requirement_lines(read_text(here)), source, until)


def _until(ctx: Context, date: str) -> str:
    """The commit's day plus the manifest's days, as in the requirements step; empty for an invalid date."""
    try:
        days = timedelta(days=ctx.manifest.comfyui.requirements_days)
        return (datetime.fromisoformat(date) + days).date().isoformat()
    except (ValueError, OverflowError):
        return ""


def requirement_lines(text: str) -> tuple[str, ...]:
    """The lines of a requirements file, without options and addresses: only an index is asked."""
    lines = (line.split(" #")[0].strip() for line in text.splitlines())
    return tuple(line for line in lines if line and not line.startswith(("#", "-")) and "://" not in line)
