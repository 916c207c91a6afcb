"""bin/provision.command, as the Finder has Terminal start it: by its whole path, in the home folder."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.bare_checkout import BASH, BIN


@pytest.fixture
def command(tmp_path: Path) -> Path:
    """In an unpacked zip whose path has spaces, with a stand-in for provision."""
    folder = tmp_path / "provision main" / "bin"
    folder.mkdir(parents=True)
    shutil.copy(BIN / "provision.command", folder)
    (folder / "provision").write_text('#!/bin/sh\necho "$0" "$@"\nexit 1\n')
    (folder / "provision").chmod(0o755)
    return folder / "provision.command"


def test_it_runs_all_and_stays_readable(command: Path, tmp_path: Path) -> None:
    keyboard, terminal = os.openpty()
    with subprocess.Popen(
        [str(BASH), command], stdin=terminal, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=tmp_path
    ) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        assert running.stdout.readline() == f"{command.with_name('provision')} all\n".encode()
        assert running.stderr.read(len("\nPress Return")) == b"\nPress Return"
        assert running.poll() is None, "the window is open"
        os.write(keyboard, b"\n")
        assert running.wait(timeout=30) == 1
    os.close(keyboard)
    os.close(terminal)


def test_without_a_terminal_it_waits_for_nobody(command: Path) -> None:
    ran = subprocess.run([str(BASH), command], stdin=subprocess.DEVNULL, capture_output=True, timeout=30, check=False)
    assert (ran.returncode, ran.stderr) == (1, b"")


def test_it_can_be_opened() -> None:
    assert os.access(BIN / "provision.command", os.X_OK)
