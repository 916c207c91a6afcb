"""What a command says of its own environment."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.paths import CHECKOUT

LACKING = """
import sys
from pathlib import Path
sys.prefix = sys.argv[1]
from provision.cli.exit_codes import exit_codes
from provision.output.console import Console
with exit_codes(Console()):
    raise ModuleNotFoundError("No module named 'git'", name="git")
"""
"""A package of the tool's own is found to be gone in the middle of a command."""


def lacking(prefix: Path) -> tuple[int, str]:
    argv = [sys.executable, "-c", LACKING, str(prefix), "status"]
    ended = subprocess.run(argv, cwd=CHECKOUT, capture_output=True, text=True, timeout=60, check=False)
    return ended.returncode, " ".join((ended.stdout + ended.stderr).split())


@pytest.mark.parametrize(
    ("marked_by", "anew"),
    [
        ("comfy-provision/uv-receipt.toml", "uv tool upgrade --reinstall comfy-provision"),
        ("comfy-provision/pipx_metadata.json", "pipx reinstall comfy-provision"),
        ("Cellar/comfy-provision/0.1.0/libexec/pyvenv.cfg", "brew reinstall comfy-provision"),
        ("env-7/pyvenv.cfg", "-m pip install --force-reinstall comfy-provision"),
    ],
)
def test_a_package_that_is_gone_is_no_bug(tmp_path: Path, marked_by: str, anew: str) -> None:
    mark = tmp_path / marked_by
    mark.parent.mkdir(parents=True)
    mark.touch()
    code, said = lacking(mark.parent)
    assert code == 1
    assert "provision's own environment is broken (No module named 'git')." in said
    assert anew in said


def test_what_install_sh_installed_is_installed_by_it_again(tmp_path: Path) -> None:
    (tmp_path / "comfy-provision" / "env-7").mkdir(parents=True)
    (tmp_path / "comfy-provision" / "uv").touch()
    code, said = lacking(tmp_path / "comfy-provision" / "env-7")
    assert code == 1
    (line,) = re.findall(r"curl -fsSL https://\S+/install\.sh \| sh", said)
    assert line in (CHECKOUT / "install.sh").read_text(encoding="utf-8")


def test_the_environment_of_a_checkout_is_made_anew_by_the_next_start(tmp_path: Path) -> None:
    stamp = tmp_path / "env.stamp"
    stamp.touch()
    code, said = lacking(tmp_path / "env-1")
    assert code == 1
    assert "The same command makes it anew" in said
    assert not stamp.exists()
