"""The page of a fleet: one self-contained HTML file with an image of each Mac."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from provision.output.report.render import Tell, render

MARK = "<!DOCTYPE html>\n"


@dataclass(frozen=True, slots=True)
class Card:
    """One Mac: how it went in a word, lines about it, and its image, a PNG that was looked at."""

    mac: str
    word: str
    good: bool
    lines: Sequence[str]
    png: bytes | None = None

    @property
    def picture(self) -> Markup:
        return Markup(b64encode(self.png or b"").decode("ascii"))  # noqa: S704 - letters and digits


@dataclass(frozen=True, slots=True)
class FleetPage:
    """All that the page shows."""

    title: str
    outcome: str
    good: bool
    cards: Sequence[Card]
    foot: str


def fleet_page(page: FleetPage, tell: Tell) -> str:
    """The whole file; every text is made visible and escaped."""
    return render("fleet.html.j2", tell, page=page)
