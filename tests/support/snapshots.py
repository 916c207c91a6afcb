"""Pictures of views as text files: compared, or with PROVISION_WRITE_DOCS=1 written anew to be looked at."""

from __future__ import annotations

import os
from collections.abc import Iterable

from tests.support.paths import TESTS

FOLDER = TESTS / "snapshots"
WIDTHS = (60, 80, 120, 200)


def assert_snapshot(name: str, text: str) -> None:
    """The text is that of `tests/snapshots/NAME.txt`, but for spaces at the ends of lines."""
    path = FOLDER / f"{name}.txt"
    plain = "".join(f"{line.rstrip()}\n" for line in text.splitlines())
    if os.environ.get("PROVISION_WRITE_DOCS"):
        FOLDER.mkdir(exist_ok=True)
        path.write_text(plain, encoding="utf-8")
    again = "look at it, and if it is right: PROVISION_WRITE_DOCS=1 bin/test tests/unit/output/test_snapshots.py"
    assert path.is_file(), again
    assert plain == path.read_text(encoding="utf-8"), again


def widest(lines: Iterable[str]) -> int:
    """Columns of the longest line."""
    from rich.cells import cell_len

    return max((cell_len(line) for line in lines), default=0)
