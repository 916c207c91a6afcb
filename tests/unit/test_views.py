"""How things look: numbers for people, progress, reports and tables at the widths that people have."""

from __future__ import annotations

import io
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console, RenderableType

from provision import views
from provision.errors import GitError
from provision.events import (
    ApplyStarted,
    Event,
    FindingSeen,
    ImageMade,
    Note,
    Output,
    Progress,
    StepFinished,
    StepStarted,
)
from provision.finding import Finding, Fix, Verdict, blocked, fixable, ok, warn
from provision.step import Report, StepReport
from provision.views import Rate, progress_text, size_text, time_text

WEIGHTS = "sd_xl_turbo_1.0_fp16.safetensors"
FETCH = Fix("It is downloaded.", ())
MODEL = fixable("ckpt-missing", WEIGHTS, f"{WEIGHTS} is not here.", fix=FETCH, download_bytes=6_938_081_905,
                disk_bytes=6_938_081_905)  # fmt: skip
DISK = blocked("disk-low", "/Volumes/x", "5.00 GB are free, 21.00 GB are needed.",
               fix=Fix("Free some space:", ("du", "-sh", "/Volumes/my disk")))  # fmt: skip


def rendered(view: RenderableType, width: int) -> list[str]:
    console = Console(file=io.StringIO(), width=width, force_terminal=False, legacy_windows=False)
    console.print(view)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


def step(name: str, *findings: Finding, **more: object) -> StepReport:
    return StepReport(name, findings, changed=False, seconds=0.1, **more)  # type: ignore[arg-type]


REPORT = Report(
    (
        step("hardware", ok("chip", "chip", "Apple M1 Pro"), warn("mem", "memory", "8 GiB is little.")),
        step("tools", DISK),
        step("models", MODEL),
        step("comfyui", error={"code": "git", "message": "The clone broke off.", "hint": "provision all"}),
        step("server", waits_for="comfyui"),
    ),
    seconds=1.5,
)


# -- numbers --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (123_456, "123.5 kB"), (999_949, "999.9 kB"), (999_950, "1.0 MB"),
     (999_999, "1.0 MB"), (40_100_000, "40.1 MB"), (999_999_999, "1.00 GB"), (6_938_081_905, "6.94 GB"),
     (13_875_000_000_000, "13875.00 GB")],
)  # fmt: skip
def test_bytes_for_people(size: int, text: str) -> None:
    assert size_text(size) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0.0 s"), (0.44, "0.4 s"), (9.94, "9.9 s"), (9.96, "10 s"), (12.4, "12 s"), (59.7, "1 min 00 s"),
     (200, "3 min 20 s"), (3599.7, "1 h 00 min"), (3900, "1 h 05 min"), (90_000, "25 h 00 min")],
)  # fmt: skip
def test_seconds_for_people(seconds: float, text: str) -> None:
    assert time_text(seconds) == text


def test_a_rate_is_known_after_half_a_second_and_forgets_what_is_old() -> None:
    rate, known = Rate(), list[float | None]()
    for now, done in ((100.0, 0), (100.1, 50), (101.0, 1000)):
        known.append(rate.bytes_per_s)
        rate.add(now, done)
    assert [*known, rate.bytes_per_s] == [None, None, None, 1000]
    for second in range(2, 30):
        rate.add(100.0 + second, 1000 + 10 * (second - 1))
    assert rate.bytes_per_s == pytest.approx(10)


def test_a_rate_starts_anew_when_the_bytes_fall() -> None:
    rate = Rate()
    for second in range(4):
        rate.add(float(second), second * 100)
    rate.add(4.0, 0)
    assert rate.bytes_per_s is None
    rate.add(5.0, 7)
    assert rate.bytes_per_s == 7


@given(st.lists(st.tuples(st.floats(0, 5), st.integers(0, 10**12)), max_size=30))
def test_a_rate_is_never_negative(steps: Iterable[tuple[float, int]]) -> None:
    rate, now = Rate(), 0.0
    for wait, done in steps:
        now += wait
        rate.add(now, done)
        assert rate.bytes_per_s is None or rate.bytes_per_s >= 0


def test_progress_says_bytes_rate_and_time_left() -> None:
    event = Progress(subject=WEIGHTS, done=1_200_000_000, total=6_938_081_905)
    assert progress_text(event) == f"{WEIGHTS} 1.20 GB of 6.94 GB"
    assert progress_text(event, 40_100_000) == f"{WEIGHTS} 1.20 GB of 6.94 GB, 40.1 MB/s, 2 min 23 s left"
    assert progress_text(event, 0) == progress_text(event)
    assert progress_text(Progress(subject="x", done=5), 1000) == "x 5 B, 1.0 kB/s"
    assert progress_text(Progress(subject="ComfyUI", done=3, total=9, unit="objects")) == "ComfyUI 3 of 9 objects"
    assert "-" not in progress_text(Progress(subject="x", done=20, total=10), 1.0), "more came than was said"


@pytest.mark.parametrize(("done", "full"), [(0, 0), (5, 8), (10, 16), (99, 16)])
def test_a_bar_is_as_full_as_the_work(done: int, full: int) -> None:
    text = views.bar(Progress(subject="x", done=done, total=10))
    assert (text.count("━"), len(text.rstrip())) == (full, 16)
    assert views.bar(Progress(subject="x", done=1)) == ""


# -- lines ----------------------------------------------------------------------------------------------


def test_a_finished_step_is_one_line() -> None:
    event = StepFinished(
        step="models", verdict="blocked", says="It broke off:\nmore\nand more", changed=True, seconds=3
    )
    assert views.step_line(event) == "✗ models        It broke off: (3.0 s)"
    assert views.step_text(event).plain == "✗ models       It broke off:  3.0 s"


def test_every_event_has_its_line_in_the_log_or_none() -> None:
    events: list[tuple[Event, str]] = [
        (Output(step="torch", line="+ torch"), "torch: | + torch"),
        (Note(step="torch", says="Stable it is."), "torch: Stable it is."),
        (ApplyStarted(step="torch", finding_id="x", says="install"), "torch: install"),
        (FindingSeen(step="models", finding=MODEL), f"models: [fixable] ckpt-missing {WEIGHTS}: {MODEL.says}"),
        (StepFinished(step="torch", verdict="ok", says="fine", changed=True, seconds=1),
         "torch: finished ok in 1.00 s: fine"),
        (ImageMade(step="first_image", path="/x.png", seconds=2), "first_image: image /x.png in 2.00 s"),
        (Progress(step="models", subject="x", done=1), ""),
        (StepStarted(step="models"), ""),
    ]  # fmt: skip
    assert [views.log_line(event) for event, _ in events] == [line for _, line in events]


def test_a_fix_can_be_pasted() -> None:
    assert views.command_text(DISK) == "Free some space:   du -sh '/Volumes/my disk'"
    assert views.command_text(MODEL) == "It is downloaded."
    assert views.command_text(ok("chip", "chip", "M1")) == ""


def test_an_error_shows_its_hint_and_its_log_where_there_is_one(tmp_path: Path) -> None:
    error = GitError("The clone [/broke] off.", hint="provision all")
    assert rendered(views.error_view(error, tmp_path / "no"), 80) == ["✗ The clone [/broke] off.", "  → provision all"]
    (tmp_path / "log").touch()
    assert f"log: {tmp_path}/log" in "".join(rendered(views.error_view(error, tmp_path / "log"), 200))


# -- reports --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["text", "view"])
def test_a_report_shows_what_is_wrong_with_its_fix_and_what_waits(form: str) -> None:
    lines = (
        views.report_text(REPORT, "Not finished.").splitlines()
        if form == "text"
        else rendered(views.report_view(REPORT, "Not finished."), 120)
    )
    text = "\n".join(lines)
    assert "Apple M1 Pro" not in text, "what is well is not shown"
    for part in ("! hardware: 8 GiB is little.", "✗ tools: 5.00 GB are free", "→ Free some space:   du -sh",
                 "· models:", "✗ comfyui: The clone broke off.", "→ provision all", "server"):  # fmt: skip
        assert part in text
    assert lines[-1] == "Not finished."


def test_a_checkup_shows_every_finding_with_its_id() -> None:
    text = views.checkup_text(REPORT, "3 finding(s).")
    for part in ("✓ Apple M1 Pro  [chip]", "! 8 GiB is little.  [mem]", "✗ 5.00 GB", "[disk-low]", "clone broke off",
                 f"· {MODEL.says}  [ckpt-missing]"):  # fmt: skip
        assert part in text
    assert text.endswith("\n3 finding(s).")


def test_a_report_without_trouble_is_its_closing_sentence() -> None:
    assert views.report_text(Report((step("a", ok("x", "y", "fine")),), 1.0), "All is well.") == "All is well."


@pytest.mark.parametrize("width", [60, 80, 120])
def test_the_plan_loses_no_column(width: int) -> None:
    lines = rendered(views.plan_table(REPORT), width)
    assert max(map(len, lines)) <= width
    header = next(line for line in lines if line.startswith("step"))
    assert header.split() == ["step", "what", "network", "disk"]
    for mark, name in (("✓", "hardware"), ("!", "hardware"), ("✗", "tools"), ("·", "models"), ("✗", "comfyui")):
        assert any(line.startswith(f"{mark} {name} ") for line in lines)
    (row,) = (line for line in lines if line.startswith("· models"))
    assert row.split()[-4:] == ["6.94", "GB", "6.94", "GB"]
    assert lines[-1].split() == ["total", "6.94", "GB", "6.94", "GB"]
    what = " ".join(line[header.index("what") : header.index("network")].strip() for line in lines)
    for word in ("Apple", "M1", "downloaded.", "'/Volumes/my", "broke"):
        assert word in what


BRACKETS = "[/b] [red] [bold]x[/bold] :fire: \\[y]"


def test_text_of_others_is_never_markup() -> None:
    bad = Report((step("a", fixable("x", "y", BRACKETS, fix=Fix(BRACKETS))),), 1.0)
    for view in (
        views.plan_table(bad), views.report_view(bad, BRACKETS), views.pairs_table([("prompt", BRACKETS)]),
        views.live_table([views.LiveRow("a", BRACKETS, [], None, BRACKETS, 0.0)], 1.0),
        views.note_text(Note(step="a", says=BRACKETS)),
    ):  # fmt: skip
        assert BRACKETS in "\n".join(rendered(view, 200))


def test_pairs_keep_long_values_whole() -> None:
    lines = rendered(views.pairs_table([("home", "/a" * 60), ("server", "up")]), 60)
    assert "".join(line[8:].strip() for line in lines) == "/a" * 60 + "up"


def test_the_live_view_shows_bytes_of_a_row_or_what_it_does() -> None:
    one = Progress(subject="a.whl", done=1_000_000, total=2_000_000)
    lines = rendered(
        views.live_table([views.LiveRow("torch", "install", [one], 500_000.0, "", 0.0),
                          views.LiveRow("comfyui", "clone", [], None, "Receiving objects", 0.0)], 2.5), 120,
    )  # fmt: skip
    assert "━━━━━━━━╌╌╌╌╌╌╌╌ a.whl 1.0 MB of 2.0 MB, 500.0 kB/s, 2.0 s left" in lines[0]
    assert "clone  Receiving objects" in lines[1]
    assert lines[1].endswith("2.5 s")


def test_marks_and_styles_stand_for_every_verdict() -> None:
    assert set(views.MARKS) == set(views.STYLES) == set(Verdict)
    assert all(better.rank < worse.rank for better, worse in pairwise(Verdict))
