"""What an adopted install asks for: it is somebody else's, so that it is looked at as it is, and changed after a yes.

What this tool adds to it (the model, the workflow) and what it only reads are not asked about; everything else is. An
environment of conda or of the system is never written to: what would have to be installed there goes into one of ours.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from provision.command import Fix, ours
from provision.core.finding import Consent, Finding, Verdict
from provision.core.step import Context, Step
from provision.environment.packages import env_kind
from provision.errors import StartOver
from provision.steps.python_env import kinds as python_env_kinds

IN_PACKAGES = frozenset({"torch", "requirements"})
"""The steps whose other fixes write to the environment."""
IN_FOLDERS = frozenset({"comfyui", "models"})
"""The steps whose other fixes write to the checkout and to the folder of models."""
INSTALL = python_env_kinds.ENV_FOREIGN.id
"""The finding under which it is agreed that packages are installed into a foreign environment: asked about once."""


def with_care(step: Step) -> Step:
    """A step that asks before it changes what is somebody else's."""

    def check(ctx: Context) -> Iterable[Finding]:
        for finding in step.check(ctx):
            yield _asked_first(ctx, step, finding) if ctx.home.adopted is not None else finding

    def apply(ctx: Context, finding: Finding) -> None:
        if finding.kind == python_env_kinds.ENV_MANAGED:
            from provision.steps.python_env.step import apply_python_env

            apply_python_env(ctx, finding)
            raise StartOver(finding.says, hint=ours("all"), step="python_env")
        if step.apply is not None:
            step.apply(ctx, finding)

    return replace(step, check=check, apply=apply)


def _asked_first(ctx: Context, step: Step, finding: Finding) -> Finding:
    if finding.verdict is not Verdict.FIXABLE or finding.kind.adds_only or finding.id in ctx.options.agreed:
        return finding
    if step.name in IN_PACKAGES:
        return _packages(ctx, finding)
    ours = step.name == "comfyui" and ctx.home.code_of_another is None
    if ours or step.name not in IN_FOLDERS:
        return finding
    return _after_a_yes(ctx, finding, finding.id, f"Fix this in {ctx.home.base}?")


def _packages(ctx: Context, finding: Finding) -> Finding:
    prefix = ctx.home.venv_of_another
    if prefix is None:
        return finding
    if env_kind(prefix) != "venv":
        from provision.steps.python_env.step import to_make

        says = f"{finding.says} It is {env_kind(prefix)}'s Python ({prefix}), which provision does not change."
        return _whole_environment(
            ctx, replace(to_make(ctx, python_env_kinds.ENV_MANAGED, says), subject=finding.subject)
        )
    return _after_a_yes(ctx, finding, INSTALL, f"Install packages into {prefix}?")


def _whole_environment(ctx: Context, finding: Finding) -> Finding:
    """The finding with the bytes of all that the new environment will hold."""
    from provision.steps.requirements.install import packages_cost
    from provision.steps.torch.download_size import set_cost

    cost = finding.cost + set_cost(ctx) + packages_cost(ctx)
    what = finding.fix.says if finding.fix is not None else ""
    size = f"about {cost.download_bytes / 10**6:.0f} MB to download"
    return replace(finding, fix=Fix(f"{what} torch and all packages are installed there: {size}."), cost=cost)


def _after_a_yes(ctx: Context, finding: Finding, agreement: str, question: str) -> Finding:
    """FIXABLE where it was agreed to, else BLOCKED, with the question."""
    if ctx.options.yes or agreement in ctx.options.agreed:
        return finding
    what = finding.fix.says if finding.fix is not None else "It can be fixed."
    says = f"{what} Asks first: this changes something not made by provision."
    fix = Fix(says, ours("doctor", "--fix", "--yes"))
    return replace(finding, verdict=Verdict.BLOCKED, fix=fix, consent=Consent(question, agreement))
