"""The kit: what a Mac needs to install this very tool, as one archive that is the same whenever it is made.

It holds install.sh and the tool's wheel, made of the installation that is running; nothing is built.
"""

from __future__ import annotations

import io
import tarfile

from provision.command import Fix
from provision.download.bundling.tool_wheel import WHEEL, installer, tool_wheel
from provision.errors import ProvisionError
from provision.system.own_environment import how_to_install_anew


def kit_archive() -> bytes:
    """The kit as a tar. Raises ProvisionError."""
    try:
        files = {"install.sh": installer().read_bytes(), WHEEL: tool_wheel()}
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
