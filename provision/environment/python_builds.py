"""The builds of Python that uv knows: where one is, and whether a file is that build."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

from provision.command import Fix, ours
from provision.core.step import Context
from provision.environment.packages import find_uv, uv_env
from provision.errors import PackageError, WrongFile
from provision.system.strict import Unreadable, decode

LIST_S, CHECK_S = 60, 600
SYSTEMS = {"Darwin": ("macos", "none"), "Linux": ("linux", "gnu")}
ARCHES = {"arm64": "aarch64", "aarch64": "aarch64", "x86_64": "x86_64"}


@dataclass(frozen=True, slots=True)
class Build:
    """A build: uv's name for it, and its address, which ends with its day and its file's name."""

    key: str
    url: str


def find_build(ctx: Context, version: str, system: str, arch: str) -> Build:
    """The build of a version (`3.12.16`), else the newest of its minor version, for a machine. Raises PackageError."""
    name, libc = SYSTEMS[system]
    minor = ".".join(version.split(".")[:2])
    for each in dict.fromkeys((version, minor)):
        request = f"cpython-{each}-{name}-{ARCHES.get(arch, arch)}-{libc}"
        words = ("python", "list", request, "--only-downloads", "--output-format", "json")
        ran = ctx.machine.run([find_uv(ctx.machine), *words], env=uv_env(ctx.machine, ctx.home), timeout_s=LIST_S)
        try:
            found = decode(ran.out, list[Build]) if ran.ok and ran.out.strip() else []
        except Unreadable:
            found = []
        if found:
            return found[0]
    raise PackageError(f"uv knows no Python {minor} for {name} {arch}.", hint=ours("plan", "--for", "TARGET"))


def check_build(ctx: Context, build: Build, mirror: Path) -> None:
    """Have uv unpack the build that lies in a folder as a mirror has it: uv knows its hash. Raises WrongFile."""
    with tempfile.TemporaryDirectory(prefix="provision-python-", ignore_cleanup_errors=True) as folder:
        places = {"UV_PYTHON_INSTALL_DIR": f"{folder}/made", "UV_CACHE_DIR": f"{folder}/cache"}  # each has its own lock
        words = ("python", "install", "--no-bin", build.key)
        env = {**uv_env(ctx.machine, ctx.home), **places, "UV_PYTHON_INSTALL_MIRROR": mirror.as_uri()}
        ran = ctx.machine.run([find_uv(ctx.machine), *words], env=env, timeout_s=CHECK_S)
    if "mismatch" in ran.out + ran.err:
        raise WrongFile(
            f"Python ({build.key}) came with a hash other than uv knows.",
            hint=Fix("Something on the way changes files; try another network."),
        )
