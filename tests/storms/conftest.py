"""Storms: a few seeded tries in an ordinary run, all of them with `--storms`."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="session")
def long_storm(pytestconfig: pytest.Config) -> bool:
    """Whether all tries are wanted."""
    return bool(pytestconfig.getoption("--storms"))
