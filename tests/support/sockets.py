"""Where a socket that has a name may lie."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PATH_BYTES = 104
"""The most that the path of a socket takes on a Mac, with the byte that ends it (`sun_path` in sys/un.h of macOS)."""


@contextmanager
def socket_folder() -> Iterator[Path]:
    """A folder with a short path: a Mac's TMPDIR and pytest's folders below it are longer than that."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        yield Path(folder)
