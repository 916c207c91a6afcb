"""A copy of bin/ with a stand-in package, on a machine that has only what a test gives it.

Nothing here reaches a network: the stand-in has no dependencies and its own build backend, and uv is told offline.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
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
INSTALL = CHECKOUT / "install.sh"
UV = find_uv_bin()
UV_VERSION = re.findall(r"^uv_version=(.+)$", INSTALL.read_text(encoding="utf-8"), re.MULTILINE)[0]
"""The one that install.sh brings."""
# macOS ships bash 3.2 as /bin/bash; elsewhere BASH_UNDER_TEST can name one.
BASH = os.environ.get("BASH_UNDER_TEST") or ("/bin/bash" if sys.platform == "darwin" else shutil.which("bash"))
BASE_PYTHON = Path(getattr(sys, "_base_executable", sys.executable)).resolve()
TOOLS = (
    *(
        "cat",
        "chmod",
        "cut",
        "dirname",
        "env",
        "grep",
        "head",
        "id",
        "ln",
        "ls",
        "mkdir",
        "mv",
        "readlink",
        "rm",
        "sed",
    ),
    *("sh", "shasum", "sleep", "tail", "tr", "unzip"),
)

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
        self.give("uname", '[ "$1" = -m ] && echo arm64 || echo Darwin')
        self.give("sysctl", "echo 1")
        self.give("xcode-select", 'echo "$1" >>"$ROOT/xcode.log"\n[ "$1" = -p ] && echo "$ROOT/clt"')
        if tools:
            self.give("git", "exit 0", self.root / "clt" / "usr" / "bin")

    def offer_uv(self) -> dict[str, str]:
        """A curl that brings a wheel of uv, which install.sh is told the hash of; and a Python that uv alone finds."""
        wheel = self.root / "uv.whl"
        with zipfile.ZipFile(wheel, "w") as archive:
            archive.writestr(f"uv-{UV_VERSION}.data/scripts/uv", f'#!/bin/sh\nexec "{UV}" "$@"\n')
        return self.trust_uv()

    def trust_uv(self) -> dict[str, str]:
        """The same for the wheel that lies at `root`."""
        wheel = self.root / "uv.whl"
        digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
        script = self.checkout / "install.sh"
        script.write_text(re.sub(r"\b[0-9a-f]{64}$", digest, script.read_text(), flags=re.MULTILINE))
        self.give("curl", f'while [ $# -gt 2 ]; do shift; done\necho "$2" >>"$ROOT/curl.log"\ncat "{wheel}" >"$1"')
        return {"UV_PYTHON_SEARCH_PATH": str(BASE_PYTHON.parent)}

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
    shutil.copyfile(INSTALL, checkout / "install.sh")
    (checkout / "pyproject.toml").write_text(PYPROJECT)
    (checkout / "backend.py").write_text(BACKEND)
    (checkout / "provision" / "__init__.py").touch()
    shutil.copyfile(CHECKOUT / "provision" / "start.py", checkout / "provision" / "start.py")
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
