"""The kit: what a Mac needs to install this very tool, as one archive that is the same whenever it is made.

It holds install.sh and the tool's wheel, made of the installation that is running; nothing is built.
"""

from __future__ import annotations

import base64
import hashlib
import io
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import provision
from provision.command import Fix
from provision.core.manifest import manifest_folder
from provision.errors import ProvisionError
from provision.system.own_environment import DISTRIBUTION, how_to_install_anew

NAME = DISTRIBUTION.replace("-", "_")
LONG_AGO = (1980, 1, 1, 0, 0, 0)
"""The earliest time that a zip can hold."""
INSTALLER = "install.sh"
PACKED = "_install.sh"
"""Its name inside the wheel."""


def kit_archive() -> bytes:
    """The kit as a tar. Raises ProvisionError."""
    try:
        files = {INSTALLER: installer().read_bytes(), wheel_name(): tool_wheel()}
    except OSError as error:
        raise ProvisionError(
            f"The tool's own files cannot be read ({error}).",
            hint=Fix("Install it again:", how_to_install_anew()),
        ) from error
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as tar:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(data), 0o644
            tar.addfile(entry, io.BytesIO(data))
    return made.getvalue()


def installer() -> Path:
    """install.sh: in the installed package, or at the top of a checkout."""
    package = Path(provision.__file__).parent
    packaged = package / PACKED
    return packaged if packaged.is_file() else package.parent / INSTALLER


def wheel_name() -> str:
    """As PEP 427 has it."""
    return f"{NAME}-{provision.__version__}-py3-none-any.whl"


def tool_wheel() -> bytes:
    """The wheel of the running tool, also where that is a checkout (PEP 427: files, metadata, and a RECORD of them)."""
    info = f"{NAME}-{provision.__version__}.dist-info"
    files = dict(_package_files())
    files |= {f"{info}/{name}": text.encode() for name, text in _metadata().items()}
    record = "".join(f"{name},sha256={_digest(data)},{len(data)}\n" for name, data in files.items())
    files[f"{info}/RECORD"] = f"{record}{info}/RECORD,,\n".encode()
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            entry = zipfile.ZipInfo(name, LONG_AGO)
            entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
            archive.writestr(entry, data)
    return made.getvalue()


def _package_files() -> Iterator[tuple[str, bytes]]:
    package = Path(provision.__file__).parent
    for path in sorted(package.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            yield f"provision/{path.relative_to(package).as_posix()}", path.read_bytes()
    if not (package / PACKED).is_file():
        yield f"provision/{PACKED}", installer().read_bytes()
        for path in sorted(manifest_folder().glob("*.toml")):
            yield f"provision/_manifests/{path.name}", path.read_bytes()


def _metadata() -> dict[str, str]:
    from importlib.metadata import distribution

    found = distribution(DISTRIBUTION)
    texts = {name: found.read_text(name) or "" for name in ("METADATA", "entry_points.txt")}
    return {**texts, "WHEEL": "Wheel-Version: 1.0\nGenerator: provision\nRoot-Is-Purelib: true\nTag: py3-none-any\n"}


def _digest(data: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode("ascii")
