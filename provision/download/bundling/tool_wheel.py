"""This tool as a wheel, made of the files that run, so that no build tool and no network is needed.

The format is https://packaging.python.org/en/latest/specifications/binary-distribution-format. The same files make the
same bytes.
"""

from __future__ import annotations

import base64
import hashlib
import io
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path

from provision import __version__
from provision.core.manifest import manifest_folder

NAME = f"comfy_provision-{__version__}"
WHEEL = f"{NAME}-py3-none-any.whl"
INFO, MAN = f"{NAME}.dist-info", f"{NAME}.data/data/share/man/man1/provision.1"
TIME = (2026, 1, 1, 0, 0, 0)
TAGS = "Wheel-Version: 1.0\nGenerator: provision\nRoot-Is-Purelib: true\nTag: py3-none-any\n"


def package_folder() -> Path:
    """The folder of this package."""
    return Path(__file__).resolve().parents[2]


def installer() -> Path:
    """`install.sh`: in the installed package, or next to it in a checkout."""
    packaged = package_folder() / "_install.sh"
    return packaged if packaged.is_file() else package_folder().parent / "install.sh"


def tool_wheel() -> bytes:
    """The wheel. Raises OSError."""
    return packed(_files())


def packed(files: Mapping[str, bytes]) -> bytes:
    """A wheel of these files and their RECORD."""
    held = io.BytesIO()
    rows = [f"{path},sha256={_digest(data)},{len(data)}\n" for path, data in files.items()]
    record = "".join([*rows, f"{INFO}/RECORD,,\n"]).encode()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, data in {**files, f"{INFO}/RECORD": record}.items():
            entry = zipfile.ZipInfo(path, TIME)
            entry.external_attr = 0o644 << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, data)
    return held.getvalue()


def _files() -> dict[str, bytes]:
    from importlib.metadata import distribution

    package = package_folder()
    own = (path for path in package.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    found = {f"provision/{path.relative_to(package).as_posix()}": path.read_bytes() for path in own}
    found |= {f"provision/_manifests/{path.name}": path.read_bytes() for path in manifest_folder().glob("*.toml")}
    found["provision/_install.sh"] = installer().read_bytes()
    man = next((path for path in _man_pages() if path.is_file()), None)
    if man is not None:
        found[MAN] = man.read_bytes()
    told = distribution("comfy-provision")
    for name in ("METADATA", "entry_points.txt", "licenses/LICENSE"):
        if text := told.read_text(name):
            found[f"{INFO}/{name}"] = text.encode()
    found[f"{INFO}/WHEEL"] = TAGS.encode()
    return dict(sorted(found.items()))


def _man_pages() -> tuple[Path, ...]:
    return package_folder().parent / "docs/provision.1", Path(sys.prefix, "share/man/man1/provision.1")


def _digest(data: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode().rstrip("=")
