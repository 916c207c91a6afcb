"""The default manifest, as data to spoil."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest

from provision.core.manifest import find_manifest, load_manifest
from provision.errors import ManifestError

NAME = "sdxl-turbo"


def plain() -> dict[str, Any]:
    """The manifest as plain data, anew each time."""
    return tomllib.loads(find_manifest(NAME).read_text(encoding="utf-8"))


def refused_set(*overrides: str) -> ManifestError:
    """How `--set` with these is refused."""
    with pytest.raises(ManifestError) as seen:
        load_manifest(NAME, overrides)
    return seen.value
