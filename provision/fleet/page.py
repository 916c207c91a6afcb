"""`fleet HOSTS report`: each Mac's first image and how it went with it, on one page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from provision import __version__
from provision.command import Fix, program
from provision.core.image import read_picture
from provision.core.receipts import write_text
from provision.errors import UsageError
from provision.fleet.messages import Outcome
from provision.fleet.record import MacResult, Record
from provision.fleet.row import Row
from provision.output.report.fleet_page import MARK, Card, FleetPage, fleet_page
from provision.system.strict import read_head

FILE = "fleet-report.html"
TEXT_MAX = 300
UNHEARD = (Outcome.DOWN, Outcome.HUNG, Outcome.LOST, Outcome.WRONG)


@dataclass(frozen=True, slots=True)
class FleetPageFacts:
    """Where the page is, its bytes, and the Macs whose image it shows."""

    path: str
    size: int
    images: tuple[str, ...]


def write_page(hosts: Path, rows: Mapping[str, Row], images: Path, record: Record | None, when: str) -> FleetPageFacts:
    """Write the page next to the hosts file. Raises UsageError, HomeError, DiskFull."""
    path = hosts.with_name(FILE)
    if path.exists() and read_head(path, len(MARK)) != MARK.encode():
        raise UsageError(
            f"{path} is not a page of provision.", hint=Fix("Move it away:", program("mv", FILE, "old.html"))
        )
    known = record.macs if record is not None else {}
    cards = [_card(row, known.get(name), read_picture(images / f"{name}.png")) for name, row in rows.items()]
    write_text(path, fleet_page(_page(hosts, cards, when), lambda text: text[:TEXT_MAX]))
    shown = tuple(card.mac for card in cards if card.png is not None)
    return FleetPageFacts(str(path), path.stat().st_size, shown)


def _page(hosts: Path, cards: Sequence[Card], when: str) -> FleetPage:
    good = [card for card in cards if card.good]
    outcome = f"{len(good)} of {len(cards)} Macs are ready."
    foot = f"Made by provision {__version__} on {when[:16].replace('T', ' ')}."
    return FleetPage(f"The Macs of {hosts.name}", outcome, len(good) == len(cards), cards, foot)


def _card(row: Row, last: MacResult | None, png: bytes | None) -> Card:
    heard = row.outcome not in UNHEARD
    word, says = (row.outcome or Outcome.LOST, row.says) if not heard or last is None else (last.outcome, last.says)
    if heard and last is None:
        word, says = (Outcome.OK, "") if png is not None else (Outcome.FAILED, "It has made no image.")
    look = row.look
    chip = (
        ", ".join(filter(None, (look.chip or look.kind, f"macOS {look.macos}" if look.macos else ""))) if look else ""
    )
    return Card(row.mac, word, word.good and heard, [each for each in (chip, says) if each], png)
