"""Who shows what happens: plain lines, NDJSON, the live view; who is asked, and what the log keeps."""

from __future__ import annotations

import io
import json
import os
import pty
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from provision.command import Fix, ours
from provision.core.events import (
    ApplyStarted,
    Event,
    FindingSeen,
    Note,
    Output,
    Progress,
    RunStarted,
    StepFinished,
    StepStarted,
)
from provision.core.step import Report, StepReport
from provision.errors import ConsentNeeded, GitError
from provision.output import json_console
from provision.output.as_json import Run
from provision.output.console import Console, make_console
from provision.output.json_console import JsonConsole
from provision.output.live_console import LiveConsole
from provision.output.outlet import Outlet
from provision.output.result import Nothing, Pairs, Picture, looked, ran
from provision.system.visible import uncoloured
from tests.support.findings import fixable, ok
from tests.support.hints import said

PATIENCE_S = 20.0
MODEL = fixable("ckpt-missing", "x.safetensors", "The model is not here.", fix=Fix("It is downloaded."))
REPORT = Report(
    (StepReport("models", (MODEL,), False, 0.1), StepReport("torch", (ok("t", "t", "2.11"),), True, 1)), 1.0
)
ERROR = GitError("The clone [/broke] off.", hint=ours("all"))
EVENTS: list[Event] = [
    StepStarted(step="models"),
    ApplyStarted(step="models", finding_id="ckpt-missing", says="download [it] :fire:"),
    Progress(step="models", subject="x.safetensors", done=1, total=10),
    Output(step="models", line="wget [/b] said"),
    Note(step="models", says="Half is here."),
    FindingSeen(step="models", finding=MODEL),
    Progress(step="models", subject="x.safetensors", done=10, total=10),
    StepFinished(step="models", verdict="ok", says="The model is [here] :fire:", changed=True, seconds=2.0),
]


def emit_from_many_threads(console: Console, rounds: int = 60) -> None:
    """Eight steps at once, each with all events many times over."""

    def work() -> None:
        for _ in range(rounds):
            for event in EVENTS:
                console.emit(event)

    threads = [threading.Thread(target=work, daemon=True) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_S)
    assert not any(thread.is_alive() for thread in threads), "the console hangs"


# -- plain ----------------------------------------------------------------------------------------------


def test_plain_says_what_happens_on_standard_error_and_the_report_on_standard_output(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with Console() as console:
        for event in EVENTS:
            console.emit(event)
        console.answer(ran(REPORT, Nothing(), "Not finished."))
    out, err = capsys.readouterr()
    assert err.splitlines() == [
        "  models       download [it] :fire:",
        "  models       Half is here.",
        "✓ models       The model is [here] :fire: (2.0\N{NO-BREAK SPACE}s)",
    ]
    assert out.splitlines()[0] == "· models  [ckpt-missing]"
    assert out.splitlines()[-1] == "Not finished."
    assert "\x1b" not in out + err


def test_plain_says_what_programs_say_only_when_asked(capsys: pytest.CaptureFixture[str]) -> None:
    Console(verbose=True).emit(EVENTS[3])
    Console().emit(EVENTS[3])
    assert capsys.readouterr().err == "    wget [/b] said\n"


def test_plain_says_how_far_a_download_is_from_time_to_time(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    monkeypatch.setattr("provision.output.console.time.monotonic", lambda: now[0])
    console = Console()
    for second in range(12):
        now[0] = 100.0 + second
        console.emit(Progress(step="models", subject="x", done=second * 1_000_000, total=12_000_000))
    assert capsys.readouterr().err.splitlines() == [
        "  models: x 5.0 MB of 12.0 MB, 1.0 MB/s, 7.0 s left",
        "  models: x 10.0 MB of 12.0 MB, 1.0 MB/s, 2.0 s left",
    ]


def test_plain_says_an_error_with_its_hint(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "log").touch()
    Console().error(ERROR, tmp_path / "log")
    out, err = capsys.readouterr()
    assert (out, err) == ("", f"error: The clone [/broke] off.\n  → provision all\n  log: {tmp_path}/log\n")


# -- json -----------------------------------------------------------------------------------------------


def test_json_is_one_object_a_line_and_the_report_last(capsys: pytest.CaptureFixture[str]) -> None:
    with JsonConsole(Run("all"), verbose=True) as console:
        for event in EVENTS:
            console.emit(event)
        console.tell(Pairs([("for", "people")]))
        console.answer(ran(REPORT, Nothing(), "for people"))
    out, err = capsys.readouterr()
    lines = [json.loads(line) for line in out.splitlines()]
    assert [line["type"] for line in lines] == [event.type for event in EVENTS] + ["report"]
    assert lines[5]["id"] == "ckpt-missing"
    assert {(line["schema"], line["run"], line["host"]) for line in lines} == {(2, console.run.id, console.run.host)}
    assert (lines[-1]["ok"], lines[-1]["changed"], lines[-1]["command"]) == (False, True, "all")
    assert [step["name"] for step in lines[-1]["steps"]] == ["models", "torch"]
    assert err == ""


def test_json_lines_of_many_threads_never_mix(capsys: pytest.CaptureFixture[str]) -> None:
    emit_from_many_threads(JsonConsole(verbose=True))
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 8 * 60 * len(EVENTS)
    assert all(json.loads(line)["step"] == "models" for line in lines)


def test_an_error_is_a_report_too(capsys: pytest.CaptureFixture[str]) -> None:
    JsonConsole().error(ERROR, Path("/nowhere"))
    report = json.loads(capsys.readouterr().out)
    assert (report["type"], report["ok"], report["changed"], report["steps"]) == ("report", False, False, [])
    assert report["error"] == {
        "code": "git",
        "message": "The clone [/broke] off.",
        "hint": "provision all",
        "argv": ["provision", "all"],
    }


def test_what_programs_say_is_in_the_json_with_v_alone(capsys: pytest.CaptureFixture[str]) -> None:
    JsonConsole().emit(Output(step="comfyui", line="Counting objects: 11%"))
    assert capsys.readouterr().out == ""
    JsonConsole(verbose=True).emit(Output(step="comfyui", line="Counting objects: 11%"))
    assert json.loads(capsys.readouterr().out)["line"] == "Counting objects: 11%"


def test_a_run_that_says_nothing_gives_a_sign_of_life(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(json_console, "HEARTBEAT_S", 0.01)
    beats: list[dict[str, Any]] = []
    with JsonConsole() as console:
        console.emit(RunStarted(needs={"models": ()}))
        console.emit(StepStarted(step="models"))
        console.emit(Progress(step="models", subject="x", done=5, total=20))
        while not beats:
            lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
            beats = [line for line in lines if line["type"] == "heartbeat" and line["active"]]
    assert (beats[-1]["active"], beats[-1]["left_bytes"]) == (["models"], 15)


# -- live -----------------------------------------------------------------------------------------------


class Screen(io.StringIO):
    """A terminal that keeps what was drawn."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def live(monkeypatch: pytest.MonkeyPatch) -> Iterator[LiveConsole]:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("LINES", "24")
    monkeypatch.setattr(sys, "stderr", Screen())
    monkeypatch.setattr(sys, "stdout", Screen())
    with LiveConsole(verbose=True) as console:
        yield console


def drawn(outlet: Outlet) -> str:
    assert outlet.door is not None
    assert isinstance(outlet.door.bare, Screen)
    return uncoloured(outlet.door.bare.getvalue())


def test_live_leaves_finished_steps_and_what_programs_said(live: LiveConsole) -> None:
    for event in EVENTS:
        live.emit(event)
    live.answer(ran(REPORT, Nothing(), "Not finished."))
    for text in ("The model is [here] :fire:", "Half is here.", "wget [/b] said"):
        assert text in drawn(live.err)
    assert "Not finished." in drawn(live.out)


@pytest.mark.parametrize("say", [LiveConsole.line, lambda live, text: live.error(GitError(text, hint=Fix(text)))])
def test_live_takes_no_text_for_markup(live: LiveConsole, say: Callable[[LiveConsole, str], None]) -> None:
    say(live, "[/b] :fire: [red]")
    assert "[/b] :fire: [red]" in drawn(live.err)


def test_live_does_not_hang_while_many_threads_emit(live: LiveConsole) -> None:
    emit_from_many_threads(live)
    assert drawn(live.err).count("The model is") == 8 * 60


def test_live_shows_what_moves_in_a_look_whose_steps_are_not_announced(live: LiveConsole) -> None:
    live.emit(Progress(step="models", subject="hashing", done=1, total=None, unit="steps"))
    assert "hashing" in drawn(live.err)
    live.answer(looked(REPORT, Nothing(), "One finding."))
    assert not live.screen.running, "what moves is gone before the findings are shown"
    assert live.state.steps == {}, "and over"


@pytest.fixture(scope="module")
def red_png() -> bytes:
    from PIL import Image

    Image.new("RGB", (16, 16), (255, 0, 0)).save(png := io.BytesIO(), "PNG")
    return png.getvalue()


@pytest.mark.parametrize(("said", "rows"), [(0, 21), (9, 12), (15, 6), (16, 0)])
def test_a_picture_fits_the_rows_that_are_left(live: LiveConsole, red_png: bytes, said: int, rows: int) -> None:
    for _ in range(said):
        live.line("done")
    live.answer(ran(Report((), 1.0), {}, "Done.", "Picture: x.png", before=[Picture(red_png)]))
    shown = [line for line in drawn(live.out).splitlines() if "▀" in line]
    assert [line.count("▀") for line in shown] == [2 * rows] * rows, "steps before it, words after it, and the prompt"


def test_no_picture_is_shown_where_nobody_looks(red_png: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    Console().tell(Picture(red_png))
    assert capsys.readouterr().out == ""


def test_live_wraps_between_words_and_breaks_no_command(live: LiveConsole, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    command = ours("doctor", "--home", "/Volumes/a folder with a long name/provision")
    words = "What a person reads is broken between words alone."
    live.line(words)
    live.error(GitError(words, hint=Fix(f"{words} Then:", command)))
    live.answer(looked(REPORT, {}, Fix(words, command)))
    for outlet in (live.out, live.err):
        lines = [line.strip() for line in drawn(outlet).splitlines()]
        assert any(line.endswith(said(command)) for line in lines)
        assert all(len(line) <= 40 for line in lines if said(command) not in line)


# -- which one, whom to ask, the log --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("json_lines", "terminal", "term", "kind"),
    [
        (True, True, "xterm", JsonConsole),
        (True, False, "xterm", JsonConsole),
        (False, False, "xterm", Console),
        (False, True, "xterm", LiveConsole),
        (False, True, "dumb", Console),
        (False, True, "", Console),
    ],
)
def test_the_flag_picks_the_format_and_the_terminal_only_the_animation(
    monkeypatch: pytest.MonkeyPatch, json_lines: bool, terminal: bool, term: str, kind: type[Console]
) -> None:
    monkeypatch.setattr(sys, "stderr", Screen() if terminal else io.StringIO())
    console = make_console("all", json=json_lines, environ={"TERM": term})
    assert type(console) is kind


@pytest.mark.parametrize("kind", [Console, JsonConsole, LiveConsole])
@pytest.mark.parametrize("stdin", [io.StringIO("y\n"), None], ids=["pipe", "closed"])
def test_without_a_terminal_nothing_is_asked(
    monkeypatch: pytest.MonkeyPatch, kind: type[Console], stdin: io.StringIO | None
) -> None:
    monkeypatch.setattr(sys, "stdin", stdin)
    assert kind(yes=True).consent("Install git?")
    with pytest.raises(ConsentNeeded, match="Install git\\?") as seen:
        kind().consent("Install git?")
    assert "--yes" in said(seen.value.hint)


@pytest.mark.parametrize(
    ("typed", "agreed"), [("y\n", True), ("YES\n", True), ("n\n", False), ("\n", False), ("\x04", False)]
)
def test_on_a_terminal_only_yes_is_yes(monkeypatch: pytest.MonkeyPatch, typed: str, agreed: bool) -> None:
    person, terminal = pty.openpty()
    with os.fdopen(terminal, encoding="utf-8") as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        monkeypatch.setattr(sys, "stderr", screen := Screen())
        os.write(person, typed.encode())
        assert Console().consent("Install git?") is agreed
    os.close(person)
    assert screen.getvalue() == "Install git? [y/N] "


def test_the_log_keeps_events_of_all_runs(tmp_path: Path) -> None:
    log = tmp_path / "logs" / "provision.log"
    for _ in range(2):
        with Console() as console:
            console.keep_log(log)
            console.keep_log(log)
            console.emit(EVENTS[3])
    lines = log.read_text(encoding="utf-8").splitlines()
    assert [line[:3] for line in lines] == ["---", "mod", "---", "mod"]
    assert lines[1] == "models: | wget [/b] said"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this machine")
def test_a_log_on_a_full_disk_stops_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with Console() as console:
        console.keep_log(Path("/dev/full"))
        console.emit(EVENTS[4])
    assert "Half is here." in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["folder", "fifo", "link to a device", "below a file"])
def test_a_log_that_cannot_be_opened_stops_nothing(
    tmp_path: Path, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "provision.log"
    if kind == "folder":
        log.mkdir()
    elif kind == "fifo":
        os.mkfifo(log)
    elif kind == "link to a device":
        log.symlink_to("/dev/zero")
    else:
        log.write_text("", encoding="utf-8")
        log = log / "provision.log"
    with Console() as console:
        console.keep_log(log)
        console.emit(EVENTS[4])
    assert "Half is here." in capsys.readouterr().err
