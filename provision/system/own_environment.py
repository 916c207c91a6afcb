"""The tool's own environment, which counts by the stamp that bin/provision writes beside it."""

from __future__ import annotations

import sys
from pathlib import Path


def forget() -> bool:
    """Have the next start of bin/provision make it anew; False where that did not make it. Raises OSError."""
    stamp = Path(sys.prefix).with_name("env.stamp")
    was_made = stamp.is_file()
    if was_made:
        stamp.unlink()
    return was_made
