"""The server as a real process: started, found again, started anew, taken on, and never confused with others'."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from provision.comfyui import server_process
from provision.comfyui.api import Comfy
from provision.comfyui.server_process import server_argv, stop_server
from provision.comfyui.server_status import server_status, shown_time
from provision.core.finding import Finding, Verdict
from provision.core.runner import run_step
from provision.core.step import Context, Options
from provision.errors import EngineError, Interrupted, PortTaken
from provision.steps.server import step as server
from provision.steps.server.step import SERVER, check_server
from provision.system.local_machine import LocalMachine, free_port
from provision.system.machine import LOOPBACK
from tests.support.engine_home import ENGINE, EngineHome, engine_home, install_torch, with_sets
from tests.support.hints import said
from tests.support.processes import eventually


@contextmanager
def home_of(root: Path, fault: str = "", **words: object) -> Iterator[EngineHome]:
    made = engine_home(root, fault=fault, **words)  # type: ignore[arg-type]
    try:
        yield made
    finally:
        stop_server(made.ctx)


@pytest.fixture
def home(tmp_path: Path) -> Iterator[EngineHome]:
    with home_of(tmp_path) as made:
        yield made


def first(ctx: Context) -> Finding:
    return next(iter(check_server(ctx)))


def pid_of(ctx: Context) -> int:
    record = server_process.read_record(ctx)
    assert record is not None
    return record.pid


# -- the command ----------------------------------------------------------------------------------------------


def test_the_command_is_on_loopback_and_isolated(home: EngineHome) -> None:
    ctx = home.ctx
    assert server_argv(ctx) == (
        str(ctx.home.python),
        "-s",
        str(ctx.home.comfyui / "main.py"),
        "--listen",
        "127.0.0.1",
        "--port",
        str(ctx.manifest.comfyui.port),
        "--disable-auto-launch",
        "--force-fp16",
        "--cpu",
    )
    ctx.receipts.write("torch", device="mps")
    assert "--cpu" not in server_argv(ctx)
    assert server_process.engine_flags(with_sets(ctx, 'comfyui.args=["--cpu"]')) == ("--cpu",)


# -- its life -------------------------------------------------------------------------------------------------


def test_down_up_again_stopped(home: EngineHome) -> None:
    ctx = home.ctx
    down = first(ctx)
    assert (down.id, down.verdict) == ("server-down", Verdict.FIXABLE)
    assert server_status(ctx).state == "down"
    report = run_step(SERVER, ctx, apply=True)
    assert (report.satisfied, report.changed) == (True, True), report
    assert "To see the GUI go to" in home.says()

    pid, started = pid_of(ctx), time.perf_counter()
    again = run_step(SERVER, ctx, apply=True)
    assert time.perf_counter() - started < 1
    assert not again.changed
    assert again.findings[0].id == "server-up"
    assert f"pid {pid}, up for" in again.findings[0].says
    status = server_status(ctx)
    assert (status.state, status.pid, status.device) == ("up", pid, "cpu")

    assert stop_server(ctx) is True
    assert ctx.machine.process(pid) is None
    assert stop_server(ctx) is False
    assert first(ctx).id == "server-down"


def test_deep_asks_the_queue(tmp_path: Path) -> None:
    with home_of(tmp_path, deep=True) as home:
        run_step(SERVER, home.ctx, apply=True)
        assert "queue: 0 running, 0 waiting" in first(home.ctx).says


def test_the_log_before_is_kept_once(home: EngineHome) -> None:
    ctx = home.ctx
    ctx.home.engine_log.write_text("the run before\n")
    run_step(SERVER, ctx, apply=True)
    assert (ctx.home.logs / "comfyui.log.1").read_text() == "the run before\n"
    assert "ComfyUI version" in ctx.home.engine_log.read_text()


@pytest.mark.parametrize("change", ["flags", "commit", "torch", "port"])
def test_what_makes_it_stale(home: EngineHome, change: str) -> None:
    ctx = home.ctx
    run_step(SERVER, ctx, apply=True)
    pid, port = pid_of(ctx), ctx.manifest.comfyui.port
    if change == "flags":
        ctx = with_sets(ctx, 'comfyui.args=["--force-fp32"]')
    elif change == "commit":
        ctx.receipts.write("comfyui", commit="2" * 40)
    elif change == "torch":
        install_torch(ctx.home, "2.17.0")
    else:
        ctx = with_sets(ctx, f"comfyui.port={free_port()}")
    stale = first(ctx)
    assert (stale.id, stale.verdict) == ("server-stale", Verdict.FIXABLE), stale
    report = run_step(SERVER, ctx, apply=True)
    assert report.satisfied, report
    assert pid_of(ctx) != pid
    assert ctx.machine.process(pid) is None
    if change == "port":
        assert Comfy(port, check=lambda: None).system_stats() is None
    stop_server(ctx)


def test_a_server_is_not_ended_for_flags_that_comfyui_refuses(home: EngineHome) -> None:
    run_step(SERVER, home.ctx, apply=True)
    pid = pid_of(home.ctx)
    ctx = with_sets(home.ctx, 'comfyui.args=["--force-fp16", "--force-fp32"]')
    stale = first(ctx)
    assert stale.id == "server-stale"
    with pytest.raises(EngineError, match="ComfyUI accepts only one of them") as refused:
        server.apply_server(ctx, stale)
    assert said(refused.value.hint) == "Leave out --force-fp32.   provision all --set 'comfyui.args=[\"--force-fp16\"]'"
    assert pid_of(ctx) == pid
    assert ctx.machine.process(pid) is not None
    stop_server(ctx)


def test_a_server_that_hangs_is_started_anew(home: EngineHome, monkeypatch: pytest.MonkeyPatch) -> None:
    ctx = home.ctx
    run_step(SERVER, ctx, apply=True)
    pid = pid_of(ctx)
    monkeypatch.setattr(Comfy.system_stats, "__defaults__", (0.3,))
    os.kill(pid, signal.SIGSTOP)
    assert first(ctx).id == "server-starting", "a young server is given time"
    monkeypatch.setattr(server, "START_TIMEOUT_S", 0.0)
    hung = first(ctx)
    assert hung.id == "server-stale"
    assert "is running but does not answer" in hung.says
    ending = threading.Timer(0.2, os.kill, (pid, signal.SIGCONT))  # SIGTERM waits for it
    ending.start()
    server.apply_server(ctx, hung)
    ending.join()
    assert pid_of(ctx) != pid


def test_a_server_that_still_starts_is_waited_for(tmp_path: Path) -> None:
    with home_of(tmp_path, "slow_start:1") as home:
        ctx = home.ctx
        argv = server_argv(ctx)
        pid = ctx.machine.spawn(argv, cwd=ctx.home.comfyui, log=ctx.home.engine_log, env={})
        process = ctx.machine.process(pid)
        assert process is not None
        server_process.write_record(ctx, process, argv)
        assert first(ctx).id == "server-starting"
        assert run_step(SERVER, ctx, apply=True).satisfied
        assert pid_of(ctx) == pid


def test_a_record_of_a_pid_used_again_is_not_believed(home: EngineHome) -> None:
    ctx = home.ctx
    argv = list(server_argv(ctx))
    for pid, created in ((os.getpid(), 1.0), (2**22 - 3, time.time())):
        record = {"pid": pid, "created": created, "port": ctx.manifest.comfyui.port, "argv": argv}
        server_process.record_path(ctx).write_text(json.dumps(record))
        assert first(ctx).id == "server-down"
        assert stop_server(ctx) is False
    for broken in ("", "[]", '{"pid": "x"}'):
        server_process.record_path(ctx).write_text(broken)
        assert first(ctx).id == "server-down"


# -- whose port -----------------------------------------------------------------------------------------------


def test_our_server_without_its_record_is_taken_on(home: EngineHome) -> None:
    ctx = home.ctx
    run_step(SERVER, ctx, apply=True)
    pid = pid_of(ctx)
    server_process.record_path(ctx).unlink()
    lost = first(ctx)
    assert (lost.id, lost.verdict) == ("server-lost", Verdict.FIXABLE)
    assert server_status(ctx).state == "up"
    assert run_step(SERVER, ctx, apply=True).satisfied
    assert pid_of(ctx) == pid


def test_our_server_without_its_record_and_with_other_flags_is_started_anew(home: EngineHome) -> None:
    run_step(SERVER, home.ctx, apply=True)
    pid = pid_of(home.ctx)
    server_process.record_path(home.ctx).unlink()
    ctx = with_sets(home.ctx, 'comfyui.args=["--force-fp32"]')
    assert run_step(SERVER, ctx, apply=True).satisfied
    assert pid_of(ctx) != pid
    assert ctx.machine.process(pid) is None


def test_another_comfyui_is_named_and_left_alone(tmp_path: Path) -> None:
    with home_of(tmp_path / "theirs") as theirs:
        run_step(SERVER, theirs.ctx, apply=True)
        port = theirs.ctx.manifest.comfyui.port
        mine = engine_home(tmp_path / "mine", port=port).ctx
        report = run_step(SERVER, mine, apply=True)
        (seen,) = report.findings
        assert (seen.id, seen.verdict, report.changed) == ("port-comfyui", Verdict.BLOCKED, False)
        assert str(theirs.ctx.home.comfyui / "main.py") in seen.says
        assert seen.fix is not None
        assert seen.fix.command.argv[-1] == f"comfyui.port={port + 1}"
        assert stop_server(mine) is False
        assert first(theirs.ctx).id == "server-up"


def test_a_server_started_by_hand_in_our_folder_is_a_persons(home: EngineHome) -> None:
    ctx, port = home.ctx, str(home.ctx.manifest.comfyui.port)
    site = ctx.home.venv / "lib" / "python3.11" / "site-packages"
    hand = subprocess.Popen(
        [sys.executable, "main.py", "--cpu", "--port", port],
        cwd=ctx.home.comfyui,
        env={**os.environ, "PYTHONPATH": str(site)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        comfy = Comfy(int(port), check=lambda: None)
        assert eventually(lambda: comfy.system_stats() is not None)
        seen = first(ctx)
        assert (seen.id, seen.verdict) == ("port-comfyui", Verdict.BLOCKED)
        assert stop_server(ctx) is False
        assert hand.poll() is None
    finally:
        hand.terminate()
        hand.wait()


class _Page(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


def test_another_program_is_named_and_left_alone(tmp_path: Path) -> None:
    page = ThreadingHTTPServer((LOOPBACK, 0), _Page)
    thread = threading.Thread(target=page.serve_forever, args=(0.02,))
    thread.start()
    try:
        ctx = engine_home(tmp_path, port=page.server_address[1]).ctx
        report = run_step(SERVER, ctx, apply=True)
        (seen,) = report.findings
        assert (seen.id, seen.verdict, report.changed) == ("port-busy", Verdict.BLOCKED, False)
        assert f"(pid {os.getpid()})" in seen.says
    finally:
        page.shutdown()
        page.server_close()
        thread.join()


def test_a_port_that_is_bound_and_does_not_listen_is_busy(tmp_path: Path) -> None:
    with socket.socket() as bound:
        bound.bind((LOOPBACK, 0))
        assert first(engine_home(tmp_path, port=bound.getsockname()[1]).ctx).id == "port-busy"


def test_a_stale_server_waits_when_the_port_that_is_wanted_is_taken(
    home: EngineHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_step(SERVER, home.ctx, apply=True)
    pid = pid_of(home.ctx)
    monkeypatch.setattr(Comfy.system_stats, "__defaults__", (0.3,))
    with socket.socket() as taken:
        taken.bind((LOOPBACK, 0))
        taken.listen()
        seen = first(with_sets(home.ctx, f"comfyui.port={taken.getsockname()[1]}"))
    assert (seen.id, seen.verdict) == ("port-busy", Verdict.BLOCKED)
    assert pid_of(home.ctx) == pid


# -- what goes wrong ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sets", "spoil", "says"),
    [
        (['comfyui.args=["--normal-vram"]'], "", "does not accept its flags: --normal-vram"),
        ([], "import requests_of_old", "package requests_of_old is missing"),
        ([], "import sys; sys.exit(3)", "exited immediately"),
    ],
)
def test_a_death_at_the_start_is_noticed_at_once_and_explained(
    tmp_path: Path, sets: list[str], spoil: str, says: str
) -> None:
    with home_of(tmp_path, sets=sets) as home:
        main = home.ctx.home.comfyui / "main.py"
        if spoil:
            main.write_text(f"{spoil}\n{main.read_text()}".replace("from __future__ import annotations", ""))
        started = time.perf_counter()
        with pytest.raises(EngineError) as caught:
            server_process.start_server(home.ctx, timeout_s=60)
        assert time.perf_counter() - started < 5
        assert says in caught.value.message
        assert not server_process.record_path(home.ctx).exists()


def test_a_server_that_never_answers_is_ended(tmp_path: Path) -> None:
    with home_of(tmp_path, "slow_start:30") as home:
        with pytest.raises(EngineError, match=r"did not answer within 0\.6 s"):
            server_process.start_server(home.ctx, timeout_s=0.6)
        assert server_process.our_process(home.ctx) is None


def test_ctrl_c_while_it_starts_ends_it(tmp_path: Path) -> None:
    with home_of(tmp_path, "slow_start:30") as home:
        ctx = home.ctx
        threading.Timer(0.4, ctx.machine.interrupt).start()
        with pytest.raises(Interrupted):
            server_process.start_server(ctx, timeout_s=60)
        fresh = Context(LocalMachine(), ctx.manifest, ctx.home, Options())
        assert server_process.our_process(fresh) is None
        assert first(fresh).id == "server-down"


def test_a_port_taken_while_it_starts(tmp_path: Path) -> None:
    page = ThreadingHTTPServer((LOOPBACK, 0), _Page)
    thread = threading.Thread(target=page.serve_forever, args=(0.02,))
    thread.start()
    try:
        with home_of(tmp_path, "slow_start:30", port=page.server_address[1]) as home:
            with pytest.raises(PortTaken):
                server_process.start_server(home.ctx, timeout_s=60)
            assert not server_process.record_path(home.ctx).exists()
    finally:
        page.shutdown()
        page.server_close()
        thread.join()


def test_without_an_environment_it_says_so(home: EngineHome) -> None:
    shutil.rmtree(home.ctx.home.venv)
    with pytest.raises(EngineError, match="Python is missing"):
        server_process.start_server(home.ctx)


def test_the_checkpoint_is_waited_for_only_where_it_lies(home: EngineHome) -> None:
    shutil.rmtree(home.ctx.home.comfyui / "models" / "checkpoints")
    server_process.start_server(home.ctx, timeout_s=60)
    assert first(home.ctx).id == "server-up"


def test_a_plan_before_anything_is_there(tmp_path: Path) -> None:
    ctx = engine_home(tmp_path).ctx
    shutil.rmtree(ctx.home.root)
    ctx.home.prepare()
    down = first(ctx)
    assert down.id == "server-down"
    assert "after ComfyUI is installed" in down.says
    assert ENGINE.is_dir()


@pytest.mark.parametrize(("seconds", "says"), [(5.2, "5 s"), (61, "1 min"), (3600 * 3 + 1250, "3 h 20 min")])
def test_durations(seconds: float, says: str) -> None:
    assert shown_time(seconds) == says
