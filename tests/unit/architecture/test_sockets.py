"""Sockets of the tests fit a Mac, whose TMPDIR is long and a link."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from tests.support.paths import CHECKOUT
from tests.support.sockets import PATH_BYTES, socket_folder

MACS_TMPDIR = "private/var/folders/zz/zyxvpxvq6csfxvn_n0000000000000/T/pytest-of-runner/pytest-0/popen-gw0"
NAMED = re.compile(r"\bAF_UNIX\b|\"tmux\", \"-S\"")
SHORT = {
    "unit/core/test_choices.py": "bound by its name alone, in the current folder",
    "support/forks.py": "a pair without a name",
    "e2e/test_terminal.py": "in a socket_folder",
}


@pytest.mark.skipif(shutil.which("tmux") is None, reason="there is no tmux on this machine")
def test_a_terminal_opens_where_the_folder_for_tests_is_a_macs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / MACS_TMPDIR).mkdir(parents=True)
    (tmp_path / "var").symlink_to(tmp_path / "private/var")
    monkeypatch.setenv("TMPDIR", str(tmp_path / MACS_TMPDIR.removeprefix("private/")))
    monkeypatch.setattr(tempfile, "tempdir", None)
    with socket_folder() as folder:
        tmux = ["tmux", *("-S", str(folder / "tmux")), "-f", "/dev/null"]
        assert len(os.fsencode(os.path.realpath(folder / "tmux"))) < PATH_BYTES
        subprocess.run([*tmux, "new-session", "-d", "sh"], check=True, timeout=20)
        subprocess.run([*tmux, "kill-server"], check=True, timeout=20)


def test_each_socket_with_a_name_has_a_short_one() -> None:
    tests = CHECKOUT / "tests"
    files = {str(path.relative_to(tests)) for path in tests.rglob("*.py") if NAMED.search(path.read_text("utf-8"))}
    assert files - {"unit/architecture/test_sockets.py"} == set(SHORT)
    assert "with socket_folder() as folder:" in (tests / "e2e/test_terminal.py").read_text("utf-8")
