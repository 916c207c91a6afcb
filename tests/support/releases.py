"""Further releases of the engine, put into the world of a rehearsed home."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from provision.rehearsal.engine_repo import Release, _commit, read_source
from provision.rehearsal.git_repo import add_commit

DAY = datetime(2026, 11, 20, 12, tzinfo=UTC)


def add_release(home: Path, version: str, changes: Mapping[str, str]) -> str:
    """Publish the engine with other texts in some of its files; returns the release's tag."""
    (bare,) = home.glob("state/**/git/*/ComfyUI.git")
    source = read_source() | {name: text.encode() for name, text in changes.items()}
    commit = _commit(Release(version, DAY, f"v{version}"), source)
    add_commit(bare, commit, commit.files)
    return commit.tag


def source_of(name: str) -> str:
    """A file of the engine."""
    return read_source()[name].decode()
