"""Does what was asked on the Macs, shows it, and remembers how it went."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.text import Text

from provision.command import Command, Fix
from provision.core.events import MacSeen
from provision.core.lockfile import load_lock
from provision.errors import UsageError
from provision.fleet import table
from provision.fleet.answers import ANSWERS
from provision.fleet.ask import CHANGING, RECORDED, SENDING, VERBS, WITH_ARGS, Ask
from provision.fleet.control import check_engine, drive
from provision.fleet.hosts import Fleet, chosen, read_hosts, read_inventory
from provision.fleet.kit import kit_archive
from provision.fleet.messages import KEY_SAYS, Job, Outcome, Source, Wants
from provision.fleet.page import write_page
from provision.fleet.record import MacResult, others, read_record, result_of, write_record
from provision.fleet.row import Row
from provision.output.amounts import size_text, time_text
from provision.output.as_json import timestamp
from provision.output.console import Console
from provision.output.result import Pairs, Result, answer, why

BARE_BYTES = 12_000_000_000
"""What an install takes on a disk: 6.9 GB of model, 1.6 of packages and what they unpack from, and 2 that stay free."""
TOLD_EVERY_S = 10.0
"""Seconds between two lines about a Mac at which nothing but numbers has changed."""


@dataclass(frozen=True, slots=True)
class FleetFacts:
    """How it went with each Mac, and the file that remembers it."""

    macs: tuple[MacResult, ...]
    record: str | None


def carry_out(console: Console, ask: Ask, *, parallel: int = 0, silence_s: float = 60.0) -> Result:
    """Do it; satisfied when each Mac is. Raises UsageError, CommandMissing, CommandFailed, Bug, KeyboardInterrupt."""
    fleet = read_inventory(ask.hosts) if ask.inventory else read_hosts(ask.hosts)
    names = chosen(fleet, ask.only, ask.tags)
    if ask.retry:
        names = others(read_record(ask.hosts), names)
    if not names:
        says = "Everything is up to date: every Mac is done." if ask.retry else "No Mac matches."
        return answer(FleetFacts((), None), says)
    if ask.verb in ANSWERS:
        return ANSWERS[ask.verb](ask, fleet, names)
    check_engine()
    rows = {name: Row(name) for name in names}
    with TemporaryDirectory(prefix="provision-fleet-") as folder:
        job = make_job(ask, fleet, names, Path(folder), parallel, silence_s)
        try:
            with served(ask) as source:
                watch(console, rows, replace(job, source=source, words=(*job.words, *source.words)))
        except KeyboardInterrupt:
            console.say(*console.lines_of(_as_table(results_of(rows))))
            _remember(ask, rows)
            raise
        if ask.verb == "report":
            return _page(ask, rows, Path(folder))
    results, record = results_of(rows), _remember(ask, rows)
    return _result(ask, results, record)


def _page(ask: Ask, rows: Mapping[str, Row], images: Path) -> Result:
    facts = write_page(ask.hosts, rows, images, read_record(ask.hosts), timestamp(time.time()))
    return answer(facts, f"{facts.path}  ({size_text(facts.size)}, one file; open it in any browser)")


@contextmanager
def served(ask: Ask) -> Iterator[Source]:
    """The bundle that the Macs read, served from here during this block where it is a folder.

    Raises UsageError, BundleError, PortTaken.
    """
    if not ask.source or ask.verb not in WITH_ARGS:
        yield Source()
        return
    if ask.source.startswith(("http://", "https://")):
        if not re.fullmatch(r"[0-9a-f]{64}", ask.digest):
            again = ask.again(ask.verb, "--from", ask.source, "--from-sha256", "HEX")
            raise UsageError("A bundle at an address needs the digest that `provision bundle` printed.", hint=again)
        yield Source(ask.source, ask.digest)
        return
    from provision.download.serving.offer import bundle_offer
    from provision.download.serving.readers import Readers
    from provision.download.serving.server import Served, serving
    from provision.system.listener import lan_address, listen, url_host

    offer = bundle_offer(Path(ask.source).expanduser().absolute())
    listener = listen(lan_address(), 0)
    host, port = listener.getsockname()[:2]
    with serving(listener, Served(offer, Readers(), "")):
        yield Source(f"http://{url_host(host)}:{port}", offer.digest)


def make_job(ask: Ask, fleet: Fleet, names: Sequence[str], folder: Path, parallel: int, silence_s: float) -> Job:
    """What the driver is to do; the kit is written to `folder`. Raises ProvisionError, LockError."""
    targets = fleet.targets(names)
    if ask.verb not in WITH_ARGS:
        targets = tuple(replace(each, args=()) for each in targets)
    kit = folder / "kit.tar"
    if ask.verb in SENDING:
        kit.write_bytes(kit_archive())
    rehearsed = "--rehearse" in (*ask.rest, *fleet.defaults.args)
    lock = ask.locked if ask.verb in WITH_ARGS else None
    if lock is not None:
        load_lock(lock)
    wants = Wants(BARE_BYTES if ask.verb == "all" and not rehearsed else 0, str(lock or ""))
    sent = str(kit) if ask.verb in SENDING else ""
    images = str(folder) if ask.verb == "report" else ""
    words = (*VERBS[ask.verb], *ask.rest)
    return Job(targets, words, sent, parallel, silence_s, wants, images, waves=ask.waves)


def watch(console: Console, rows: Mapping[str, Row], job: Job) -> None:
    """Do the job: a table where there is a terminal, else a line whenever something changes."""
    told: dict[str, tuple[str, float]] = {}
    shown = list(rows.values())

    def changed(row: Row) -> None:
        now = time.monotonic()
        slow = row.mac in table.slow_ones(shown, now)
        key = f"{table.state_of(row, slow)} {row.steps}"
        before, when = told.get(row.mac, ("", 0.0))
        if key == before and now - when < TOLD_EVERY_S:
            return
        told[row.mac] = (key, now)
        console.emit(MacSeen(says=table.sentence(row, now, slow), at_work=table.at_work(row, now, slow)))

    def lines(now: float, width: int, height: int) -> Sequence[Text]:
        return table.table_lines(shown, now, width, height)

    with console.showing(lines):
        drive(job, rows, changed, time.monotonic)


def results_of(rows: Mapping[str, Row]) -> tuple[MacResult, ...]:
    """How it went with each."""
    return tuple(result_of(row) for row in rows.values())


def _remember(ask: Ask, rows: Mapping[str, Row]) -> str | None:
    """Write the record of what changes Macs. Raises HomeError, DiskFull."""
    if ask.verb not in RECORDED:
        return None
    return str(write_record(ask.hosts, timestamp(time.time()), results_of(rows)))


def _result(ask: Ask, results: Sequence[MacResult], record: str | None) -> Result:
    bad = [each for each in results if not each.outcome.good]
    facts = FleetFacts(tuple(results), record)
    changed = ask.verb in CHANGING and any(each.outcome is Outcome.OK for each in results)
    total = f"{len(results)} Mac{'s' if len(results) > 1 else ''}"
    if not bad:
        says = f"{total}: done." if changed or ask.verb not in CHANGING else f"{total}: everything is up to date."
        return answer(facts, _as_table(results), says, changed=changed)
    closing = Fix(f"{len(bad)} of {total} not done. To try them again:", _again(ask, bad))
    more = list(_advice(ask, bad))
    return answer(facts, _as_table(results), *more, closing, error=why("fleet", closing), changed=changed)


def _again(ask: Ask, bad: Sequence[MacResult]) -> Command:
    if ask.verb in RECORDED:
        return ask.retried()
    rest = ("--", *ask.rest) if ask.rest else ()
    return ask.again(ask.verb, *(word for each in bad for word in ("--only", each.mac)), *rest)


def _advice(ask: Ask, bad: Sequence[MacResult]) -> Iterator[Fix]:
    """What to do first about those that are not done."""
    if any(each.outcome is Outcome.BUSY for each in bad):
        yield Fix("To stop the command that works there:", ask.again("stop"))
    if any(each.says in KEY_SAYS for each in bad):
        yield Fix("To compare host keys:", ask.again("keys"))


def _as_table(results: Sequence[MacResult]) -> Pairs:
    return Pairs([(each.mac, each.outcome, time_text(each.seconds), each.says) for each in results])
