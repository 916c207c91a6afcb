"""Packages that a start of ComfyUI changed, as custom nodes do; put back after a yes."""

from __future__ import annotations

from collections.abc import Iterable

from provision.command import Fix
from provision.core.finding import Finding
from provision.core.step import Context, Look
from provision.environment import packages
from provision.environment.changed_packages import RECEIPT, changed, says, when
from provision.errors import PackageError
from provision.steps.requirements import kinds


def check_changed(ctx: Context) -> Iterable[Finding]:
    """Did a start change packages, and are they still as it left them?"""
    changes = changed(ctx)
    if not changes:
        return
    told = f"Starting ComfyUI changed {says(changes)} (on {when(ctx)}; custom nodes do that)."
    fix = Fix("Put them back; torch is not changed.")
    writable = ctx.home.venv_of_another is None or packages.env_kind(ctx.home.venv) == "venv"
    if kinds.PACKAGES_CHANGED.id in ctx.options.agreed:
        yield kinds.PACKAGES_CHANGED.fixable("packages", told, fix=fix)
    elif writable:
        yield kinds.PACKAGES_CHANGED.warn("packages", told, fix=fix, asks="Put them back?")
    else:
        yield kinds.PACKAGES_CHANGED.warn("packages", told, fix=Fix("provision installs nothing there."))


def put_back(ctx: Context, finding: Finding) -> None:
    """Install the versions from before, remove what came; torch is its own step's.

    Raises PackageError, CommandMissing.
    """
    changes = {name: versions for name, versions in changed(ctx).items() if name not in packages.TORCH_SET}
    came = [name for name, (before, _) in changes.items() if not before]
    exact = {name: f"{name}=={before}" for name, (before, _) in changes.items() if before and " " not in before}
    anew = [word for name in exact for word in ("--reinstall-package", name)]
    if exact:
        packages.must_install(ctx, "--no-deps", *anew, *exact.values(), what="The previous packages")
    if came:
        ran = packages.run_uv(ctx, "pip", "uninstall", "--python", ctx.home.python, *came)
        if not ran.ok:
            raise PackageError(f"{', '.join(came)} could not be removed:\n{ran.tail()}", hint=packages.LOG_HINT)
    ctx.receipts.drop(RECEIPT)


CHANGED = Look(check_changed, (kinds.PACKAGES_CHANGED,), put_back)
