"""Nothing of a stranger's is ended: neither for a record nor for a note that names it, however well it does."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from provision.comfyui import server_process
from provision.comfyui.server_process import stop_server
from provision.core.runner import run_step
from provision.errors import HomeError
from provision.steps.server.step import SERVER, check_server
from provision.system.child_notes import Note, end_leftovers, note_child
from provision.system.local_machine import LocalMachine
from provision.system.processes import MARK, Process, below, end, is_same, look, same_words, workers
from tests.support.engine_home import EngineHome, engine_home
from tests.support.processes import eventually, gone, seen

PYTHON_SLEEPS = (sys.executable, "-c", "import time; time.sleep(600)")


@pytest.fixture(params=[("sleep", "600"), PYTHON_SLEEPS, ("sleep",)], ids=["sleep", "python", "alone"])
def stranger(request: pytest.FixtureRequest) -> Iterator[Process]:
    """A program of somebody else's, in a session of its own, as our children and our server are."""
    argv = request.param if len(request.param) > 1 else ("cat",)
    with subprocess.Popen(argv, stdin=subprocess.PIPE, start_new_session=True) as program:
        yield seen(program.pid)
        assert program.poll() is None, "the stranger was ended"
        program.kill()


@pytest.fixture
def home(tmp_path: Path) -> EngineHome:
    return engine_home(tmp_path)


def dead() -> Process:
    """A process that lived a moment ago."""
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as program:
        process = seen(program.pid)
        program.kill()
    return process


# -- records ------------------------------------------------------------------------------------------------------


def records_of(home: EngineHome, stranger: Process) -> Iterator[dict[str, object]]:
    """Records that name a stranger: as it is, and as a server of ours would be named."""
    port = home.ctx.manifest.comfyui.port
    ours = server_process.server_argv(home.ctx)
    for argv in (stranger.argv, ours, (*ours[:3], *stranger.argv[1:]), ours[:3], (), ours[:1], (ours[2],), ("", "-s")):
        yield {"pid": stranger.pid, "created": stranger.created, "port": port, "argv": list(argv)}


def test_a_record_that_names_a_stranger_ends_nothing(home: EngineHome, stranger: Process) -> None:
    ctx = home.ctx
    for record in records_of(home, stranger):
        server_process.record_path(ctx).write_text(json.dumps(record), encoding="utf-8")
        assert server_process.read_record(ctx) is None, record
        assert next(iter(check_server(ctx))).id == "server-down"
        assert stop_server(ctx) is False
        assert look(stranger.pid) == stranger


def test_a_server_of_another_home_is_ended_by_that_home_alone(tmp_path: Path) -> None:
    mine, theirs = engine_home(tmp_path / "mine").ctx, engine_home(tmp_path / "theirs").ctx
    record = server_process.start_server(theirs)
    try:
        server_process.record_path(mine).write_text(json.dumps(asdict(record)), encoding="utf-8")
        assert server_process.read_record(mine) is None
        assert stop_server(mine) is False
        assert look(record.pid) is not None
    finally:
        assert stop_server(theirs) is True
    assert eventually(lambda: gone(record.pid))


@pytest.mark.parametrize("pid", [0, 1, -1, 10**30, 2**31, True, "1", 1.5, None, "ours", "our parent's"])
def test_no_pid_of_a_record_is_taken_for_a_server(home: EngineHome, pid: object) -> None:
    process = LocalMachine().process(pid) if type(pid) is int else None
    record = {
        "pid": pid,
        "created": process.created if process else 1.0,
        "port": 8188,
        "argv": process.argv if process else [],
    }
    server_process.record_path(home.ctx).write_text(json.dumps(record), encoding="utf-8")
    assert server_process.read_record(home.ctx) is None
    assert stop_server(home.ctx) is False


@pytest.mark.parametrize("port", [0, -1, 65_536, 10**30])
def test_a_record_with_a_port_that_is_none_is_not_believed(home: EngineHome, port: int) -> None:
    record = server_process.start_server(home.ctx)
    try:
        broken = {**asdict(record), "port": port}
        server_process.record_path(home.ctx).write_text(json.dumps(broken), encoding="utf-8")
        assert server_process.read_record(home.ctx) is None
    finally:
        assert stop_server(home.ctx) is True, "found by its port"


def test_a_server_that_a_custom_node_has_started_anew_is_still_ours(home: EngineHome) -> None:
    """ComfyUI-Manager's Restart is an execv of Python with sys.argv: the pid stays, `-s` is not in it any more."""
    ctx = home.ctx
    main = ctx.home.comfyui / "main.py"
    text = main.read_text(encoding="utf-8")
    anew = (
        "import os, sys\nif 'ANEW' not in os.environ:\n    os.environ['ANEW'] = '1'\n"
        "    os.execv(sys.executable, [sys.executable, *sys.argv])\n"
    )
    main.write_text(text.replace("import asyncio\n", f"import asyncio\n{anew}", 1), encoding="utf-8")
    record = server_process.start_server(ctx)
    assert "-s" not in seen(record.pid).argv
    assert server_process.read_record(ctx) == record
    assert stop_server(ctx) is True
    assert gone(record.pid)


def test_a_server_whose_record_cannot_be_written_is_ended_again(home: EngineHome) -> None:
    ctx = home.ctx
    shutil.rmtree(ctx.home.state)
    ctx.home.state.write_text("no folder", encoding="utf-8")
    with pytest.raises(HomeError):
        server_process.start_server(ctx)
    assert server_process.our_process(ctx) is None
    assert [each for each in ctx.machine.running("main.py") if str(ctx.home.main_py) in each.argv] == []


def test_a_folder_in_the_place_of_the_record_stops_no_stop(home: EngineHome) -> None:
    server_process.record_path(home.ctx).mkdir()
    assert stop_server(home.ctx) is False
    assert run_step(SERVER, home.ctx, apply=True).satisfied
    assert stop_server(home.ctx) is True


# -- notes of children --------------------------------------------------------------------------------------------


def test_a_note_of_a_stranger_ends_nothing(tmp_path: Path, stranger: Process) -> None:
    machine = LocalMachine()
    for mark in ("none", "0123456789abcdef"):
        for parent in (dead(), Process(10**9, 1.0, ())):
            for child in (stranger, None):
                note_child(tmp_path, Note(stranger.argv, mark, parent, 0.0, child))
                assert end_leftovers(machine, tmp_path) == []
                assert list(tmp_path.iterdir()) == []


def test_a_marked_child_is_ended_only_as_it_was_noted(tmp_path: Path) -> None:
    environ, parent, argv = {**os.environ, MARK: "m"}, dead(), ("sleep", "600")
    with subprocess.Popen(argv, env=environ, start_new_session=True) as child:
        assert eventually(lambda: (look(child.pid) or parent).argv == argv)
        noted, machine = seen(child.pid), LocalMachine()
        wrong = (
            Note(argv, "m", parent, 0.0, replace(noted, argv=("sleep", "601"))),
            Note(argv, "m", parent, 0.0, replace(noted, argv=())),
            Note(argv, "m", parent, 0.0, replace(noted, created=noted.created - 9)),
            Note(argv, "other", parent, 0.0, noted),
            Note(("sleep", "601"), "m", parent, noted.created),
            Note((), "m", parent, noted.created),
            Note(argv, "m", parent, noted.created + 9),
        )
        for each in wrong:
            note_child(tmp_path, each)
            assert end_leftovers(machine, tmp_path) == [], each
        note_child(tmp_path, Note(argv, "m", seen(os.getpid()), 0.0, noted))
        assert end_leftovers(machine, tmp_path) == [], "who started it lives"
        assert child.poll() is None
        note_child(tmp_path, Note(argv, "m", parent, 0.0, noted))
        assert end_leftovers(machine, tmp_path) == [argv]
        assert child.wait(20) == -signal.SIGTERM


def test_a_child_whose_parent_was_killed_before_it_knew_the_pid_is_ended(tmp_path: Path) -> None:
    """The note is there before the program is: nothing that was started goes on unseen."""
    argv, parent = ("sleep", "600"), dead()
    note_child(tmp_path, Note(argv, "m", parent, time.time()))
    with subprocess.Popen(argv, env={**os.environ, MARK: "m"}, start_new_session=True) as child:
        assert eventually(lambda: (look(child.pid) or parent).argv == argv)
        assert end_leftovers(LocalMachine(), tmp_path) == [argv]
        assert child.wait(20) == -signal.SIGTERM
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("text", ["", "1 2 3 4", "[]", "{}", "[" * 10_000, '{"child": {"pid": true}}', "\x00"])
def test_a_note_that_is_none_is_removed(tmp_path: Path, text: str) -> None:
    (tmp_path / "1").write_text(text, encoding="utf-8")
    assert end_leftovers(LocalMachine(), tmp_path) == []
    assert list(tmp_path.iterdir()) == []


def test_notes_that_are_no_files_end_no_command(tmp_path: Path) -> None:
    (tmp_path / "1").mkdir()
    os.mkfifo(tmp_path / "2")
    (tmp_path / "3").symlink_to("/dev/zero")
    assert end_leftovers(LocalMachine(), tmp_path) == []
    in_the_way = tmp_path / "file"
    in_the_way.write_text("", encoding="utf-8")
    assert end_leftovers(LocalMachine(), in_the_way) == []


def test_a_child_runs_where_no_note_can_be_kept(tmp_path: Path) -> None:
    machine = LocalMachine()
    machine.children_folder = tmp_path / "file"
    machine.children_folder.write_text("", encoding="utf-8")
    assert machine.run(["echo", "1"]).out == "1\n"
    machine.children_folder = tmp_path / "children"
    script = (
        f"import pathlib, os; p = pathlib.Path({str(machine.children_folder)!r}); "
        "(n,) = p.iterdir(); n.unlink(); n.mkdir(); print('there')"
    )
    assert machine.run([sys.executable, "-c", f"import time; time.sleep(1); {script}"]).out == "there\n"


# -- words and descent --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("noted", "alive", "same"),
    [
        (("/h/python", "-s", "/h/main.py"), ("/h/python", "-s", "/h/main.py"), True),
        (("/h/python", "-s", "/h/main.py"), ("/F/Python.app/Contents/MacOS/Python", "-s", "/h/main.py"), True),
        (("/h/python", "-s", "/h/main.py"), ("/bin/sh", "/h/python", "-s", "/h/main.py"), True),
        (("/h/python", "-s", "/h/main.py"), ("/h/python", "-s", "/h/main.py", "--cpu"), False),
        (("/h/python", "-s", "/h/main.py"), ("-s", "/h/main.py"), False),
        (("cat",), ("cat",), True),
        (("cat",), ("/bin/sh", "cat"), False),
        ((), (), False),
        (("a", "b"), (), False),
    ],
)
def test_words(noted: tuple[str, ...], alive: tuple[str, ...], same: bool) -> None:
    assert same_words(noted, alive) is same


def test_we_and_who_started_us_are_never_ended() -> None:
    for pid in (os.getpid(), os.getppid()):
        end(seen(pid), grace_s=0.1)
    assert look(os.getppid()) is not None
    assert not is_same(Process(1, 0.0, ()), look(1))


SETSID = "import os, time\nif os.fork() == 0:\n    os.setsid()\nos.write(1, b'%d\\n' % os.getpid())\ntime.sleep(600)"
"""Two processes that write to one pipe: each a line at once."""


def test_a_group_is_ended_with_those_who_left_it() -> None:
    with subprocess.Popen([sys.executable, "-c", SETSID], stdout=subprocess.PIPE, start_new_session=True) as leader:
        assert leader.stdout is not None
        pids = {int(leader.stdout.readline()), int(leader.stdout.readline())}
        assert {each.pid for each in below(leader.pid)} == pids - {leader.pid}
        end(seen(leader.pid), group=True)
        leader.wait()
    assert all(eventually(lambda pid=pid: gone(pid)) for pid in pids)  # type: ignore[misc]


def test_workers_are_what_works_for_us_and_no_server() -> None:
    marked = {**os.environ, MARK: "m"}
    with (
        subprocess.Popen(["sleep", "600"]) as same_session,
        subprocess.Popen(["sleep", "600"], env=marked, start_new_session=True) as child,
        subprocess.Popen(["sleep", "600"], start_new_session=True) as server,
    ):
        found = {each.pid for each in workers()}
        assert {same_session.pid, child.pid} <= found
        assert server.pid not in found
        for program in (same_session, child, server):
            program.kill()
