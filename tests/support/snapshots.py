"""Screens as text files, at the widths that people have: compared, or written with PROVISION_WRITE_DOCS=1."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable

from tests.support.paths import TESTS

FOLDER = TESTS / "snapshots"
WIDTHS = (60, 80, 120, 200)


def assert_screen(name: str, at: Callable[[int], str], plain: str = "") -> None:
    """A screen is that of `tests/snapshots/NAME.txt` at every width, but for spaces at the ends of lines.

    A width at which it is as at the one before is named with it; `plain` is what `--plain` and pipes get.
    """
    said: list[tuple[str, str]] = []
    for width in WIDTHS:
        text = _stripped(at(width))
        if said and said[-1][1] == text:
            said[-1] = (f"{said[-1][0]}, {width}", text)
        else:
            said.append((str(width), text))
    said += [("plain", _stripped(plain))] if plain else []
    whole = "\n".join(f"=== {widths}\n{text}" for widths, text in said)
    path = FOLDER / f"{name}.txt"
    if os.environ.get("PROVISION_WRITE_DOCS"):
        FOLDER.mkdir(exist_ok=True)
        path.write_text(whole, encoding="utf-8")
    again = f"read tests/snapshots/{name}.txt, and if it is right: PROVISION_WRITE_DOCS=1 bin/test THIS_TEST"
    assert path.is_file(), again
    assert whole == path.read_text(encoding="utf-8"), again


def _stripped(text: str) -> str:
    return "".join(f"{line.rstrip()}\n" for line in text.splitlines())


def widest(lines: Iterable[str]) -> int:
    """Columns of the longest line."""
    from rich.cells import cell_len

    return max((cell_len(line) for line in lines), default=0)
