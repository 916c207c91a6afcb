"""Bytes that a loss of power cannot take back."""

from __future__ import annotations

import fcntl
import os


def sync(handle: int) -> None:
    """Have a file's bytes on the disk itself. Raises OSError.

    macOS's fsync(2) leaves them in the drive's own memory, where a loss of power takes them; F_FULLFSYNC does not, and
    not every file system knows it (fcntl(2) there).
    """
    full = getattr(fcntl, "F_FULLFSYNC", None)
    if full is not None:
        try:
            fcntl.fcntl(handle, full)
        except OSError:
            pass
        else:
            return
    os.fsync(handle)
