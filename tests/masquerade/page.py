"""docs/dev/macs.md: what each command came to on each Mac, written by a run of all of them and held by every other."""

from __future__ import annotations

import fcntl
import os
import re
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.support.macs import mac_names, machine_of
from tests.support.paths import CHECKOUT

WRITE = os.environ.get("PROVISION_WRITE_DOCS") == "1"
DOCUMENT = CHECKOUT / "docs" / "dev" / "macs.md"
COMMANDS = ("all --rehearse", "again", "status", "doctor", "uninstall")
ROW = re.compile(r"^\| (?P<mac>[a-z0-9-]+) \| (?P<machine>[^|]+) \| (?P<came>.+) \|$", re.MULTILINE)
INTRODUCTION = """\
# Macs, played on Linux

Written by `PROVISION_WRITE_DOCS=1 bin/test tests/masquerade --macs -n 2`. Each Mac that is recorded in
`tests/facts/macs` is played on a Linux (`tests/masquerade`): the programs that `provision` asks answer as they do
there, Python takes the system for macOS, and the commands run end to end, one after the other in one home. *right* is
an image, nothing left to do, a home that is gone; the ids are of what is told beside it, or of what stops it
([doctor.md](../doctor.md)). torch is a stand-in: this shows paths, choices and words, and nothing of Metal.

"""


def recorded() -> dict[str, list[str]]:
    """What the document says of each Mac, by command."""
    text = DOCUMENT.read_text(encoding="utf-8") if DOCUMENT.is_file() else ""
    return {found["mac"]: found["came"].split(" | ") for found in ROW.finditer(text)}


def settle(mac: str, came: Sequence[str]) -> None:
    """Write a row, or hold it against the one that is there."""
    if not WRITE:
        assert recorded().get(mac) == list(came), f"{DOCUMENT.name} is out of date"
        return
    with (Path(tempfile.gettempdir()) / "macs.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        aside = DOCUMENT.with_suffix(".new")
        aside.write_text(_page({**recorded(), mac: came}), encoding="utf-8")
        aside.replace(DOCUMENT)


def _page(came: Mapping[str, Sequence[str]]) -> str:
    head = [f"| Mac | machine | {' | '.join(COMMANDS)} |", f"|{'---|' * (2 + len(COMMANDS))}"]
    rows = [f"| {mac} | {machine_of(mac)} | {' | '.join(came[mac])} |" for mac in mac_names() if mac in came]
    return INTRODUCTION + "\n".join([*head, *rows, ""])
