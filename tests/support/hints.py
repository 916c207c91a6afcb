"""What a person reads of a hint."""

from __future__ import annotations

from provision.command import Command, Fix
from provision.output.hints import HERE


def said(what: Fix | Command | None) -> str:
    """A fix or a command as it is shown for the usual home."""
    return HERE.text(what)
