"""The page of a run: one self-contained HTML file for screen and paper, without scripts; only its links lead out."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from provision.output.report.render import Tell, render

NOTHING = Markup()
MARKS = {"ok": ("✓", "ok"), "warn": ("!", "note"), "fixable": ("·", "to do"), "blocked": ("✗", "failed")}
"""Each verdict's mark and word."""


@dataclass(frozen=True, slots=True)
class Part:
    """One thing that was installed."""

    name: str
    version: str
    origin: str
    """Where it is from: an address, or words."""
    proof: str
    """Its identity: a commit, a sha256."""


@dataclass(frozen=True, slots=True)
class Seen:
    """One finding."""

    verdict: str
    step: str
    says: str
    id: str
    todo: str = ""


@dataclass(frozen=True, slots=True)
class RunPage:
    """All that the page shows; the charts are made with the same `tell`."""

    title: str
    outcome: str
    good: bool
    about: Sequence[tuple[str, str]]
    picture: bytes | None = None
    """A PNG."""
    caption: Sequence[str] = ()
    licence: tuple[str, str] = ("", "")
    """What it allows, and where it is."""
    parts: Sequence[Part] = ()
    packages: Sequence[tuple[str, str]] = ()
    course: Markup = NOTHING
    course_says: str = ""
    transfers: Sequence[tuple[str, ...]] = ()
    bench: Markup = NOTHING
    bench_says: str = ""
    seen: Sequence[Seen] = ()
    foot: str = ""
    again: Sequence[tuple[str, str]] = ()
    """What to do, and the command for it."""

    @property
    def wrong(self) -> Sequence[Seen]:
        """The findings that are not just fine."""
        return [each for each in self.seen if each.verdict != "ok"]

    @property
    def fine(self) -> Sequence[Seen]:
        """The others."""
        return [each for each in self.seen if each.verdict == "ok"]


def html_page(page: RunPage, tell: Tell) -> str:
    """The whole file."""
    picture = Markup(b64encode(page.picture or b"").decode("ascii"))  # noqa: S704 - letters and digits
    return render("page.html.j2", tell, page=page, marks=MARKS, picture=picture)
