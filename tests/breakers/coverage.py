"""docs/dev/doctor-coverage.md: what the doctor made of every breaker, written by a test run and held by all others."""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from provision.core.finding import ONLY_IN_LOGS
from provision.steps.catalogue import CATALOGUE
from tests.breakers import machine
from tests.breakers.logs import LOGS
from tests.breakers.registry import BREAKERS
from tests.support.paths import CHECKOUT

WRITE = os.environ.get("PROVISION_WRITE_DOCS") == "1"
DOCUMENT = CHECKOUT / "docs" / "dev" / "doctor-coverage.md"
COLUMNS = ("id", "how it is broken", "found", "alone", "mended", "seconds")
ADOPTED = "Only an install that this tool did not make can have it: `tests/unit/comfyui/test_adoption.py` breaks those."
LEFT_OUT: Mapping[str, str] = {
    "hw-not-mac": "No fault: it is what every machine that runs these tests is.",
    "lock-differs": "Only `all --locked` looks for it: `tests/e2e/test_torch_change.py` rebuilds from a lock.",
    "node-missing": "It takes a node that was added: `tests/e2e/test_nodes.py` adds one, and takes its folder away.",
    "comfyui-gone": ADOPTED,
    "comfyui-no-git": ADOPTED,
    "env-managed": ADOPTED,
    "env-unasked": ADOPTED,
    "home-gone": "Nothing of the home is there with it: `tests/e2e/test_disks.py` takes its disk away.",
    "home-read-only": "It takes the whole home's disk: `tests/e2e/test_disks.py` mounts one.",
    "clock-wrong": "No breaker sets the clock: `tests/unit/download/test_host_check.py` has such certificates.",
    "login-stale": "It takes a systemd of the person: `tests/e2e/test_always_on.py` has a stand-in.",
    "login-left": "It takes a systemd of the person: `tests/e2e/test_always_on.py` has a stand-in.",
    "check-crashed": "Only a bug of ours is one: `tests/e2e/test_doctor.py` plants it.",
}
"""Findings that stand for something wrong, and have no breaker."""


@dataclass(frozen=True, slots=True)
class Row:
    """What came of a breaker; `company` is what was named beside it, rightly; `mended` is a word (see `mended`)."""

    id: str
    what: str
    found: bool
    alone: bool
    mended: str
    seconds: float
    company: str = ""

    @property
    def cells(self) -> tuple[str, str, str]:
        """What must not get worse."""
        return _word(self.found), f"{_word(self.alone)}{self.company}", self.mended

    def line(self) -> str:
        """The row in Markdown."""
        words = (f"`{self.id}`", self.what, *self.cells, f"{self.seconds:.1f}")
        return "| " + " | ".join(words) + " |"


def company(beside: Iterable[str], following: Iterable[str]) -> str:
    """What was named with a fault: what the breaker brought about too, and what the doctor says to follow."""
    told = (("with", sorted(beside)), ("followed by", sorted(following)))
    return "".join(f", {how} {', '.join(f'`{id}`' for id in ids)}" for how, ids in told if ids)


def _word(so: bool) -> str:
    return "yes" if so else "**no**"


def mended(asked: bool, so: bool, otherwise: str) -> str:
    """The word for the cell: yes or no where mending is the doctor's, else who mends it."""
    return _word(so) if asked else otherwise


INTRODUCTION = """\
# What the doctor was seen to find and mend

Written by `PROVISION_WRITE_DOCS=1 bin/test tests/e2e/test_breakers.py -n 2`; every other run of these tests checks that
each cell is still as it is here, and fails where one got worse. A home is made by the rehearsal (a real environment, a
git checkout, a model, a server), broken in one way, looked at, mended by `doctor --fix --yes`, and looked at again.
Pairs of faults at once: `tests/e2e/test_breaker_pairs.py`, 60 of them, seeded: both must be named, 25 are mended.
24 are in every run, all in `bin/test tests/e2e/test_breaker_pairs.py --all-pairs`. Healthy homes that are unusual:
`tests/e2e/test_unusual_homes.py`.

* **found**: `doctor` names that id.
* **alone**: it names nothing else above a warning but what is told here: what the breaker brings about as well (a
  server that was killed in the middle of a picture is `mem-killed` and `server-down`), and what the doctor itself says
  to follow from that fault.
* **mended**: after `doctor --fix --yes` all steps are satisfied, `doctor` finds no fault, and the first image is a
  picture that the receipt proves; nothing that the person had made is lost. Where a person must act, that is said.
* **seconds** are those of the machine that wrote this page, on which other work was going on; they are not compared.

"""
PARTS = ("## A real home", "## A Mac, scripted with what real ones say", "## A log that somebody sends")


def names() -> list[list[tuple[str, str]]]:
    """The rows that there must be, by part: id and way."""
    logs = [(id, "`doctor LOGFILE`, with what a program says") for id in LOGS]
    return [[(each.id, each.what) for each in BREAKERS], [(each.id, each.what) for each in machine.BREAKERS], logs]


def left_over() -> set[str]:
    """Findings of the catalogue that stand for something wrong and have neither breaker nor reason.

    A log is enough only for what no step yields.
    """
    homes, macs, _ = names()
    broken = {id for id, _ in (*homes, *macs)} | only_in_logs()
    wrong = {entry.id for entry in CATALOGUE if entry.severity != "informs" or entry.fix != "none"}
    return wrong - broken - LEFT_OUT.keys()


def only_in_logs() -> set[str]:
    """Findings that no step yields."""
    return {entry.id for entry in CATALOGUE if entry.step == ONLY_IN_LOGS}


def recorded() -> dict[tuple[str, str], list[str]]:
    """The document's rows; none when there is no document."""
    if not DOCUMENT.is_file():
        return {}
    lines = DOCUMENT.read_text(encoding="utf-8").splitlines()
    words = [[word.strip() for word in line.strip().strip("|").split(" | ")] for line in lines if line[:3] == "| `"]
    return {(row[0].strip("` |"), row[1]): row[2:] for row in words}


def settle(row: Row) -> None:
    """Write a row into the document, or hold it against the one that is there."""
    if not WRITE:
        there = recorded().get((row.id, row.what))
        assert there is not None, f"{DOCUMENT.name} has no row for {row.id}: {row.what}"
        assert tuple(there[:3]) == row.cells, f"{DOCUMENT.name} is out of date"
        return
    with (Path(tempfile.gettempdir()) / "doctor-coverage.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        lines = {key: "| " + " | ".join((f"`{key[0]}`", key[1], *cells)) + " |" for key, cells in recorded().items()}
        lines[row.id, row.what] = row.line()
        aside = DOCUMENT.with_suffix(".new")
        aside.write_text(_page(lines), encoding="utf-8")
        aside.replace(DOCUMENT)
    assert not any(_word(False) in cell for cell in row.cells)


def _page(lines: Mapping[tuple[str, str], str]) -> str:
    head = [f"| {' | '.join(COLUMNS)} |", "|" + "---|" * len(COLUMNS)]
    parts = [
        "\n".join([title, "", *head, *(lines[key] for key in keys if key in lines), ""])
        for title, keys in zip(PARTS, names(), strict=True)
    ]
    out = "\n".join(["## Without a breaker", "", *(f"* `{id}`: {why}" for id, why in LEFT_OUT.items()), ""])
    return INTRODUCTION + "\n".join([*parts, out])
