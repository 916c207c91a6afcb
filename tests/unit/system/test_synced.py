"""fsync as far as each system goes; macOS's is scripted."""

from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path

import pytest

from provision.core.receipts import write_bytes
from provision.system.synced import sync

FULL = 51


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """What was asked of the system, on one that knows F_FULLFSYNC."""
    found: list[object] = []
    monkeypatch.setattr(fcntl, "F_FULLFSYNC", FULL, raising=False)
    monkeypatch.setattr(fcntl, "fcntl", lambda handle, command: found.append(command))
    monkeypatch.setattr(os, "fsync", lambda handle: found.append("fsync"))
    return found


def test_on_a_mac_the_drive_is_asked(calls: list[object], tmp_path: Path) -> None:
    write_bytes(tmp_path / "receipt.json", b"{}")
    assert calls == [FULL]


def test_a_file_system_that_does_not_know_it_is_synced_as_usual(
    calls: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(handle: int, command: int) -> int:
        raise OSError(errno.ENOTSUP, "not supported")

    monkeypatch.setattr(fcntl, "fcntl", refuse)
    sync(1)
    assert calls == ["fsync"]


def test_elsewhere_it_is_fsync(monkeypatch: pytest.MonkeyPatch, calls: list[object]) -> None:
    monkeypatch.delattr(fcntl, "F_FULLFSYNC")
    sync(1)
    assert calls == ["fsync"]
