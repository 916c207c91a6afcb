"""The page of a run: whole in one file, nothing of the person in it, its drawing as the run went."""

from __future__ import annotations

import base64
import json
import re
from dataclasses import asdict
from functools import partial
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest
from markupsafe import escape

from provision.command import Fix, ours
from provision.core.events import ApplyStarted, Event, Progress, StepFinished, StepStarted
from provision.core.home import Home
from provision.core.step import Report, StepReport
from provision.output.hints import Invocation
from provision.output.report.bench_result import Bench, Case, chart_rows
from provision.output.report.charts import bars_chart, course_chart, ticks
from provision.output.report.page import Part, RunPage, Seen, html_page
from provision.output.report.redact import Person, redact
from provision.output.report.run_record import keep_run, last_change
from provision.output.report.timeline import LOOKING, MENDING, SAMPLES_MAX, Course, Span, Timeline, Transfer
from provision.system.strict import Unreadable, convert, decode
from provision.system.visible import HIDDEN, visible
from tests.support.findings import fixable

PNG = b"\x89PNG\r\n\x1a\n" + bytes(40)
PERSON = Person(folders=("/Users/ada",), names=("ada.lovelace",), secrets=("hunter2hunter2",))
COURSE = Course(
    (
        Span("torch", LOOKING, "", 0.0, 1.0),
        Span("torch", MENDING, "torch & <torchvision> are installed", 1.0, 6.0),
        Span("models", MENDING, "fetched", 0.5, 9.0),
    ),
    (Transfer("models", "m.safetensors", ((0.5, 100), (4.0, 3_000), (9.0, 6_000))),),
)


class Outside(HTMLParser):
    """What of a page is a script, or would be fetched when it is opened."""

    def __init__(self) -> None:
        super().__init__()
        self.scripts: list[str] = []
        self.fetched: list[str] = []
        self.links: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in ("script", "iframe", "object", "embed", "link", "base", "form"):
            self.scripts.append(tag)
        if tag not in ("meta", "img", "line", "rect", "polygon", "br"):
            self.open.append(tag)
        for name, value in attrs:
            if name.startswith("on"):
                self.scripts.append(f"{tag} {name}")
            if name == "href" and tag == "a":
                self.links.append(value or "")
            elif name in ("src", "href", "srcset", "data", "action") and not (value or "").startswith("data:image/"):
                self.fetched.append(f"{tag} {value}")

    def handle_endtag(self, tag: str) -> None:
        if tag in ("rect", "line", "polygon"):
            return
        assert self.open.pop() == tag


def read(page: str) -> Outside:
    outside = Outside()
    outside.feed(page)
    outside.close()
    assert outside.open == []
    return outside


def bench() -> Bench:
    return Bench("2026-11-24T10:00", "Apple M3", "mps", 5.0, 9.5, (Case(512, 512, 1, 2.0, (1.0, 1.2, 1.1)),))


def page() -> RunPage:
    return RunPage(
        "SDXL-Turbo <b>",
        "Set up.",
        True,
        (("system", "macOS of /Users/ada/x"), ("name", "ada.lovelace")),
        PNG,
        ("a fox </figure><script>alert(1)</script>",),
        ("no commercial use", "https://example.org/LICENSE"),
        (Part("ComfyUI", "v1", "https://example.org/ComfyUI", "commit 0123"), Part("x", "1", "javascript:0", "")),
        (("torch", "2.0"),),
        course_chart(COURSE, ("torch", "models")),
        "It went.",
        (("m", "models", "6 kB"),),
        bars_chart(chart_rows(bench()), about="Seconds"),
        "Warm.",
        (Seen("warn", "tools", "token hf_abcdefghijklmnop and hunter2hunter2", "net-slow", "ls /Users/ada"),),
        "made",
    )


def test_the_page_holds_all_that_it_shows_and_runs_nothing() -> None:
    text = html_page(page(), partial(redact, person=PERSON))
    seen = read(text)
    assert (seen.scripts, seen.fetched) == ([], [])
    assert seen.links == ["https://example.org/LICENSE", "https://example.org/ComfyUI"]
    assert "url(" not in text
    assert "@import" not in text
    assert f'src="data:image/png;base64,{base64.b64encode(PNG).decode()}"' in text
    assert "@media print" in text


def test_the_page_does_not_tell_who_wrote_it() -> None:
    text = html_page(page(), partial(redact, person=PERSON))
    assert "~/x" in text
    for secret in ("/Users/ada", "lovelace", "hunter2", "hf_abc"):
        assert secret not in text


HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "</style><script>",
    "</title><script>x</script>",
    "javascript:alert(1)",
    'https://x/" onclick="alert(1)',
    "<svg onload=alert(1)>",
    "&lt;script&gt;",
    "<!--",
    "]]>",
    "<iframe src=javascript:x>",
    "{{x}}<base href=//x>",
    "\u202egnp.exe\u202c \u2066x\u2069 \u200b\u2028\U000e0041",
    "\x1b]0;t\x07\x9b2J\x00\x7f",
    "\ud800",
)


@pytest.mark.parametrize("evil", HOSTILE, ids=ascii)
def test_whatever_others_wrote_stands_in_the_page_as_text_that_is_seen(evil: str) -> None:
    course = Course((Span(evil, MENDING, evil, 0, 1), Span(evil, evil, evil, 1, 2)), (Transfer(evil, evil, ((0, 1),)),))
    text = html_page(
        RunPage(
            evil,
            evil,
            False,
            ((evil, evil),),
            PNG,
            (evil, evil),
            (evil, evil),
            (Part(evil, evil, evil, evil),),
            ((evil, evil),),
            course_chart(course, (evil,)),
            evil,
            ((evil, evil, evil),),
            bars_chart(((evil, 1.0, evil, evil),), about=evil),
            evil,
            (Seen(evil, evil, evil, evil, evil),),
            evil,
        ),
        str,
    )
    seen = read(text)
    assert (seen.scripts, seen.fetched) == ([], [])
    assert all(link.startswith("https://") for link in seen.links)
    assert not HIDDEN.search(text)
    assert text.count(escape(visible(evil))) >= 20
    text.encode("utf-8")


def test_the_words_in_the_drawing_do_not_tell_who_wrote_it_either() -> None:
    course = Course((Span("torch", MENDING, "installed in /Users/ada/x", 0, 1),))
    assert "<title>torch: installed in ~/x 0.0 to 1.0 s</title>" in course_chart(
        course, ("torch",), partial(redact, person=PERSON)
    )


def test_a_run_without_picture_bench_and_course_is_a_page_too() -> None:
    text = html_page(RunPage("t", "Not finished.", False, ()), str)
    assert read(text).links == []
    assert "<figure" not in text
    assert "<h2>" not in text


def test_a_kept_run_has_its_commands_for_the_home_that_it_was_in(tmp_path: Path) -> None:
    finding = fixable("torch-missing", "torch", "torch is missing.", fix=Fix("Mend it:", ours("doctor", "--fix")))
    report = Report((StepReport("torch", (finding,), changed=True, seconds=1.0),), 1.0)
    keep_run(Home(tmp_path), report, Course(), "2026-11-26", Invocation(home="/Volumes/Big"))
    kept = last_change(Home(tmp_path))
    assert kept is not None
    fix = kept.steps[0].findings[0].fix
    assert fix is not None
    assert fix.argv == ("provision", "doctor", "--home", "/Volumes/Big", "--fix")


def test_the_timeline_is_what_was_heard() -> None:
    now = iter([0.0, 1.0, 2.0, 2.5, 3.0, 4.0, 7.0, 8.0])
    passed: list[Event] = []
    timeline = Timeline(lambda: next(now))
    emit = timeline.before(passed.append)
    for event in (
        StepStarted(step="torch"),
        ApplyStarted(step="torch", finding_id="torch-missing", says="installing"),
        Progress(step="torch", subject="t.whl", done=10, total=90),
        StepStarted(step="models"),
        Progress(step="torch", subject="t.whl", done=90, total=90),
        StepStarted(step="torch", again=True),
        StepFinished(step="torch", verdict="ok", says="ready", changed=True, seconds=7),
    ):
        emit(event)
    course = timeline.course()
    assert len(passed) == 7
    assert course.spans == (
        Span("torch", LOOKING, "", 1.0, 2.0),
        Span("torch", MENDING, "installing", 2.0, 7.0),
        Span("torch", LOOKING, "", 7.0, 8.0),
    )
    [moved] = course.transfers
    assert (moved.moved, moved.seconds, moved.done) == (80, 1.5, 90)
    assert decode(json.dumps(course.to_json()), Course) == course


def test_a_long_transfer_keeps_its_first_and_last_bytes_and_not_more_than_a_chart_shows() -> None:
    now = iter(n / 10 for n in range(5_001))
    emit = (timeline := Timeline(lambda: next(now))).before(lambda _: None)
    for done in range(1, 5_001):
        emit(Progress(step="models", subject="m", done=done, total=5_000))
    [moved] = timeline.course().transfers
    assert moved.samples[0] == (0.1, 1)
    assert moved.samples[-1] == (500.0, 5_000)
    assert SAMPLES_MAX / 4 < len(moved.samples) <= SAMPLES_MAX + 1
    assert list(moved.samples) == sorted(moved.samples)


@pytest.mark.parametrize(
    "kept",
    [
        None,
        "x",
        {"spans": [{"step": 1}]},
        {"spans": [], "transfers": [{"samples": 3}]},
        {"transfers": [{"step": "models", "subject": "m", "samples": []}]},
        {"spans": [{"step": "torch", "kind": "look", "says": "", "start": 2, "end": 1e300}]},
        {"spans": [{"step": "torch", "kind": "look", "says": "", "start": 2, "end": 1}]},
    ],
)
def test_a_course_that_no_run_has_is_unreadable(kept: object) -> None:
    with pytest.raises(Unreadable):
        convert(kept, Course)


def test_bars_lie_where_the_steps_were_at_work() -> None:
    svg = ElementTree.fromstring(course_chart(COURSE, ("torch", "server", "models")))
    bars = {
        (r.get("class"), r.findtext("title")): (float(r.get("x", 0)), float(r.get("width", 0)))
        for r in svg.iter("rect")
    }
    torch = bars[("mend", "torch: torch & <torchvision> are installed 1.0 to 6.0 s")]
    models = bars[("mend", "models: fetched 0.5 to 9.0 s")]
    assert torch[1] / models[1] == pytest.approx(5 / 8.5, abs=0.01)
    assert models[0] < torch[0] < torch[0] + torch[1] < models[0] + models[1]
    assert [t.text for t in svg.iter("span") if t.get("class") == "name"] == ["torch", "models", None]
    assert len(list(svg.iter("polygon"))) == 1
    assert course_chart(Course(), ("torch",)) == ""


@pytest.mark.parametrize(("whole", "last"), [(0.5, 0.5), (9.3, 8), (61, 60), (700, 600), (9_000, 9_000)])
def test_ticks_are_round_and_few(whole: float, last: float) -> None:
    found = ticks(whole)
    assert found[-1] == pytest.approx(last)
    assert 2 <= len(found) <= 10


def test_a_bench_is_kept_whole_and_shown_beside_what_is_published_for_the_same_size() -> None:
    older = [{**asdict(case), "warm_median_s": 0} for case in bench().cases]
    assert convert({**asdict(bench()), "cases": older}, Bench) == bench()
    rows = chart_rows(bench())
    assert [row[0] for row in rows if row[3] == "other"] == ["512x512, 1 step: M1 Pro, 16 GB"]
    assert ("512x512, 1 step", 1.1, "1.1 s  (1.00 to 1.20, first 2.0 s)", "mend") in rows
    svg = bars_chart(rows, about="Seconds")
    widths = [float(found) for found in re.findall(r"width:([\d.]+)%", svg)]
    assert widths == sorted(widths[:2]) + sorted(widths[2:])
    with pytest.raises(Unreadable):
        convert({"cases": 3}, Bench)
