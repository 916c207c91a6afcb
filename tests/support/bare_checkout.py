"""A copy of bin/ with a stand-in package, on a machine that has only what a test gives it.

Nothing here reaches a network: the stand-in has no dependencies and its own build backend, and uv is told offline.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from uv import find_uv_bin

from tests.support.paths import CHECKOUT

BIN = CHECKOUT / "bin"
UV = find_uv_bin()
# macOS ships bash 3.2 as /bin/bash; elsewhere BASH_UNDER_TEST can name one.
BASH = os.environ.get("BASH_UNDER_TEST") or ("/bin/bash" if sys.platform == "darwin" else shutil.which("bash"))
BASE_PYTHON = Path(getattr(sys, "_base_executable", sys.executable)).resolve()
TOOLS = ("cat", "dirname", "env", "grep", "id", "ls", "mkdir", "mv", "readlink", "rm", "sh", "sleep", "tail")

PYPROJECT = """\
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]

[project]
name = "provision"
version = "9.8.7"

[dependency-groups]
test = []
"""
BACKEND = '''\
"""Just enough of a build backend for an editable install without any network."""
import pathlib, zipfile

def build_editable(directory, config_settings=None, metadata_directory=None):
    name = "provision-9.8.7-py3-none-any.whl"
    info = "provision-9.8.7.dist-info/"
    with zipfile.ZipFile(pathlib.Path(directory, name), "w") as wheel:
        wheel.writestr("provision.pth", str(pathlib.Path.cwd()) + "\\n")
        wheel.writestr(info + "METADATA", "Metadata-Version: 2.1\\nName: provision\\nVersion: 9.8.7\\n")
        wheel.writestr(info + "WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        wheel.writestr(info + "RECORD", "")
    return name

build_wheel = build_editable
'''
STAND_IN = """\
import json, os, sys
print(json.dumps({"argv": sys.argv[1:], "cwd": os.getcwd(), "prefix": sys.prefix, "isolated": sys.flags.isolated}))
"""


@dataclass
class Bare:
    """A machine that has only what the test gives it."""

    root: Path
    checkout: Path
    environ: dict[str, str] = field(default_factory=dict)
    shell_options: tuple[str, ...] = ()

    @property
    def programs(self) -> Path:
        return self.root / "programs"

    @property
    def script(self) -> Path:
        return self.checkout / "bin" / "provision"

    @property
    def tool(self) -> Path:
        return self.checkout / ".tool"

    @property
    def uv_log(self) -> list[str]:
        log = self.root / "uv.log"
        return log.read_text().splitlines() if log.exists() else []

    def give(self, name: str, body: str, folder: Path | None = None) -> Path:
        """Puts a program on the PATH. `$REAL_UV` and `$ROOT` are set for it."""
        program = (folder or self.programs) / name
        program.parent.mkdir(parents=True, exist_ok=True)
        program.unlink(missing_ok=True)
        program.write_text(f"#!/bin/sh\nREAL_UV='{UV}' ROOT='{self.root}'\n{body}\n")
        program.chmod(0o755)
        return program

    def give_uv(self) -> Path:
        return self.give("uv", 'echo "$*" >>"$ROOT/uv.log"\nexec "$REAL_UV" "$@"')

    def give_broken_uv(self) -> Path:
        return self.give("uv", 'echo "$*" >>"$ROOT/uv.log"\necho LOUD >&2\nexit 127')

    def give_macos(self, *, tools: bool) -> None:
        """`uname` and its like as a Mac has them; with or without the Command Line Tools."""
        self.give("uname", "echo Darwin")
        self.give("sysctl", "echo 1")
        self.give("xcode-select", 'echo "$1" >>"$ROOT/xcode.log"\n[ "$1" = -p ] && echo "$ROOT/clt"')
        if tools:
            self.give("git", "exit 0", self.root / "clt" / "usr" / "bin")

    def offer_uv_wheel(self) -> dict[str, str]:
        """A wheel of uv that pip finds without a network, and the settings that make pip look there."""
        wheels = self.root / "wheels"
        wheels.mkdir()
        info = "uv-99.0.dist-info"
        with zipfile.ZipFile(wheels / "uv-99.0-py3-none-any.whl", "w") as wheel:
            program = zipfile.ZipInfo("uv-99.0.data/scripts/uv")
            program.external_attr = 0o100755 << 16
            wheel.writestr(program, f'#!/bin/sh\nexec "{UV}" "$@"\n')
            wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: uv\nVersion: 99.0\n")
            wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: false\nTag: py3-none-any\n")
            wheel.writestr(f"{info}/RECORD", "")
        # pip splits this setting at spaces; a file address has none
        return {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": wheels.as_uri(), "PIP_CONFIG_FILE": os.devnull, "PIP_USER": "1"}

    def offer_installer(self) -> dict[str, str]:
        """A curl that brings uv's own installer, and a place where uv, but not the script, finds its Python."""
        installer = 'mkdir -p "$UV_UNMANAGED_INSTALL"; ln -s "$REAL" "$UV_UNMANAGED_INSTALL/uv"'
        self.programs.joinpath("ln").symlink_to(str(shutil.which("ln")))
        self.give("curl", f'while [ "$1" != -o ]; do shift; done\necho \'{installer}\' >"$2"')
        return {"REAL": UV, "UV_PYTHON_SEARCH_PATH": str(BASE_PYTHON.parent)}

    def argv(self, *args: str) -> list[str]:
        return [str(BASH), *self.shell_options, str(self.script), *args]

    def run(
        self,
        *args: str,
        argv: Sequence[str] | None = None,
        cwd: Path | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> Ran:
        done = subprocess.run(
            argv or self.argv(*args),
            cwd=cwd or self.root,
            env=self.environ | dict(environ or {}),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        return Ran(done.returncode, done.stdout, done.stderr)


@dataclass(frozen=True)
class Ran:
    code: int
    out: str
    err: str

    @property
    def said(self) -> dict[str, object]:
        assert self.code == 0, self.err
        answer: dict[str, object] = json.loads(self.out)
        return answer


def bare_checkout(root: Path) -> Bare:
    """A checkout in a folder with spaces in its name, and a PATH with a shell, a Python and the commonest tools."""
    checkout = root / "a check out"
    (checkout / "provision").mkdir(parents=True)
    shutil.copytree(BIN, checkout / "bin")
    (checkout / "pyproject.toml").write_text(PYPROJECT)
    (checkout / "backend.py").write_text(BACKEND)
    (checkout / "provision" / "__init__.py").touch()
    (checkout / "provision" / "__main__.py").write_text(STAND_IN)
    made = Bare(root, checkout)
    made.programs.mkdir()
    for name in TOOLS:
        made.programs.joinpath(name).symlink_to(str(shutil.which(name)))
    made.programs.joinpath("bash").symlink_to(str(BASH))
    made.programs.joinpath("uname").symlink_to(str(shutil.which("uname")))
    made.programs.joinpath("python3").symlink_to(BASE_PYTHON)
    made.give("xcode-select", f'echo "{root}/clt"')
    made.give("git", "exit 0", root / "clt" / "usr" / "bin")
    made.environ = {
        "PATH": str(made.programs),
        "HOME": str(root / "home"),
        "UV_CACHE_DIR": str(root / "cache"),
    }
    return made
