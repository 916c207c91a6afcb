"""`fleet-last.json`, next to the hosts file: how it went with each Mac the last time, for `--retry` and the report."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from provision.core.receipts import read_state, write_json
from provision.fleet.messages import Outcome
from provision.fleet.row import Row

FILE = "fleet-last.json"


@dataclass(frozen=True, slots=True)
class MacResult:
    """How it went with a Mac: `outcome` in a word, `message` why; what it is; the device of its first image."""

    mac: str
    outcome: Outcome
    says: str
    seconds: float
    steps_done: int = 0
    steps: int = 0
    code: str = ""
    """The code of its error."""
    chip: str = ""
    macos: str = ""
    device: str = ""
    url: str = ""


@dataclass(frozen=True, slots=True)
class Record:
    """The file. `hosts` is the name of the hosts file that it is about."""

    hosts: str
    when: str
    macs: Mapping[str, MacResult]


def result_of(row: Row) -> MacResult:
    """A row that is over."""
    report, look = row.report, row.look
    done, steps = row.steps
    return MacResult(
        row.mac,
        row.outcome or Outcome.STOPPED,
        row.says,
        round(row.seconds, 1),
        done,
        steps,
        code=report.error.code[:100] if report is not None and report.error is not None else "",
        chip=look.chip if look is not None else "",
        macos=look.macos if look is not None else "",
        device=report.image.device[:40] if report is not None and report.image is not None else "",
        url=report.url[:200] if report is not None else "",
    )


def read_record(hosts: Path) -> Record | None:
    """What is known of this hosts file; None where nothing is."""
    found = read_state(hosts.with_name(FILE), Record)
    return found if found is not None and found.hosts == hosts.name else None


def write_record(hosts: Path, when: str, results: Iterable[MacResult]) -> Path:
    """Add these results to what is known of the others. Raises HomeError, DiskFull."""
    before = read_record(hosts)
    macs = {**(before.macs if before is not None else {}), **{each.mac: each for each in results}}
    path = hosts.with_name(FILE)
    write_json(path, asdict(Record(hosts.name, when, macs)))
    return path


def others(record: Record | None, names: Iterable[str]) -> list[str]:
    """Of these Macs, those that are not known to be done."""
    done = {mac for mac, each in record.macs.items() if each.outcome.good} if record is not None else set()
    return [name for name in names if name not in done]
