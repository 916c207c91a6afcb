"""Processes that outlive us, ports and quantities, on the real machine."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from provision.system.local_machine import LocalMachine
from provision.system.machine import LOOPBACK, Process
from tests.support.processes import eventually, gone

"""Longer than any test may take: who waits so long has hung."""


def shell(script: str) -> list[str]:
    return ["/bin/sh", "-c", script]


def python(script: str) -> list[str]:
    return [sys.executable, "-c", script]


@pytest.fixture
def spawned(tmp_path: Path) -> Process:
    """A spawned program that said `up`, and its child, which both end only when they are ended."""
    machine, log = LocalMachine(), tmp_path / "logs" / "engine.log"
    pid = machine.spawn(shell("sleep 60 & echo $! up; wait"), cwd=tmp_path, log=log, env={})
    assert eventually(lambda: log.exists() and "up\n" in log.read_text(encoding="utf-8"))
    process = machine.process(pid)
    assert process is not None
    return process


def test_a_spawned_program_outlives_an_interrupt_and_logs(spawned: Process, tmp_path: Path) -> None:
    machine, log = LocalMachine(), tmp_path / "logs" / "engine.log"
    assert spawned.argv[:2] == ("/bin/sh", "-c")
    assert os.getsid(spawned.pid) == spawned.pid, "a session of its own: our Ctrl-C does not reach it"
    machine.interrupt()
    assert not gone(spawned.pid)
    child = int(log.read_text(encoding="utf-8").split()[0])
    machine.end_process(spawned, group=True)
    assert gone(spawned.pid)
    assert eventually(lambda: gone(child))


def test_a_log_is_appended_to(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("before\n", encoding="utf-8")
    LocalMachine().spawn(shell("echo out; echo err >&2"), cwd=tmp_path, log=log, env={})
    assert eventually(lambda: log.read_text(encoding="utf-8") == "before\nout\nerr\n")


def test_end_process_ends_for_certain_whoever_will_not_hear(tmp_path: Path) -> None:
    machine, log = LocalMachine(), tmp_path / "log"
    deaf = "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nprint('up', flush=True)\ntime.sleep(60)"
    pid = machine.spawn(python(deaf), cwd=tmp_path, log=log, env={})
    assert eventually(lambda: "up" in log.read_text(encoding="utf-8"))
    process = machine.process(pid)
    assert process is not None
    machine.end_process(process, grace_s=0.2)
    assert eventually(lambda: gone(pid))


def test_a_pid_that_was_used_again_is_left_alone(spawned: Process) -> None:
    machine = LocalMachine()
    machine.end_process(replace(spawned, created=spawned.created - 100))
    assert machine.process(spawned.pid) == spawned
    machine.end_process(spawned, group=True)
    machine.end_process(spawned)  # gone already: nothing to do


def test_process_knows_who_lives() -> None:
    machine = LocalMachine()
    own = machine.process(os.getpid())
    assert own is not None
    assert (own.pid, own.argv[0] != "", abs(own.created - time.time()) < 10**5) == (os.getpid(), True, True)
    with subprocess.Popen(["true"]) as child:
        # Ended and not yet waited for: a zombie is not a running process.
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert machine.process(child.pid) is None
    for pid in (-1, 10**30):  # what a broken note on the disk may hold
        assert machine.process(pid) is None


def test_ports_that_are_free_and_ports_that_are_listened_to() -> None:
    machine = LocalMachine()
    with socket.socket() as server:
        server.bind((LOOPBACK, 0))
        server.listen()
        port = server.getsockname()[1]
        assert not machine.port_is_free(port)
        holder = machine.listener(port)
        assert holder is not None
        assert holder.pid == os.getpid()
    assert machine.port_is_free(port)
    assert machine.listener(port) is None


def test_quantities_of_this_machine(tmp_path: Path) -> None:
    machine = LocalMachine()
    assert machine.disk_free_bytes(tmp_path / "not" / "yet" / "here") > 0
    memory = machine.memory()
    assert memory is not None
    assert memory.total_bytes > (memory.available_bytes or 0) > 0
    assert machine.read_text(tmp_path / "no") is None
    assert machine.clock() <= machine.clock()
    assert "T" in machine.timestamp()


def test_memory_is_unknown_where_psutil_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails() -> None:
        raise RuntimeError("host_statistics64(HOST_VM_INFO64) syscall failed")

    monkeypatch.setattr(psutil, "virtual_memory", fails)
    assert LocalMachine().memory() is None
