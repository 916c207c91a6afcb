"""A real environment with pip, in which the miniature engine runs: what installs into it installs there alone."""

from __future__ import annotations

import shutil
import subprocess
import sys
import venv
from pathlib import Path

from provision.core.home import Home
from tests.support.engine_home import STAND_IN, TORCH
from tests.support.hostile_node import wheel


def give_real_env(home: Home, wheels: Path) -> None:
    """Put a venv with pip in the place of the home's environment: a stand-in torch, a `victim`, the engine's needs.

    The packages of the tests are seen in it by a path file, and not installed in it.
    """
    shutil.rmtree(home.venv)
    venv.create(home.venv, with_pip=True, symlinks=True)
    (site,) = home.venv.glob("lib/python3*/site-packages")
    own = next(path for path in sys.path if path.endswith("site-packages"))
    (site / "tests.pth").write_text(f"{own}\n", encoding="utf-8")
    (site / "torch.py").write_text(STAND_IN, encoding="utf-8")
    (site / "torchvision.py").write_text("", encoding="utf-8")
    for version in ("1.0", "2.0"):
        wheel(wheels, "victim", version)
    wheel(wheels, "canary", "1.0")
    pip(home, "install", "victim==2.0", wheels=wheels)
    record = site / f"torch-{TORCH}.dist-info"
    record.mkdir()
    (record / "METADATA").write_text("Name: torch\n", encoding="utf-8")


def pip(home: Home, *words: str, wheels: Path) -> None:
    """The environment's own pip, with a folder of wheels as its index."""
    found = ("--no-index", "--find-links", str(wheels)) if words[0] == "install" else ()
    subprocess.run([home.python, "-m", "pip", *words, *found], check=True, capture_output=True)
