"""What an adopted install asks for: it is somebody else's, so that it is looked at as it is, and changed after a yes.

What this tool adds to it (the model, the workflow) and what it only reads are
not asked about; everything else is. An environment of conda or of the system is never written to: what would have to be
installed there goes into an environment of ours.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from provision.adoption import words_for
from provision.errors import StartOver
from provision.finding import Finding, Fix, Verdict
from provision.packages import env_kind
from provision.step import Context, Step
from provision.steps.python_env import apply_python_env, to_make

ADDS_ONLY = frozenset({
    "ckpt-missing", "ckpt-unproven", "torch-unproven", "req-unproven", "comfyui-moved", "comfyui-missing",
    "venv-missing", "venv-dangling", "py-rosetta", "py-too-old", "py-too-new", "py-bad-patch", "env-managed",
})  # fmt: skip
"""Findings whose fix changes nothing of what its owner made: it adds a file, proves, records, or works in the home."""
PACKAGES_OF = frozenset({"torch", "requirements"})
"""The steps whose other fixes write to the environment."""
INSTALL = "env-foreign"
"""The finding under which it is agreed that packages are installed into a foreign environment: asked about once."""


def with_care(step: Step) -> Step:
    """A step that asks before it changes what is somebody else's."""

    def check(ctx: Context) -> Iterable[Finding]:
        for finding in step.check(ctx):
            yield _asked_first(ctx, step, finding) if ctx.home.adopted is not None else finding

    def apply(ctx: Context, finding: Finding) -> None:
        if finding.id == "env-managed":
            apply_python_env(ctx, finding)
            raise StartOver(finding.says, hint="provision all", step="python_env")
        if step.apply is not None:
            step.apply(ctx, finding)

    return replace(step, check=check, apply=apply)


def _asked_first(ctx: Context, step: Step, finding: Finding) -> Finding:
    if finding.verdict is not Verdict.FIXABLE or finding.id in ADDS_ONLY:
        return finding
    if step.name in PACKAGES_OF:
        return _packages(ctx, finding)
    if step.name == "comfyui" and ctx.home.code_of_another is None:
        return finding
    return _after_a_yes(ctx, finding, finding.id, f"Mend that in {ctx.home.base}?")


def _packages(ctx: Context, finding: Finding) -> Finding:
    prefix = ctx.home.venv_of_another
    if prefix is None:
        return finding
    if env_kind(prefix) != "venv":
        says = f"{finding.says} It is {env_kind(prefix)}'s Python ({prefix}), where this tool installs nothing."
        return replace(to_make(ctx, "env-managed", says), subject=finding.subject)
    return _after_a_yes(ctx, finding, INSTALL, f"Install packages into {prefix}?")


def _after_a_yes(ctx: Context, finding: Finding, agreement: str, question: str) -> Finding:
    """FIXABLE where it was agreed to, else BLOCKED, with the question."""
    if ctx.options.yes or agreement in ctx.options.agreed:
        return finding
    says = f"{finding.fix.says if finding.fix else 'It can be mended.'} After a yes: this tool did not make what it changes."
    fix = Fix(says, ("provision", "doctor", "--fix", "--yes", *words_for(ctx.home)))
    facts = {**finding.facts, "asks": question, "agrees": agreement}
    return replace(finding, verdict=Verdict.BLOCKED, fix=fix, facts=facts)
