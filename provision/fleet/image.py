"""A Mac's first image, fetched within bounds; whether it is one is looked at by who shows it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pyinfra.api.host import Host

from provision.fleet.messages import Look, Target

IMAGE_MAX_BYTES = 8_000_000
NAME = "first-image.png"


def fetch_image(host: Host, look: Look, target: Target, into: Path) -> None:
    """Put it at `into`/NAME-OF-THE-MAC.png; nothing where there is none, or where it is too large."""
    home = f"{look.home}{target.home[1:]}" if target.home.startswith("~") else target.home
    connector: Any = host.connector
    try:
        with connector.client.open_sftp() as sftp, sftp.open(f"{home}/{NAME}", "rb") as stream:
            data = stream.read(IMAGE_MAX_BYTES + 1)
    except OSError:
        return
    if len(data) <= IMAGE_MAX_BYTES:
        (into / f"{target.name}.png").write_bytes(data)
