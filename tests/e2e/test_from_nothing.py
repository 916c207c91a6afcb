"""From nothing to the image: an empty home, no git and no Python on the PATH, and a network of one package index."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
import time
from itertools import pairwise
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from PIL import Image

from tests.support.apart import Door, cut_off, why_not
from tests.support.bare_checkout import BASE_PYTHON, INSTALL

TOOLS = "awk cat chmod cp curl cut df dirname env expr getconf grep head id ln ls mkdir mv ps readlink rm rmdir sed sh"
TOOLS += " sha256sum sleep sort tail touch tr uname unzip"
"""What every Mac and Linux has; no git, no Python, no uv."""
CERTIFICATES = ("SSL_CERT_FILE", "SSL_CERT_DIR", "CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE")
INDEXES = ("UV_DEFAULT_INDEX", "UV_INDEX_URL", "PIP_INDEX_URL")

TIMEOUT_S = 540

SCRIPT = """
set -e
sh "$1"
"$HOME/.local/bin/provision" all --rehearse --yes --stop
"""


def index_hosts() -> list[str]:
    """The package index that is configured, else PyPI."""
    named = [urlsplit(os.environ[name]).hostname for name in INDEXES if os.environ.get(name)]
    return [str(name) for name in named] or ["pypi.org", "files.pythonhosted.org"]


def programs(folder: Path) -> Path:
    folder.mkdir()
    for name in TOOLS.split():
        if (found := shutil.which(name)) is not None:
            (folder / name).symlink_to(found)
    return folder


PARTS = {
    "Installing provision": "install.sh begins",
    "Downloading uv": "uv",
    "Downloading Python packages": "the tool's packages",
    "Installed provision": "all --rehearse",
}
"""The lines with which a part begins, and its name."""


def told_by_part(running: subprocess.Popen[str], door: Door) -> tuple[str, dict[str, tuple[float, int]]]:
    """All that a command says until it ends, and what each part took: seconds, and bytes from outside."""
    assert running.stdout is not None
    limit = threading.Timer(TIMEOUT_S, running.kill)
    limit.start()
    said, begun = "", [("start", time.monotonic(), 0)]
    with running.stdout as lines:
        for line in lines:
            said += line
            if (part := next((PARTS[first] for first in PARTS if line.startswith(first)), None)) is not None:
                begun.append((part, time.monotonic(), door.bytes_in))
    running.wait()
    limit.cancel()
    begun.append(("end", time.monotonic(), door.bytes_in))
    lengths = {part: (then - at, after - before) for (part, at, before), (_, then, after) in pairwise(begun)}
    return said, lengths


def test_from_nothing_to_the_image(tmp_path: Path) -> None:
    if missing := why_not():
        pytest.skip(missing)
    home = tmp_path / "a home"
    home.mkdir()
    kept = {name: os.environ[name] for name in (*CERTIFICATES, *INDEXES) if name in os.environ}
    given = {"HOME": str(home), "PATH": str(programs(tmp_path / "programs")), "LANG": "C.UTF-8"}
    python = {"UV_PYTHON_SEARCH_PATH": str(BASE_PYTHON.parent)}  # in place of Astral's, which is no package index
    argv = [str(shutil.which("sh")), "-c", SCRIPT, "sh", str(INSTALL)]
    with cut_off(argv, kept | given | python, index_hosts(), tmp_path) as (running, door):
        said, parts = told_by_part(running, door)
    assert running.returncode == 0, said
    with Image.open(home / "provision-rehearsal" / "first-image.png") as image:
        assert image.size == (512, 512)
    assert door.asked <= door.hosts, "somewhere else was asked for"
    assert not list((home / "provision-rehearsal" / "ComfyUI").glob(".git"))
    for part, (seconds, bytes_in) in parts.items():
        print(f"\n{part}: {seconds:.1f} s, {bytes_in / 1e6:.1f} MB from the package index", end="")
