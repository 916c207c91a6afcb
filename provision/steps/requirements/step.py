"""ComfyUI's packages: those that the checked-out commit asks for, seen to import."""

from __future__ import annotations

from collections.abc import Iterable

from provision.comfyui.added_nodes import RECEIPT
from provision.command import Fix
from provision.core.finding import Finding, Kind
from provision.core.receipt_kinds import ComfyReceipt, NodesReceipt, RequirementsReceipt
from provision.core.sentences import dated
from provision.core.step import Context, Step
from provision.environment import packages
from provision.steps.requirements import kinds
from provision.steps.requirements.install import all_but_torch, install, packages_cost, prove, still_proven
from provision.steps.requirements.nodes import lines_of_nodes, unmet_of_nodes, until_of
from provision.steps.torch.choice import asks_for_audio
from provision.steps.torch.install import install_torch_set

SHOWN = 5
"""Packages that another version takes the place of, as many as are named."""


def check_requirements(ctx: Context) -> Iterable[Finding]:
    """Are all packages installed that this revision asks for, and has it been seen to import?"""
    count = len(packages.installed_versions(ctx.home.venv))
    if not (ctx.home.comfyui / "requirements.txt").is_file():
        yield _missing(ctx, "ComfyUI's packages are installed after ComfyUI.", everything=True)
    elif unmet := packages.unmet_here(ctx) + unmet_of_nodes(ctx):
        yield _unmet_finding(ctx, unmet, everything=count < 10)
    elif still_proven(ctx):
        seen = ctx.receipts.read("requirements", RequirementsReceipt).when
        tested = dated(", tested on", seen, ctx.machine.timestamp())
        yield kinds.REQ_READY.ok("packages", f"{count} packages installed, ComfyUI starts{tested}")
    else:
        fix = Fix("Test-start ComfyUI (--quick-test-for-ci).")
        says = "ComfyUI has not been started with these packages yet."
        yield kinds.REQ_UNPROVEN.fixable("packages", says, fix=fix)


def _unmet_finding(ctx: Context, unmet: list[tuple[str, str | None]], *, everything: bool) -> Finding:
    shown = [(line, have) for line, have in unmet if have][:SHOWN] or unmet[:1]
    what = "; ".join(
        f"{line} is required, {have} is installed" if have else f"{line} is missing" for line, have in shown
    )
    more = f", and {len(unmet) - len(shown)} more" if len(unmet) > len(shown) else ""
    frontend = next((have for line, have in unmet if line.startswith("comfyui-frontend-package")), "")
    kind = kinds.REQ_MISSING
    if len(unmet) == 1 and frontend != "":
        kind = kinds.FRONTEND_MISSING if frontend is None else kinds.FRONTEND_OLD
    return _missing(ctx, f"{what}{more}.", kind=kind, everything=everything)


def _missing(ctx: Context, says: str, *, everything: bool, kind: Kind = kinds.REQ_MISSING) -> Finding:
    fix = Fix("Install ComfyUI's packages as of the revision's date; torch is not changed.")
    return kind.fixable("packages", says, fix=fix, cost=packages_cost(ctx, everything=everything))


def apply_requirements(ctx: Context, finding: Finding) -> None:
    """Install the packages, all anew for another revision than they were proven with; or test that ComfyUI imports.

    Raises PackageError, EngineError, HomeError, DiskFull.
    """
    proven_with = ctx.receipts.read("requirements", RequirementsReceipt).commit
    moved = bool(proven_with) and proven_with != ctx.receipts.read("comfyui", ComfyReceipt).commit
    if finding.kind == kinds.REQ_UNPROVEN and not moved:
        prove(ctx)
        return
    if asks_for_audio(ctx) and "torchaudio" not in packages.installed_versions(ctx.home.venv):
        ctx.note("This revision of ComfyUI requires torchaudio: installing it too.")
        install_torch_set(ctx, audio=True)
    nodes = ctx.receipts.read(RECEIPT, NodesReceipt)
    until = "" if moved or not nodes.added else until_of(ctx, nodes)
    install(ctx, lines_of_nodes(ctx), renew=all_but_torch(ctx) if moved else (), until=until)
    if finding.kind == kinds.REQ_UNPROVEN:
        prove(ctx)


REQUIREMENTS = Step(
    "requirements",
    needs=("torch", "comfyui"),
    check=check_requirements,
    apply=apply_requirements,
    about="ComfyUI's requirements",
)
