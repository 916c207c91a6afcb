"""docs/dev/states.md: what came of each state, written by a run of all of them and held by every other."""

from __future__ import annotations

import fcntl
import os
import re
import tempfile
from pathlib import Path

from tests.states.state import State
from tests.states.table import PARTS
from tests.support.paths import CHECKOUT

WRITE = os.environ.get("PROVISION_WRITE_DOCS") == "1"
DOCUMENT = CHECKOUT / "docs" / "dev" / "states.md"
ROW = re.compile(r"^\| (?P<name>.+) \| (?P<came>a picture|the model|`[a-z0-9_-]+`) \|$", re.MULTILINE)
INTRODUCTION = """\
# States of a machine, and what comes of them

Written by `PROVISION_WRITE_DOCS=1 bin/test tests/e2e/test_states.py --states -n 2`. In each state a new person sets
everything up (`all --rehearse --yes`, with its own `HOME`) and asks the `doctor`. Either the picture comes and the
doctor finds nothing wrong, or the one cause is named: the id of a finding ([doctor.md](../doctor.md)) or of an error
([errors.md](../errors.md)). Nothing hangs, and nothing is called a bug.
"""


def recorded() -> list[str]:
    """The names of the document's rows."""
    return list(_rows())


def _rows() -> dict[str, str]:
    text = DOCUMENT.read_text(encoding="utf-8") if DOCUMENT.is_file() else ""
    return {found["name"].replace("\\|", "|"): found["came"] for found in ROW.finditer(text)}


def settle(state: State, came: str) -> None:
    """Write a row, or hold it against the one that is there."""
    if not WRITE:
        assert _rows().get(state.name) == came, f"{DOCUMENT.name} is out of date"
        return
    with (Path(tempfile.gettempdir()) / "states.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        aside = DOCUMENT.with_suffix(".new")
        aside.write_text(_page({**_rows(), state.name: came}), encoding="utf-8")
        aside.replace(DOCUMENT)


def _page(came: dict[str, str]) -> str:
    parts = [INTRODUCTION]
    for title, states in PARTS:
        rows = [(state.name.replace("|", "\\|"), came[state.name]) for state in states if state.name in came]
        lines = [f"| {name} | {what} |" for name, what in rows]
        parts.append("\n".join([f"## {title}", "", "| state | what comes |", "|---|---|", *lines, ""]))
    return "\n".join(parts)
