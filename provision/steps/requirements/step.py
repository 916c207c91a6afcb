"""ComfyUI's own packages: are they what the checked-out commit asks for, and was it seen to import with them?"""

from __future__ import annotations

from collections.abc import Iterable

from provision.command import Fix
from provision.core.finding import Finding, Kind
from provision.core.receipt_kinds import RequirementsReceipt
from provision.core.step import Context, Step
from provision.environment import packages
from provision.steps.requirements import kinds
from provision.steps.requirements.install import install, packages_cost, prove, still_proven
from provision.steps.torch.choice import asks_for_audio
from provision.steps.torch.install import install_torch_set

SHOWN = 5
"""Packages that another version takes the place of, as many as are named."""


def check_requirements(ctx: Context) -> Iterable[Finding]:
    """Are all packages there that this revision asks for, and has it been seen to import?"""
    asked = ctx.home.comfyui / "requirements.txt"
    if not asked.is_file():
        yield _missing(ctx, "ComfyUI's packages follow when ComfyUI is here.", everything=True)
        return
    versions = packages.installed_versions(ctx.home.venv)
    unmet = packages.unmet(packages.asked_packages(asked), versions, packages.target_python(ctx))
    if unmet:
        yield _unmet_finding(ctx, unmet, everything=len(versions) < 10)
        return
    receipt = ctx.receipts.read("requirements", RequirementsReceipt)
    if still_proven(ctx, receipt, versions):
        seen = receipt.when[:10]
        yield kinds.REQ_READY.ok("packages", f"{len(versions)} packages, as this revision asks; it imported on {seen}")
    else:
        yield kinds.REQ_UNPROVEN.fixable(
            "packages", "ComfyUI has not been seen to import with these packages.",
            fix=Fix("It is started with --quick-test-for-ci, which imports everything and ends."),
        )  # fmt: skip


def _unmet_finding(ctx: Context, unmet: list[tuple[str, str | None]], *, everything: bool) -> Finding:
    shown = [(line, have) for line, have in unmet if have][:SHOWN] or unmet[:1]
    what = "; ".join(f"{line} is asked for, {have} is here" if have else f"{line} is missing" for line, have in shown)
    more = f", and {len(unmet) - len(shown)} more" if len(unmet) > len(shown) else ""
    frontend = next((have for line, have in unmet if line.startswith("comfyui-frontend-package")), "")
    kind = kinds.REQ_MISSING
    if len(unmet) == 1 and frontend != "":
        kind = kinds.FRONTEND_MISSING if frontend is None else kinds.FRONTEND_OLD
    return _missing(ctx, f"{what}{more}.", kind=kind, everything=everything)


def _missing(ctx: Context, says: str, *, everything: bool, kind: Kind = kinds.REQ_MISSING) -> Finding:
    return kind.fixable(
        "packages", says,
        fix=Fix("uv installs them as of the revision's date, with torch held."),
        cost=packages_cost(ctx, everything=everything),
    )  # fmt: skip


def apply_requirements(ctx: Context, finding: Finding) -> None:
    """Install what is asked for, or prove that ComfyUI imports. Raises PackageError, EngineError."""
    if finding.kind == kinds.REQ_UNPROVEN:
        prove(ctx)
        return
    if asks_for_audio(ctx) and "torchaudio" not in packages.installed_versions(ctx.home.venv):
        ctx.note("This revision of ComfyUI asks for torchaudio: torch's set is completed with it.")
        install_torch_set(ctx, audio=True)
    install(ctx)


REQUIREMENTS = Step(
    "requirements", needs=("torch", "comfyui"), check=check_requirements, apply=apply_requirements,
    about="the packages that this revision of ComfyUI asks for",
)  # fmt: skip
