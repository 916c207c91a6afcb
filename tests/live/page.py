"""ComfyUI's page in a real browser: what it shows first, and what *Run* does."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.live.browser import Page, browser, tab

READY = "!!(window.app?.graph?._nodes?.length || document.querySelector('.p-dialog, [role=dialog]'))"
RUN = "[...document.querySelectorAll('button')].find(b => b.innerText.trim() === 'Run')"
SEEN = """JSON.stringify({
  title: document.title, text: document.body.innerText,
  widgets: Object.fromEntries((app.graph?._nodes ?? []).map(node => [node.type, node.widgets_values ?? []])),
})"""
NEWEST = """fetch('/history?max_items=1').then(a => a.json()).then(h => {
  const [entry] = Object.values(h);
  if (!entry?.status?.completed && entry?.status?.status_str !== 'error') return null;
  return JSON.stringify([entry.status.status_str, Object.values(entry.outputs).flatMap(o => o.images ?? [])]);
})"""
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
    page.click(RUN)
    state, images = json.loads(page.until(NEWEST, IMAGE_S))
    page.shoot(artifacts / "page-run.png")
    assert state == "success", state
    page.until("app.graph._nodes.some(node => node.imgs?.length)")
    page.shoot(artifacts / "page-image.png")
    return str(images[0]["filename"])
