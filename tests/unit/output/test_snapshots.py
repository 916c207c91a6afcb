"""Every view at the widths that people have, as text that was looked at: live, plan, report, checkup, error."""

from __future__ import annotations

from pathlib import Path

import pytest

from provision.command import Fix, ours, program
from provision.core.estimate import REHEARSED_S, USUAL_S, Pace
from provision.core.events import Event, StepFinished
from provision.core.finding import Cost, Finding
from provision.core.plan import make_plan
from provision.core.step import Report, StepReport
from provision.errors import DownloadError, GitError, PackageError
from provision.output import live_view, plan_view, views
from provision.output.layout import line, plain_text
from provision.output.run_state import RunState
from tests.support import mac_stream
from tests.support.event_streams import read_stream
from tests.support.findings import blocked, fixable, ok, warn
from tests.support.mac_stream import NEEDS, SIZE, WEIGHTS
from tests.support.snapshots import assert_screen, widest

MOMENTS = {
    "busy": mac_stream.BUSY,
    "stalled": mac_stream.STALLED,
    "refused": mac_stream.REFUSED,
    "late": mac_stream.UNPACKING,
}


def watched(moments: list[tuple[float, Event]], until: float, state: RunState) -> RunState:
    """The state at a moment, drawn twice a second until then, much as the screen does."""
    now, coming = 0.0, list(moments)
    while now < until:
        now += 1 / 2
        while coming and coming[0][0] <= now:
            state.add(*coming.pop(0))
        live_view.live_lines(state, now, 80, 24)
    return state


def drawn(state: RunState, now: float, width: int) -> str:
    lines = [line.plain for line in live_view.live_lines(state, now, width, 24)]
    assert widest(lines) < width, "no line may wrap"
    return "\n".join(lines)


@pytest.mark.parametrize("moment", MOMENTS)
def test_the_live_view(moment: str) -> None:
    now = MOMENTS[moment]
    state = watched(mac_stream.mac_stream(), now, RunState())
    assert_screen(f"live-{moment}", lambda width: drawn(state, now, width))


@pytest.mark.parametrize("share", [0.2, 0.6, 0.95])
def test_the_live_view_of_a_recorded_rehearsal(share: float) -> None:
    moments = read_stream("rehearsal")
    now = moments[-1][0] * share
    state = watched(moments, now, RunState(Pace(), REHEARSED_S))
    assert_screen(f"live-rehearsal-{round(share * 100)}", lambda width: drawn(state, now, width))


def test_finished_steps() -> None:
    ends = [event for _, event in read_stream("rehearsal") if isinstance(event, StepFinished)]
    lines = [views.step_line(event) for event in ends]
    spoken = plain_text([views.step_line(event, views.WORDS) for event in ends])
    assert_screen("steps", lambda width: plain_text(lines, width), spoken)


def step(name: str, *findings: Finding, **more: object) -> StepReport:
    return StepReport(name, findings, changed=False, seconds=0.1, **more)  # type: ignore[arg-type]


def to_do(id: str, says: str, fix: str, download: int, disk: int) -> Finding:
    return fixable(id, "x", says, fix=Fix(fix), cost=Cost(download, disk))


REPO = "https://github.com/Comfy-Org/ComfyUI"
LISTED = "ComfyUI/user/default/workflows/SDXL-Turbo 1.0.json"
# step, id, what is seen, what mends it, bytes over the network, bytes on the disk
ASKED = (
    (
        "python_env",
        "venv-missing",
        "ComfyUI has no Python 3.12 yet.",
        "Create an environment with uv.",
        25_000_000,
        90_000_000,
    ),
    (
        "torch",
        "torch-missing",
        "torch is not installed; nightly is wanted.",
        "Install torch with the torchvision that fits it, and test both.",
        165_000_000,
        700_000_000,
    ),
    (
        "comfyui",
        "comfyui-missing",
        f"ComfyUI is not here; latest of {REPO} will be downloaded.",
        "Download one revision, without history.",
        10_000_000,
        30_000_000,
    ),
    (
        "models",
        "ckpt-missing",
        f"{WEIGHTS} is missing: {SIZE:,} bytes.",
        f"Download {WEIGHTS} of stabilityai/sdxl-turbo at 71153311d3db and verify it.",
        SIZE,
        SIZE,
    ),
    (
        "requirements",
        "req-missing",
        "ComfyUI's packages are installed after ComfyUI.",
        "Install ComfyUI's packages as of the revision's date; torch is not changed.",
        640_000_000,
        1_050_000_000,
    ),
    ("workflow", "workflow-missing", "The workflow is not in ComfyUI's list yet.", f"Save it as {LISTED}.", 0, 8192),
    ("server", "server-down", "The server starts after ComfyUI is installed.", "It is started, detached.", 0, 0),
    (
        "first_image",
        "first-image-missing",
        "No image has been made with this install yet.",
        "Make and check two images.",
        0,
        2_000_000,
    ),
)
LITTLE = warn("mem-8gb", "memory", "8 GiB of memory; 16 are recommended.", fix=Fix("Close other programs."))
HOSTS = ok("net-ready", "hosts", "huggingface.co, github.com answer.")
FRESH = Report(
    (
        step("hardware", ok("hw-chip", "chip", "Apple M1 Pro in a MacBookPro18,3, Apple silicon."), LITTLE),
        step("tools", ok("git-ready", "git", "git 2.50.1."), HOSTS),
        *(step(name, to_do(id, says, fix, download, disk)) for name, id, says, fix, download, disk in ASKED),
    ),
    seconds=1.5,
)
NO_GIT = blocked(
    "clt-missing",
    "git",
    "The Command Line Tools of macOS are missing.",
    fix=Fix("Install them.", program("xcode-select", "--install")),
)
BROKE = GitError("The clone broke off:\nfatal: early EOF", hint=ours("all"))
TROUBLE = Report(
    (
        step("hardware", ok("hw-chip", "chip", "Apple M1 Pro.")),
        step("tools", NO_GIT),
        step("models", FRESH.step("models").findings[0]),
        step("comfyui", error=BROKE),
        step("server", waits_for="comfyui"),
    ),
    seconds=75.0,
)
PLANS = {"fresh": (FRESH, Pace()), "measured": (FRESH, Pace(42e6, {"torch": 18.0})), "trouble": (TROUBLE, Pace())}


@pytest.mark.parametrize("name", PLANS)
def test_the_plan(name: str) -> None:
    report, pace = PLANS[name]
    plan = make_plan(report, NEEDS, pace, USUAL_S)
    closing = plan_view.reckoned_with(plan)

    def at(width: int) -> str:
        text = plain_text([*plan_view.plan_lines(plan), line(closing)], width)
        assert widest(text.splitlines()) <= width
        return text

    assert_screen(f"plan-{name}", at, plain_text([*plan_view.plan_sentences(plan), line(closing)]))


def test_the_report_of_a_run() -> None:
    closing = [Fix("Not finished after 1 min 15 s. Finished work is kept. After fixing it:", ours("all"))]
    report, checkup = views.report_lines(TROUBLE, closing), views.checkup_lines(TROUBLE, closing)
    spoken = plain_text(views.report_lines(TROUBLE, closing, views.WORDS))
    assert_screen("ending", lambda width: plain_text(report, width), spoken)
    spoken = plain_text(views.checkup_lines(TROUBLE, closing, marks=views.WORDS))
    assert_screen("checkup", lambda width: plain_text(checkup, width), spoken)


ERRORS = {
    "download": DownloadError(
        f"The download of {WEIGHTS} stopped at 2,911,000,000 of {SIZE:,} bytes; the downloaded part is kept.",
        hint=Fix("Run the same command again: it resumes there."),
    ),
    "packages": PackageError(
        "torch could not be installed: the package index's host was not found. uv's last output:\n"
        "error: Request failed after 3 retries\n  Caused by: dns error: failed to lookup address information",
        hint=Fix(
            "Check the network or HTTPS_PROXY, or set a mirror with UV_DEFAULT_INDEX=URL; then run the command again."
        ),
    ),
}


@pytest.mark.parametrize("name", ERRORS)
def test_an_error(name: str) -> None:
    log = Path("/Users/you/provision/logs/provision.log")
    lines = views.error_lines(ERRORS[name], log, "✗")
    spoken = plain_text(views.error_lines(ERRORS[name], log, "error:", views.WORDS))
    assert_screen(f"error-{name}", lambda width: plain_text(lines, width), spoken)
