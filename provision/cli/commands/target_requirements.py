"""This tool's own requirements, for a plan for another Mac."""

from __future__ import annotations

from provision.system.target import Target

TOOL_PYTHONS = (11, 14)
"""The oldest and newest minor version of Python that bin/provision accepts for the tool's own environment."""


def tool_requirements() -> tuple[str, ...]:
    """The tool's own requirements, from its metadata."""
    from importlib.metadata import requires

    return tuple(line for line in requires("comfy-provision") or () if "extra ==" not in line)


def tool_python(target: Target) -> str:
    """The Python of the tool's own environment: the target's, or the nearest that the tool accepts."""
    low, high = TOOL_PYTHONS
    return f"3.{min(max(int(target.python.partition('.')[2]), low), high)}"
