"""The page of a run: one HTML file that holds all that it shows, for a screen and for paper. Pure.

It has no script and asks nobody for anything; addresses stand in it as links to pages for people (a licence, a
repository). Every word goes through `tell`, which takes out what tells who wrote it, and is made visible.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from html import escape

from provision.output.report.run_style import STYLE
from provision.system.visible import visible

Tell = Callable[[str], str]
MARKS = {"ok": "✓", "warn": "!", "fixable": "·", "blocked": "✗"}


@dataclass(frozen=True, slots=True)
class Part:
    """One thing that was installed."""

    name: str
    version: str
    origin: str
    """Where it is from: an address, or words."""
    proof: str
    """What tells it from any other: a commit, a sha256."""


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
    """All that the page shows; the drawings are SVG, made with the same `tell`."""

    title: str
    outcome: str
    good: bool
    about: Sequence[tuple[str, str]]
    picture: bytes | None = None
    caption: Sequence[str] = ()
    licence: tuple[str, str] = ("", "")
    """What it allows, and where it is."""
    parts: Sequence[Part] = ()
    packages: Sequence[tuple[str, str]] = ()
    course_svg: str = ""
    course_says: str = ""
    transfers: Sequence[tuple[str, ...]] = ()
    bench_svg: str = ""
    bench_says: str = ""
    seen: Sequence[Seen] = ()
    foot: str = ""
    sections: Sequence[str] = field(default=("parts", "course", "bench", "seen"))


def html_page(page: RunPage, tell: Tell) -> str:
    """The whole file."""
    text = _Text(tell)
    made = {"parts": _parts, "course": _course, "bench": _bench, "seen": _seen}
    body = "\n".join([_head(page, text), *filter(None, (made[name](page, text) for name in page.sections))])
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n<title>{text(page.title)}</title>\n'
        f"<style>{STYLE}</style>\n</head>\n<body>\n<main>\n{body}\n<footer>{text(page.foot)}</footer>\n</main>\n"
        f"</body>\n</html>\n"
    )


@dataclass(frozen=True, slots=True)
class _Text:
    tell: Tell

    def __call__(self, text: str) -> str:
        return escape(visible(self.tell(text)))

    def link(self, address: str) -> str:
        """An address of a page for people as a link; words, and addresses of this machine, as they are."""
        told = visible(self.tell(address))
        if told.startswith("https://"):
            return f'<a href="{escape(told)}">{escape(told.removeprefix("https://"))}</a>'
        return escape(told)


def _head(page: RunPage, text: _Text) -> str:
    rows = "\n".join(f"<dt>{text(name)}</dt><dd>{text(value)}</dd>" for name, value in page.about)
    allows, where = page.licence
    licence = f"<dt>licence</dt><dd>{text(allows)}<br>{text.link(where)}</dd>" if where else ""
    kind = "good" if page.good else "bad"
    return (
        f"<header>{_picture(page, text)}\n<div>\n<h1>{text(page.title)}</h1>\n"
        f'<p class="outcome {kind}">{text(page.outcome)}</p>\n<dl>{rows}\n{licence}</dl>\n</div></header>'
    )


def _picture(page: RunPage, text: _Text) -> str:
    if page.picture is None:
        return ""
    lines = "<br>".join(text(line) for line in page.caption)
    data = b64encode(page.picture).decode("ascii")
    alt = text(page.caption[0] if page.caption else "the picture")
    return f'<figure><img alt="{alt}" src="data:image/png;base64,{data}"><figcaption>{lines}</figcaption></figure>'


def _section(title: str, *blocks: str) -> str:
    inside = "\n".join(block for block in blocks if block)
    return f"<section>\n<h2>{title}</h2>\n{inside}\n</section>" if inside else ""


def _parts(page: RunPage, text: _Text) -> str:
    rows = [
        f"<tr><th>{text(part.name)}</th><td>{text(part.version)}</td><td>{text.link(part.origin)}"
        f"<br><code>{text(part.proof)}</code></td></tr>"
        for part in page.parts
    ]
    table = f'<table class="parts">{"".join(rows)}</table>' if rows else ""
    names = "".join(f"<li>{text(name)} <b>{text(version)}</b></li>" for name, version in page.packages)
    more = f"<h3>All {len(page.packages)} packages of the environment</h3><ul>{names}</ul>" if names else ""
    return _section("What was installed, and from where", table, more)


def _course(page: RunPage, text: _Text) -> str:
    says = f"<p>{text(page.course_says)}</p>" if page.course_says else ""
    key = (
        '<p class="key"><i class="look"></i> looked <i class="mend"></i> mended <i class="bytes"></i> bytes came</p>'
        if page.course_svg
        else ""
    )
    rows = "".join(
        f"<tr><th>{text(what)}</th>{''.join(f'<td>{text(cell)}</td>' for cell in cells)}</tr>"
        for what, *cells in page.transfers
    )
    head = "<tr><th>bytes</th><td>step</td><td>moved</td><td>in</td><td>rate</td></tr>"
    table = f'<table class="moved"><thead>{head}</thead>{rows}</table>' if rows else ""
    return _section("How it went", says, page.course_svg, key, table)


def _bench(page: RunPage, text: _Text) -> str:
    says = f"<p>{text(page.bench_says)}</p>" if page.bench_says else ""
    return _section("How fast it is", page.bench_svg, says) if page.bench_svg else ""


def _seen(page: RunPage, text: _Text) -> str:
    rows = "".join(
        f'<tr class="{text(each.verdict)}"><td>{MARKS.get(each.verdict, "")}</td><th>{text(each.step)}</th>'
        f"<td>{text(each.says)}{f'<br><code>{text(each.todo)}</code>' if each.todo else ''}</td>"
        f"<td><code>{text(each.id)}</code></td></tr>"
        for each in page.seen
    )
    return _section("What was seen", f'<table class="seen">{rows}</table>' if rows else "")
