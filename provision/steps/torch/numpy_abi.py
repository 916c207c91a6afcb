"""Packages that are known not to work together, and that no resolver knows of; torch with macOS is in known_bad."""

from __future__ import annotations

import re
from collections.abc import Iterable

from provision.command import Fix, program
from provision.core.finding import Cost, Finding
from provision.core.step import Context, Look
from provision.environment import packages
from provision.steps.torch import kinds

NUMPY2_FROM = (2, 3)
"""The first torch that is built for NumPy 2 (ComfyUI issue 5664)."""


def release_of(version: str) -> tuple[int, ...]:
    """`2.16.0.dev20261120` as its first two numbers; a version that is none is newer than all."""
    found = re.match(r"(\d+)\.(\d+)", version)
    return (int(found[1]), int(found[2])) if found else (9999,)


def check_known_pairs(ctx: Context) -> Iterable[Finding]:
    """torch with NumPy, read from the names of what is installed."""
    versions = packages.installed_versions(ctx.home.venv)
    torch, numpy = versions.get("torch", ""), versions.get("numpy", "")
    if not torch:
        return
    if numpy and release_of(numpy) >= (2,) and release_of(torch) < NUMPY2_FROM:
        says = f"torch {torch} is built for NumPy 1, but NumPy {numpy} is installed: `Numpy is not available`."
        fix = Fix("Install NumPy 1.", program("uv", "pip", "install", "numpy<2"))
        yield kinds.NUMPY_ABI.fixable("numpy", says, fix=fix, cost=Cost(16 * 10**6, 60 * 10**6))


def apply_known_pairs(ctx: Context, finding: Finding) -> None:
    """Install NumPy 1, torch held. Raises PackageError."""
    torch = packages.installed_versions(ctx.home.venv)["torch"]
    packages.must_install(ctx, "numpy<2", f"torch=={torch}", what="NumPy 1")


KNOWN_PAIRS = Look(check_known_pairs, (kinds.NUMPY_ABI,), apply_known_pairs)
