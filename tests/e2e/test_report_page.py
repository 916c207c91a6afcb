"""The page of `provision report` in a real browser: at a desk, on a phone, on paper."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from provision.output.report import page as report_page
from provision.output.report.bench_result import chart_rows
from provision.output.report.charts import bars_chart, course_chart
from provision.output.report.page import Part, RunPage, Seen, html_page
from provision.output.report.timeline import LOOKING, MENDING, WAITING, Course, Span, Transfer
from tests.support.browser import Page, browser, find_chromium, tab
from tests.unit.output.test_report_page import PNG, bench

pytestmark = pytest.mark.skipif(find_chromium() is None, reason="there is no Chromium on this machine")
STEPS = ("hardware", "requirements", "first_image")
COURSE = Course(
    (
        Span("hardware", LOOKING, "", 0, 1),
        Span("requirements", MENDING, "", 1, 200),
        Span("first_image", WAITING, "", 200, 410),
    ),
    (Transfer("requirements", "packages", ((1, 0), (60, 40_000_000), (200, 90_000_000))),),
)
MODEL = "sd_xl_turbo_1.0_fp16.safetensors"
SHOWN = RunPage(
    "SDXL-Turbo 1.0 in ComfyUI",
    "Set up in 7 min.",
    good=True,
    about=(("machine", "Apple M3"), ("ComfyUI's page", "http://127.0.0.1:8188")),
    picture=PNG,
    caption=("a photo of a red fox in snow",),
    licence=("sai-nc-community", "https://huggingface.co/stabilityai/sdxl-turbo/blob/main/LICENSE.md"),
    parts=(
        Part("ComfyUI", "v0.38.1", "https://github.com/Comfy-Org/ComfyUI", f"commit {'0123' * 10}"),
        Part(MODEL, "6.94 GB, fp16", "https://huggingface.co/stabilityai/sdxl-turbo", f"sha256 {'0123' * 16}"),
        Part("provision.lock", "all of it", "provision all --locked provision.lock", ""),
    ),
    packages=(("torch", "2.12.0.dev20261120"),),
    course=course_chart(COURSE, STEPS),
    course_says="It went.",
    transfers=((MODEL, "models", "6.94 GB", "7 min 20 s", "15.8 MB/s"),),
    bench=bars_chart(chart_rows(bench()), about="Seconds an image"),
    bench_says="Warm.",
    seen=(
        Seen("warn", "hardware", "8 GB of memory are few.", "hw-memory-low"),
        Seen("ok", "tools", "git.", "tools-ready"),
    ),
    again=(("Repair it", "provision all"),),
    foot="Made by provision.",
)
WORDS = """[...document.querySelectorAll('h1, h2, dt, dd, th, td, caption, .name, .took, summary')].flatMap(owner => {
  const cut = [], walk = document.createTreeWalker(owner, NodeFilter.SHOW_TEXT), range = document.createRange();
  for (let node; node = walk.nextNode();) {
    if (node.parentElement.closest('code, a') || !node.parentElement.checkVisibility()) continue;
    for (const word of node.data.matchAll(/[^\\s-]+/g)) {
      range.setStart(node, word.index); range.setEnd(node, word.index + word[0].length);
      if (new Set([...range.getClientRects()].map(box => Math.round(box.top))).size > 1) cut.push(word[0]);
    }
  }
  return cut;
})"""
"""Words that are broken into two lines; addresses and hashes are no words."""
SMALLEST = """Math.min(...[...document.querySelectorAll('.course *, .bars *')].filter(
  each => each.childNodes.length && [...each.childNodes].some(node => node.nodeType === 3 && node.data.trim())
).filter(each => !each.closest('svg')).map(each => parseFloat(getComputedStyle(each).fontSize)))"""
WIDER = "document.documentElement.scrollWidth > document.documentElement.clientWidth"


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    folder = tmp_path_factory.mktemp("page")
    (folder / "page.html").write_text(html_page(SHOWN, str), encoding="utf-8")
    with browser(folder / "profile") as devtools, tab(devtools, (folder / "page.html").as_uri()) as page:
        page.until("document.readyState === 'complete'")
        yield page


@pytest.mark.parametrize("width", [1280, 390, 320])
def test_no_word_is_cut_at_this_width(shown: Page, width: int, artifacts: Path) -> None:
    shown.ask("Emulation.setDeviceMetricsOverride", width=width, height=2400, deviceScaleFactor=1, mobile=width < 600)
    shown.shoot(artifacts / f"report-{width}.png")
    assert shown.run(WORDS) == []
    assert shown.run(SMALLEST) >= 11
    assert shown.run(WIDER) is False, "nobody has to scroll to the side"
    for id in ("hw-memory-low", "tools-ready"):
        assert shown.run(f"document.body.textContent.includes('{id}')")
    cards = shown.run("getComputedStyle(document.querySelector('.parts tbody tr')).display")
    assert cards == ("table-row" if width > 640 else "block")


def test_a_keyboard_reaches_what_is_folded_and_every_link(shown: Page) -> None:
    shown.run("document.activeElement.blur()")
    reached: list[str] = []
    for _ in range(12):
        for kind in ("keyDown", "keyUp"):
            shown.ask("Input.dispatchKeyEvent", type=kind, key="Tab", code="Tab", windowsVirtualKeyCode=9)
        reached.append(shown.run("document.activeElement.tagName + ' ' + document.activeElement.textContent.trim()"))
    assert "SUMMARY 1 findings that are fine" in reached
    assert "A 127.0.0.1:8188" in reached
    assert any(each.startswith("SUMMARY All 1 packages") for each in reached)


def test_a_table_has_a_caption_and_its_heads_say_what_they_head(shown: Page) -> None:
    assert shown.run("[...document.querySelectorAll('table')].every(each => each.caption.textContent)")
    assert shown.run("[...document.querySelectorAll('th')].every(each => ['row', 'col'].includes(each.scope))")
    assert shown.run("[...document.querySelectorAll('.mark')].map(each => each.lastChild.data.trim())") == [
        "note",
        "ok",
    ]


def test_paper_has_what_is_folded_too(shown: Page, artifacts: Path) -> None:
    shown.ask("Emulation.clearDeviceMetricsOverride")
    printed = base64.b64decode(shown.ask("Page.printToPDF", printBackground=True)["data"])
    artifacts.mkdir(parents=True, exist_ok=True)
    (artifacts / "report.pdf").write_bytes(printed)
    assert 1 <= len(re.findall(rb"/Type\s*/Page\b", printed)) <= 4
    shown.ask("Emulation.setEmulatedMedia", media="print")
    assert shown.run("document.querySelector('details li').getClientRects().length") == 1
    assert shown.run("document.querySelector('details li').checkVisibility({contentVisibilityAuto: true})")
    shown.ask("Emulation.setEmulatedMedia", media="")


TEXT, SHAPES = ("ink", "soft", "link", "good", "warn", "bad"), ("mend", "look", "bytes", "other", "warn")


@pytest.mark.parametrize("part", range(3), ids=["light", "dark", "paper"])
def test_colours_can_be_told_apart(part: int) -> None:
    """WCAG 2.2 AA: 4.5 for text, 3 for shapes."""
    css = Path(report_page.__file__).with_name("page.css").read_text(encoding="utf-8")
    colours = dict(re.findall(r"--(\w+): (#\w+)", re.findall(r":root \{(.*?)\}", css, re.DOTALL)[part]))
    against = luminance(colours["paper"])
    for name in (*TEXT, *SHAPES):
        low, high = sorted((against, luminance(colours[name])))
        assert (high + 0.05) / (low + 0.05) >= (4.5 if name in TEXT else 3), name


def luminance(colour: str) -> float:
    """Relative luminance, as WCAG has it."""
    digits = colour[1:] if len(colour) == 7 else "".join(2 * digit for digit in colour[1:])
    parts = [int(digits[place : place + 2], 16) / 255 for place in (0, 2, 4)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
