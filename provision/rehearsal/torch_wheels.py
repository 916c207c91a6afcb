"""Stand-in wheels of torch for the rehearsal's package index: real wheels, one for each Python.

The newest nightly lacks torchvision, as happens (pytorch issue 141471), so that the day before must be taken.
"""

from __future__ import annotations

import base64
import hashlib
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

PYTHONS = ("cp310", "cp311", "cp312", "cp313", "cp314")
SOURCE = Path(__file__).resolve().parent / "standin" / "torch.py"
LONE_DAY, WHOLE_DAY = "20261121", "20261120"
NIGHTLY_TORCH, NIGHTLY_VISION = "2.16.0.dev", "0.31.0.dev"
STABLE = {"torch": "2.15.0", "torchvision": "0.30.0"}
TIME = (2026, 11, 20, 0, 0, 0)
ELSEWHERE = "macosx_14_0_x86_64"
"""A platform that nobody has who runs this."""
USUAL: Mapping[str, str] = {LONE_DAY: "lone", WHOLE_DAY: ""}


@dataclass(frozen=True, slots=True)
class StandIn:
    """A package to make: its source, what it needs, and which defect it has.

    torch: `import` (cannot be imported), `nan` (computes wrong in fp16), `slow` (takes its time). A day: `lone` (has no
    torchvision), `alien` (whose torchvision is for another platform). torchaudio: `own` (needs its own torch).
    """

    name: str
    version: str
    requires: tuple[str, ...] = ()
    defect: str = ""
    module: str = ""
    """What it installs, where that is not named as the package is."""


def make_wheels(root: Path, days: Mapping[str, str] = USUAL, *, stable_defect: str = "") -> None:
    """Write `root/index/nightly`, with each day's defect or none, and `root/index/stable`."""
    for day, defect in days.items():
        torch, vision = f"{NIGHTLY_TORCH}{day}", f"{NIGHTLY_VISION}{day}"
        _write_set(root / "index" / "nightly", torch, vision, defect)
    _write_set(root / "index" / "stable", STABLE["torch"], STABLE["torchvision"], stable_defect)


def _write_set(index: Path, torch: str, vision: str, defect: str) -> None:
    write_wheels(index / "torch", StandIn("torch", torch, defect=defect))
    if defect != "lone":
        write_wheels(index / "torchvision", StandIn("torchvision", vision, (f"torch=={torch}",), defect))


def write_wheels(folder: Path, package: StandIn) -> list[Path]:
    """One wheel for each Python and any platform: which one ComfyUI's Python is for need not be the tool's own."""
    folder.mkdir(parents=True, exist_ok=True)
    platform = ELSEWHERE if (package.name, package.defect) == ("torchvision", "alien") else "any"
    return [write_wheel(folder, package, f"{python}-none-{platform}") for python in PYTHONS]


def write_wheel(folder: Path, package: StandIn, tag: str) -> Path:
    """A wheel as the format asks for: the module, METADATA, WHEEL and RECORD with hashes."""
    info = f"{package.name}-{package.version}.dist-info"
    requires = "".join(f"Requires-Dist: {need}\n" for need in package.requires)
    files = {
        f"{package.module or package.name}/__init__.py": module_source(package),
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
    if package.module:
        return f'__version__ = "{package.version}"\n'
    source = f'import torch\n\n__version__ = "{package.version}"\n'
    if package.defect == "own":
        return f"{source}if torch.__version__ != __version__:\n    raise RuntimeError(f'is of torch {{__version__}}')\n"
    return source


def _digest(text: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
