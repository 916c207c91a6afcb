"""A run is seen from outside while it lasts, and only then."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest

from provision.cli import run_in_progress as seen_from_outside
from provision.cli.command import Session
from provision.cli.commands.status import follow
from provision.cli.request import Request
from provision.cli.run_in_progress import RunInProgress, end_run, kept, run_in_progress
from provision.core.events import Progress, RunStarted, StepStarted
from provision.core.home import Home
from provision.core.receipts import write_json
from provision.core.step import Context
from provision.output.as_json import Run
from provision.output.console import Console
from provision.output.json_console import JsonConsole
from provision.system.local_machine import LocalMachine
from tests.support.processes import seen


@pytest.fixture
def console(monkeypatch: pytest.MonkeyPatch) -> Console:
    monkeypatch.setattr(seen_from_outside, "EVERY_S", 0.01)
    return Console(Run("all", "1234"))


def until(home: Home, fits: Callable[[RunInProgress], bool]) -> RunInProgress:
    """What is seen once it fits."""
    ends = time.monotonic() + 20
    while time.monotonic() < ends:
        seen = run_in_progress(home, LocalMachine())
        if seen is not None and fits(seen):
            return seen
    raise AssertionError("it was never seen")


def test_a_run_tells_its_steps_and_bytes_and_nothing_once_it_is_over(home: Home, console: Console) -> None:
    machine = LocalMachine()
    assert run_in_progress(home, machine) is None
    with kept(home, machine, console):
        started = until(home, lambda seen: seen.active == ())
        assert (started.pid, started.run, started.command) == (os.getpid(), "1234", "all")
        console.emit(RunStarted(needs={"models": ()}))
        console.emit(StepStarted(step="models"))
        console.emit(Progress(step="models", subject="x", done=0, total=10_000_000))
        console.emit(Progress(step="models", subject="x", done=4_000_000, total=10_000_000))
        moving = until(home, lambda seen: seen.done_bytes == 4_000_000)
        assert (moving.active, moving.left_bytes) == (("models",), 6_000_000)
        assert moving.since < moving.last_sign
    assert run_in_progress(home, machine) is None
    assert not list(home.state.glob("*in-progress*"))


def test_what_a_killed_run_left_is_no_run(home: Home, console: Console, tmp_path: Path) -> None:
    machine, path = LocalMachine(), home.state / "in-progress.json"
    with kept(home, machine, console):
        until(home, lambda seen: True)
        note = json.loads(path.read_text(encoding="utf-8"))
    for wrong in (
        {**note, "born": note["born"] - 60},
        {**note, "seen": {**note["seen"], "pid": 2**22 + 1}},
        {"pid": 1},
    ):
        path.write_text(json.dumps(wrong), encoding="utf-8")
        assert run_in_progress(home, machine) is None


def test_it_is_followed_until_it_ends(
    context: Callable[..., Context], console: Console, capsys: pytest.CaptureFixture[str]
) -> None:
    watching, over = JsonConsole(), threading.Event()
    machine = LocalMachine()
    ctx = Context(machine, context().manifest, context().home, emit=watching.emit)

    def work() -> None:
        with kept(ctx.home, machine, console):
            over.wait(20)

    thread = threading.Thread(target=work)
    thread.start()
    until(ctx.home, lambda seen: True)
    threading.Timer(0.2, over.set).start()
    follow(Session(Request("status"), watching, ctx))
    thread.join()
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {line["type"] for line in lines} == {"run_seen"}
    assert (lines[0]["over"], lines[-1]["over"]) == (False, True)
    assert lines[0]["in_progress"]["pid"] == os.getpid()


@pytest.mark.parametrize("frozen", [False, True])
def test_a_run_can_be_stopped_from_outside_and_nothing_else_can(home: Home, frozen: bool) -> None:
    machine = LocalMachine()
    assert end_run(home, machine) is None
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]) as run:
        process = seen(run.pid)
        noted = RunInProgress(run.pid, "1234", "all", "", "")
        write_json(home.state / "in-progress.json", {"born": process.created + 60, "seen": asdict(noted)})
        assert end_run(home, machine) is None  # another process that has this pid now
        assert run.poll() is None
        if frozen:
            run.send_signal(signal.SIGSTOP)
        write_json(home.state / "in-progress.json", {"born": process.created, "seen": asdict(noted)})
        assert end_run(home, machine) == noted
        assert run.wait(20) < 0
