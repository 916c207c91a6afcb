"""Pictures of views as text files: compared, or with PROVISION_WRITE_DOCS=1 written anew to be looked at."""

from __future__ import annotations

import io
import os
from collections.abc import Iterable

from rich.console import Console, RenderableType

from tests.support.paths import TESTS

FOLDER = TESTS / "snapshots"
WIDTHS = (60, 80, 120)


def drawn(view: RenderableType, width: int) -> str:
    """A view as a terminal of that width shows it, without colours."""
    console = Console(file=io.StringIO(), width=width, force_terminal=False, color_system=None, legacy_windows=False)
    console.print(view, crop=False)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


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
