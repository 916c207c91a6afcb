"""The tool's own environment, which counts by the stamp that bin/provision writes beside it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from provision.command import Command

DISTRIBUTION = "comfy-provision"
"""The package's name where packages are published."""


def forget() -> bool:
    """Have the next start of bin/provision make it anew; False where that did not make it. Raises OSError."""
    stamp = Path(sys.prefix).with_name("env.stamp")
    was_made = stamp.is_file()
    if was_made:
        stamp.unlink()
    return was_made


def how_to_install_anew() -> Command:
    """The command of whatever installed the tool: Homebrew, uv, pipx, install.sh, else pip."""
    from provision.command import program

    prefix = Path(sys.prefix)
    if "Cellar" in prefix.parts:
        return program("brew", "reinstall", DISTRIBUTION)
    if (prefix / "uv-receipt.toml").is_file():
        return program("uv", "tool", "upgrade", "--reinstall", DISTRIBUTION)
    if (prefix / "pipx_metadata.json").is_file():
        return program("pipx", "reinstall", DISTRIBUTION)
    if prefix.parent.name == DISTRIBUTION and (prefix.parent / "uv").is_file():
        return program("sh", "-c", f"curl -fsSL {_address_of_install_script()} | sh")
    return program(str(prefix / "bin" / "python"), "-m", "pip", "install", "--force-reinstall", DISTRIBUTION)


def is_for_intel_alone(python: Path) -> bool:
    """Whether a Mac's Python, or what it is a link to, cannot run on Apple silicon but under Rosetta."""
    from provision.system.macho import HEAD_BYTES, processors_of
    from provision.system.strict import read_head

    return processors_of(read_head(python.resolve(), HEAD_BYTES)) == {"x86_64"}


def _address_of_install_script() -> str:
    """Where install.sh is published, by the package's own metadata."""
    from importlib.metadata import PackageNotFoundError, metadata

    try:
        urls = dict(line.split(", ", 1) for line in metadata(DISTRIBUTION).get_all("Project-URL") or ())
    except PackageNotFoundError:  # gone with the rest
        urls = {}
    repository: str = urls.get("Repository", "REPOSITORY")
    return repository.replace("github.com", "raw.githubusercontent.com") + "/HEAD/install.sh"
