"""How things look: numbers for people, progress, reports and tables at the widths that people have."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import pytest

from provision.command import Fix, ours, program
from provision.core.estimate import Pace
from provision.core.events import (
    ApplyStarted,
    Event,
    FindingSeen,
    ImageMade,
    Note,
    Output,
    Progress,
    StepFinished,
    StepStarted,
    Waiting,
)
from provision.core.finding import Cost, Finding, Verdict
from provision.core.plan import make_plan
from provision.core.step import Report, StepReport
from provision.errors import GitError
from provision.output import plan_view, views
from provision.output.amounts import size_text, time_text
from provision.output.layout import Line, plain_text
from provision.output.views import progress_text
from tests.support.findings import blocked, fixable, ok, warn
from tests.support.hints import said

WEIGHTS = "sd_xl_turbo_1.0_fp16.safetensors"
FETCH = Fix("It is downloaded.")
SIZE = Cost(6_938_081_905, 6_938_081_905)
MODEL = fixable("ckpt-missing", WEIGHTS, f"{WEIGHTS} is not here.", fix=FETCH, cost=SIZE)
DISK = blocked(
    "disk-low",
    "/Volumes/x",
    "5.00 GB are free, 21.00 GB are needed.",
    fix=Fix("Free some space:", program("du", "-sh", "/Volumes/my disk")),
)


def rendered(lines: Sequence[Line], width: int | None = None) -> list[str]:
    return plain_text(lines, width).splitlines()


def step(name: str, *findings: Finding, **more: object) -> StepReport:
    return StepReport(name, findings, changed=False, seconds=0.1, **more)  # type: ignore[arg-type]


REPORT = Report(
    (
        step("hardware", ok("chip", "chip", "Apple M1 Pro"), warn("mem", "memory", "8 GiB is little.")),
        step("tools", DISK),
        step("models", MODEL),
        step("comfyui", error=GitError("The clone broke off.", hint=ours("all"))),
        step("server", waits_for="comfyui"),
    ),
    seconds=1.5,
)


# -- numbers --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (123_456, "123.5 kB"),
        (999_949, "999.9 kB"),
        (999_950, "1.0 MB"),
        (999_999, "1.0 MB"),
        (40_100_000, "40.1 MB"),
        (999_999_999, "1.00 GB"),
        (6_938_081_905, "6.94 GB"),
        (13_875_000_000_000, "13875.00 GB"),
    ],
)
def test_bytes_for_people(size: int, text: str) -> None:
    assert size_text(size) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0.0 s"),
        (0.44, "0.4 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (12.4, "12 s"),
        (59.7, "1 min 00 s"),
        (200, "3 min 20 s"),
        (3599.7, "1 h 00 min"),
        (3900, "1 h 05 min"),
        (90_000, "25 h 00 min"),
    ],
)
def test_seconds_for_people(seconds: float, text: str) -> None:
    assert time_text(seconds) == text


def test_progress_says_bytes_rate_and_time_left() -> None:
    event = Progress(subject=WEIGHTS, done=1_200_000_000, total=6_938_081_905)
    assert progress_text(event) == f"{WEIGHTS} 1.20 GB of 6.94 GB"
    assert progress_text(event, 40_100_000) == f"{WEIGHTS} 1.20 GB of 6.94 GB, 40.1 MB/s, 2 min 23 s left"
    assert progress_text(event, 0) == progress_text(event)
    assert progress_text(Progress(subject="x", done=5), 1000) == "x 5 B, 1.0 kB/s"
    assert progress_text(Progress(subject="ComfyUI", done=3, total=9, unit="objects")) == "ComfyUI 3 of 9 objects"
    assert "-" not in progress_text(Progress(subject="x", done=20, total=10), 1.0), "more came than was said"


# -- lines ----------------------------------------------------------------------------------------------


def test_a_finished_step_is_one_line() -> None:
    event = StepFinished(
        step="models", verdict="blocked", says="It broke off:\nmore\nand more", changed=True, seconds=3
    )
    assert rendered([views.step_line(event)]) == ["✗ models       It broke off: (3.0\N{NO-BREAK SPACE}s)"]
    assert rendered([views.step_line(event, views.WORDS)]) == ["stop models: It broke off: (3.0\N{NO-BREAK SPACE}s)"]


def test_every_event_has_its_line_in_the_log_or_none() -> None:
    events: list[tuple[Event, str]] = [
        (Output(step="torch", line="+ torch"), "torch: | + torch"),
        (Note(step="torch", says="Stable it is."), "torch: Stable it is."),
        (ApplyStarted(step="torch", finding_id="x", says="install"), "torch: install"),
        (FindingSeen(step="models", finding=MODEL), f"models: [fixable] ckpt-missing {WEIGHTS}: {MODEL.says}"),
        (
            StepFinished(step="torch", verdict="ok", says="fine", changed=True, seconds=1),
            "torch: finished ok in 1.00 s: fine",
        ),
        (ImageMade(step="first_image", path="/x.png", seconds=2), "first_image: image /x.png in 2.00 s"),
        (Progress(step="models", subject="x", done=1), ""),
        (StepStarted(step="models"), ""),
        (Waiting(step="models", says="It answers 503.", seconds=8), "models: It answers 503. Retrying in 8.0 s."),
    ]
    assert [views.log_line(event) for event, _ in events] == [line for _, line in events]


def test_a_fix_can_be_pasted() -> None:
    assert said(DISK.fix) == "Free some space: du -sh '/Volumes/my disk'"
    assert said(MODEL.fix) == "It is downloaded."
    assert said(ok("chip", "chip", "M1").fix) == ""


def test_an_error_says_what_happened_then_what_to_type_and_last_where_the_log_is() -> None:
    error = GitError("The clone [/broke] off:\nfatal: \x1b[2Jearly EOF", hint=ours("all", "--home", "/a b"))
    expected = [
        "The clone [/broke] off:",
        "    fatal: \\x1b[2Jearly EOF",
        "  → provision all --home '/a b'",
        "  log: /x/log",
    ]
    seen = rendered(views.error_lines(error, Path("/x/log"), "✗"), 80)
    assert [line.removeprefix("✗ ") for line in seen] == expected
    seen = rendered(views.error_lines(error, None, "✗"), 80)
    assert seen[-1] == expected[2]


def test_what_is_to_be_pasted_is_not_broken_into_lines() -> None:
    error = GitError("It broke.", hint=ours("all", "--home", "/long" * 30))
    assert rendered(views.error_lines(error, None, "✗"), 60)[-1] == f"  → {said(error.hint)}"
    assert rendered(views.report_lines(REPORT, ["x" * 90]), 60)[-1] == "x" * 90


def test_a_name_of_others_stays_one_line_and_takes_the_room_that_it_needs() -> None:
    rows = [("a\nb\x1b]0;t\x07", "seen"), ("c", "two\nlines \x9b2J")]
    assert [line.rstrip() for line in rendered(views.pair_lines(rows), 60)] == [
        r"a\nb\x1b]0;t\x07  seen",
        "c                 two",
        r"                  lines \x9b2J",
    ]


# -- reports --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [None, 120])
def test_a_report_shows_what_is_to_be_done_and_what_waits(width: int | None) -> None:
    lines = rendered(views.report_lines(REPORT, ["Not finished."]), width)
    text = "\n".join(lines)
    assert "Apple M1 Pro" not in text, "what is well is not shown"
    for part in (
        "✗ tools  [disk-low]",
        "→ Free some space: du -sh",
        "· models  [ckpt-missing]",
        "✗ comfyui  [git]",
        "→ provision all",
        "server",
    ):
        assert part in text
    assert lines[-1] == "Not finished."


def test_a_checkup_shows_every_finding_with_its_id() -> None:
    text = plain_text(views.checkup_lines(REPORT, ["3 problems."], details=True))
    for part in (
        "✓ Apple M1 Pro  [chip]",
        "! 8 GiB is little.  [mem]",
        "✗ tools        5.00 GB",
        "[disk-low]",
        "clone broke off",
        f"· models       {MODEL.says}  [ckpt-missing]",
    ):
        assert part in text
    assert text.endswith("\n3 problems.")


def test_a_report_without_trouble_is_its_closing_sentence() -> None:
    assert (
        plain_text(views.report_lines(Report((step("a", ok("x", "y", "fine")),), 1.0), ["All is well."]))
        == "All is well."
    )


BRACKETS = "[/b] [red] [bold]x[/bold] :fire: \\[y]"


def test_text_of_others_is_never_markup() -> None:
    bad = Report((step("a", fixable("x", "y", BRACKETS, fix=Fix(BRACKETS))),), 1.0)
    for lines in (
        plan_view.plan_lines(make_plan(bad, {}, Pace(), {})),
        views.report_lines(bad, [BRACKETS]),
        views.pair_lines([("prompt", BRACKETS)]),
        views.note_lines(Note(step="a", says=BRACKETS)),
    ):
        assert BRACKETS in "\n".join(rendered(lines, 200))


def test_pairs_keep_long_values_whole() -> None:
    lines = rendered(views.pair_lines([("home", "/a" * 60), ("server", "up")]), 60)
    assert lines == [f"home    {'/a' * 60}", "server  up"], "the terminal wraps it, unbroken"


def test_marks_and_styles_stand_for_every_verdict() -> None:
    assert set(views.MARKS) == set(views.WORDS.of) == set(views.STYLES) == set(Verdict)
    assert all(better.rank < worse.rank for better, worse in pairwise(Verdict))
