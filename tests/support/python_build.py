"""A stand-in for a build of python-build-standalone: its layout and name, and the tests' own Python as its program."""

from __future__ import annotations

import platform
import subprocess
import tarfile
from pathlib import Path

from tests.support.bare_checkout import BASE_PYTHON

TRIPLE = {"Linux": "unknown-linux-gnu", "Darwin": "apple-darwin"}[platform.system()]
ARCH = {"arm64": "aarch64"}.get(platform.machine(), platform.machine())


def python_version() -> str:
    """The version of the tests' own Python, `3.11.7`."""
    return subprocess.run([BASE_PYTHON, "-V"], capture_output=True, text=True, check=True).stdout.split()[1]


def minor() -> str:
    """The same as `3.11`."""
    return ".".join(python_version().split(".")[:2])


def write_build(bundle: Path, scratch: Path) -> Path:
    """Write the build where a bundle has it, and return its path."""
    tree, library = scratch / "python", scratch / "python" / "lib" / f"python{minor()}"
    library.mkdir(parents=True)
    head = "# system configuration generated and used by the sysconfig module\n"
    (library / f"_sysconfigdata__{platform.system().lower()}_.py").write_text(f"{head}build_time_vars = {{}}\n")
    program = tree / "bin" / f"python{minor()}"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec "{BASE_PYTHON}" "$@"\n')
    program.chmod(0o755)
    place = bundle / "python" / "20261110"
    place.mkdir(parents=True)
    path = place / f"cpython-{python_version()}+20261110-{ARCH}-{TRIPLE}-install_only_stripped.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        archive.add(tree, "python")
    return path
