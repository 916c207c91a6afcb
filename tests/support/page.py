"""ComfyUI's page in a real browser: what it shows first, and what *Run* does."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.browser import POLL_S, Page, browser, tab

READY = "!!(window.app?.graph?._nodes?.length || document.querySelector('.p-dialog, [role=dialog]'))"
RUN = "[...document.querySelectorAll('button')].find(b => b.innerText.trim() === 'Run')"
SEEN = """JSON.stringify({
  title: document.title, text: document.body.innerText,
  widgets: Object.fromEntries((app.graph?._nodes ?? []).map(node => [node.type, node.widgets_values ?? []])),
})"""
DONE = """fetch('/history').then(a => a.json()).then(all => JSON.stringify(Object.entries(all).map(([id, entry]) =>
  [id, entry.status.status_str, Object.values(entry.outputs).flatMap(out => out.images ?? [])])))"""
"""What was carried out: the id of each prompt, how it ended, its pictures."""
IMAGE_S = 1_800.0


@dataclass(frozen=True)
class Shown:
    """What the page shows when nothing of a person's is restored."""

    page: Page
    name: str
    """Of the workflow, as the tab of the browser has it."""
    text: str
    widgets: dict[str, list[Any]]
    """The values of each node's widgets, by the node's class."""


@contextmanager
def open_page(address: str, folder: Path, artifacts: Path) -> Iterator[Shown]:
    """The page in a browser that never saw it, with a screenshot."""
    with browser(folder / "profile") as devtools, tab(devtools, address) as page:
        page.until(READY)
        page.until("document.title.includes(' - ComfyUI')")
        page.shoot(artifacts / "page-first.png")
        told = json.loads(page.run(SEEN))
        name = told["title"].removesuffix(" - ComfyUI").lstrip("*")
        yield Shown(page, name, told["text"], told["widgets"])


def press_run(page: Page, artifacts: Path) -> str:
    """Press *Run*, wait for the picture, see it on the page; its file's name. Raises AssertionError."""
    before = {id for id, _, _ in json.loads(page.run(DONE))}
    page.click(RUN)
    [(_, state, images)] = [each for each in _after(page, before) if each[0] not in before]
    page.shoot(artifacts / "page-run.png")
    assert state == "success", state
    page.until("app.graph._nodes.some(node => node.imgs?.length)")
    page.shoot(artifacts / "page-image.png")
    return str(images[0]["filename"])


def _after(page: Page, before: set[str]) -> list[list[Any]]:
    """What was carried out, once that is more than before."""
    ends = time.monotonic() + IMAGE_S
    while len(done := json.loads(page.run(DONE))) <= len(before):
        assert time.monotonic() < ends, "the picture was not made in time"
        time.sleep(POLL_S)
    return done
