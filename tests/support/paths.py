"""Where things lie in the checkout."""

from __future__ import annotations

from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
PACKAGE = CHECKOUT / "provision"
TESTS = CHECKOUT / "tests"
NOT_EVEN_ROOTS = Path("/proc" if Path("/proc/self").exists() else "/System")
"""A folder in which nobody can make anything."""
FACTS = TESTS / "facts"
"""What tools have answered, recorded."""
