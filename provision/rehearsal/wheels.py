"""Stand-in wheels of torch for the rehearsal's package index: real wheels, with this platform's tags.

The newest nightly lacks torchvision, as happens (pytorch issue 141471), so that the day before must be taken.
"""

from __future__ import annotations

import base64
import hashlib
import zipfile
from dataclasses import dataclass
from pathlib import Path

PYTHONS = ("cp310", "cp311", "cp312", "cp313", "cp314")
SOURCE = Path(__file__).resolve().parent / "standin" / "torch.py"
LONE_DAY, WHOLE_DAY = "20261121", "20261120"
NIGHTLY_TORCH, NIGHTLY_VISION = "2.16.0.dev", "0.31.0.dev"
STABLE = {"torch": "2.15.0", "torchvision": "0.30.0"}
TIME = (2026, 11, 20, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class StandIn:
    """A package to make: its source, what it needs, and which defect it has (`import`, `nan`, or none)."""

    name: str
    version: str
    requires: tuple[str, ...] = ()
    defect: str = ""


def make_wheels(root: Path, *, defect: str = "") -> None:
    """Write `root/index/nightly` and `root/index/stable`; with `defect` the nightly torch is broken in that way."""
    whole = f"{NIGHTLY_TORCH}{WHOLE_DAY}"
    nightly = (
        StandIn("torch", f"{NIGHTLY_TORCH}{LONE_DAY}"),
        StandIn("torch", whole, defect=defect),
        StandIn("torchvision", f"{NIGHTLY_VISION}{WHOLE_DAY}", (f"torch=={whole}",)),
    )
    stable = (
        StandIn("torch", STABLE["torch"]),
        StandIn("torchvision", STABLE["torchvision"], (f"torch=={STABLE['torch']}",)),
    )
    for channel, packages in (("nightly", nightly), ("stable", stable)):
        for package in packages:
            write_wheels(root / "index" / channel / package.name, package)


def write_wheels(folder: Path, package: StandIn) -> list[Path]:
    """One wheel for each Python, with the tag of the platform that this runs on."""
    from packaging.tags import platform_tags

    folder.mkdir(parents=True, exist_ok=True)
    platform = next(iter(platform_tags()))
    return [write_wheel(folder, package, f"{python}-{python}-{platform}") for python in PYTHONS]


def write_wheel(folder: Path, package: StandIn, tag: str) -> Path:
    """A wheel as the format asks for: the module, METADATA, WHEEL and RECORD with hashes."""
    info = f"{package.name}-{package.version}.dist-info"
    requires = "".join(f"Requires-Dist: {need}\n" for need in package.requires)
    files = {
        f"{package.name}/__init__.py": module_source(package),
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {package.name}\nVersion: {package.version}\n{requires}",
        f"{info}/WHEEL": f"Wheel-Version: 1.0\nGenerator: rehearsal\nRoot-Is-Purelib: false\nTag: {tag}\n",
    }
    record = "".join(f"{name},sha256={_digest(text)},{len(text.encode())}\n" for name, text in files.items())
    files[f"{info}/RECORD"] = f"{record}{info}/RECORD,,\n"
    path = folder / f"{package.name}-{package.version}-{tag}.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in files.items():
            archive.writestr(zipfile.ZipInfo(name, TIME), text)
    return path


def module_source(package: StandIn) -> str:
    """torch's stand-in computes; the others only have their version, and want their torch as the real ones do."""
    if package.name == "torch":
        return (
            SOURCE.read_text(encoding="utf-8").replace("@VERSION@", package.version).replace("@DEFECT@", package.defect)
        )
    return f'import torch\n\n__version__ = "{package.version}"\n'


def _digest(text: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
