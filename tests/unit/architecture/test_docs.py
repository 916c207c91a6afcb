"""The pages for people: links lead somewhere, commands exist, the Korean README says what the English one does."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from docs.generate.manual import entries
from provision.cli.app import command_line
from provision.core.manifest import load_manifest, manifest_names, parse_manifest
from tests.support.paths import CHECKOUT

DOCS = CHECKOUT / "docs"
README, KOREAN = CHECKOUT / "README.md", CHECKOUT / "README.ko.md"
FOR_PEOPLE = (README, KOREAN, *sorted(DOCS.glob("*.md")))
PAGES = (*FOR_PEOPLE, CHECKOUT / "CONTRIBUTING.md", *sorted((DOCS / "dev").glob("*.md")))
WORDS_MAX = 900
LINK = re.compile(r"\]\(([^)\s]+)\)")
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
FIGURE = re.compile(r"\d+(?:\.\d+)*")
EVERY = {entry.name: entry for entry in entries(command_line())}


def named(path: Path) -> str:
    return path.relative_to(CHECKOUT).as_posix()


def prose(path: Path) -> str:
    """A page without its blocks of code."""
    return BLOCK.sub("", path.read_text(encoding="utf-8"))


def anchors(path: Path) -> set[str]:
    """The headings of a page as GitHub and MkDocs name them in an address."""
    heads = re.findall(r"^#+ +(.+)$", prose(path), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).strip().replace(" ", "-") for head in heads}


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_link_leads_somewhere(page: Path) -> None:
    for link in LINK.findall(prose(page)):
        place, _, anchor = link.partition("#")
        if "://" not in link:
            target = (page.parent / place).resolve() if place else page
            assert target.exists(), link
            assert not anchor or anchor in anchors(target), link


def test_every_page_is_reached_from_the_index() -> None:
    linked = {link.partition("#")[0] for link in LINK.findall(prose(DOCS / "index.md"))}
    assert {path.name for path in DOCS.glob("*.md")} - {"index.md"} <= linked
    below = set(LINK.findall(prose(DOCS / "dev" / "index.md")))
    assert {path.name for path in (DOCS / "dev").glob("*.md")} - {"index.md"} <= below


def test_the_site_has_every_page_once() -> None:
    """What its strict build refuses too (see docs.yml), and what it does not look at: no page stands there twice."""
    site = yaml.safe_load((CHECKOUT / "packaging" / "mkdocs.yml").read_text(encoding="utf-8"))
    pages = sorted(path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md"))
    assert sorted(listed(site["nav"])) == pages


def listed(nav: object) -> Iterator[str]:
    """The pages of a navigation, at any depth."""
    if isinstance(nav, str):
        yield nav
    for below in nav.values() if isinstance(nav, dict) else nav if isinstance(nav, list) else ():
        yield from listed(below)


def typed(page: Path) -> list[str]:
    """What a page has to type: lines of its blocks for a shell, and commands within sentences."""
    text = page.read_text(encoding="utf-8")
    lines = [line for kind, block in BLOCK.findall(text) if kind == "sh" for line in block.splitlines()]
    return [line for line in [*lines, *CODE.findall(prose(page))] if re.match(r"(bin/)?provision( |$)", line)]


@pytest.mark.parametrize("page", FOR_PEOPLE, ids=named)
def test_every_command_and_flag_exists(page: Path) -> None:
    for line in typed(page):
        words = line.removeprefix("bin/").split()
        name = next((name for n in (3, 2, 1) if (name := " ".join(words[:n])) in EVERY), "provision")
        rest = words[len(name.split()) :]
        flags = " ".join(flags for flags, _ in EVERY[name].parameters)
        assert name != "provision" or not rest or rest[0].startswith(("COMMAND", "help", "version", "-")), line
        for word in rest[: rest.index("--") if "--" in rest else None]:  # what follows is for another command
            if word.startswith("--"):
                assert word.partition("=")[0] in f"{flags} --help --version", line


# -- the two READMEs --------------------------------------------------------------------------------------------


def test_the_readme_is_short() -> None:
    assert len(README.read_text(encoding="utf-8").split()) <= WORDS_MAX


def test_the_korean_readme_has_the_same_commands() -> None:
    english, korean = (path.read_text(encoding="utf-8") for path in (README, KOREAN))
    assert BLOCK.findall(korean) == BLOCK.findall(english)
    assert sorted(CODE.findall(prose(KOREAN))) == sorted(CODE.findall(prose(README)))


def test_the_korean_readme_has_the_same_figures_and_links() -> None:
    for english, korean in zip(sections(README), sections(KOREAN), strict=True):
        assert sorted(FIGURE.findall(korean)) == sorted(FIGURE.findall(english)), english[:40]
    other = {README.name, KOREAN.name}
    links = [set(LINK.findall(prose(path))) - other for path in (README, KOREAN)]
    assert links[0] == links[1]


def sections(path: Path) -> list[str]:
    """The parts of a README, whose names of months and counting words are written as figures."""
    text = LINK.sub("]", prose(path).replace("July 2024", "2024 7"))
    text = re.sub(r"\b(one|1초|한 장)\b", "", text)
    return re.split(r"^## ", text, flags=re.MULTILINE)


# -- manifests --------------------------------------------------------------------------------------------------


def test_the_manifest_to_copy_is_valid() -> None:
    (example,) = [block for kind, block in BLOCK.findall((DOCS / "manifests.md").read_text("utf-8")) if kind == "toml"]
    assert parse_manifest(tomllib.loads(example)).first_image.steps == 2


def test_the_table_of_manifests_is_true() -> None:
    page = (DOCS / "manifests.md").read_text(encoding="utf-8")
    for name in manifest_names():
        manifest = load_manifest(name)
        _, file = manifest.checkpoint(manifest.usual_precision)
        (row,) = [line for line in page.splitlines() if re.match(rf"\| `{name}`", line)]
        first = manifest.first_image
        assert f"| {(file.size or 0) / 1e9:.2f} GB |" in row
        assert f"| {first.width}x{first.height}, {first.steps} step{'s' * (first.steps > 1)} |" in row
        assert manifest.title in row
        assert (manifest.license.id or "see its page") in row


@pytest.mark.parametrize("picture", sorted((DOCS / "pictures").glob("*.svg")), ids=lambda path: path.name)
def test_a_picture_shows_no_place_of_the_machine_that_drew_it(picture: Path) -> None:
    text = picture.read_text(encoding="utf-8")
    assert [place for place in (str(CHECKOUT), ".tool/", "/tmp/") if place in text] == []
