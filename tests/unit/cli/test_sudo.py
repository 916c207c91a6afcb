"""sudo in a person's folder is refused; root's own folder, and whoever is no root, are not."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from provision.cli.which_home import check_person
from provision.errors import UsageError

ROOT, JANE = 0, 501


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A folder of Jane's, where root is at work."""
    if os.geteuid() == 0:
        os.chown(tmp_path, JANE, -1)
    monkeypatch.setattr(os, "geteuid", lambda: ROOT)
    return tmp_path


def test_sudo_in_a_persons_folder_is_refused(home: Path) -> None:
    with pytest.raises(UsageError) as refused:
        check_person("all", {"SUDO_UID": str(JANE), "HOME": str(home)})
    assert refused.value.message == f"This runs as root, by sudo, in {home}: what it makes there would belong to root."
    assert "sudo" in refused.value.hint.says


def test_sudo_in_roots_own_folder_is_not(home: Path) -> None:
    owned_by_root = next(path for path in (Path("/root"), Path("/var/root"), Path("/")) if path.exists())
    check_person("all", {"SUDO_UID": str(JANE), "HOME": str(owned_by_root)})


def test_a_true_root_is_not(home: Path) -> None:
    check_person("all", {"HOME": str(home)})
    check_person("all", {"HOME": str(home), "SUDO_UID": "0"})


def test_a_person_is_not(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: JANE)
    check_person("all", {"HOME": str(home), "SUDO_UID": str(JANE)})
