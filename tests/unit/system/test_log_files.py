"""Logs stay within bounds while somebody writes to them, lose no line that could be kept, and can be followed."""

from __future__ import annotations

import fcntl
import os
import signal
import sys
import threading
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO

import psutil
import pytest

from provision.system.local_machine import LocalMachine
from provision.system.log_files import Follower, OwnLog, before, open_log, rotate, tail_of, wait_for_keeper
from provision.system.log_keeper import cut
from provision.system.processes import Process
from tests.support.processes import eventually, gone, seen

LIMIT = 200_000
CHATTY = """
import os, sys, time
for number in range(int(sys.argv[1])):
    sys.stdout.write(f"line {number:07} of a server that says much\\n")
    sys.stdout.flush()
    if not number % 100:
        time.sleep(0.001)
while os.fstat(1).st_size > int(sys.argv[2]):  # what is said while a log is cut may be lost
    time.sleep(0.01)
print("done", flush=True)
time.sleep(600)
"""
QUIET = "import time; print('up', flush=True); time.sleep(600)"


def spawn(log: Path, script: str, *words: str, limit: int = LIMIT) -> Process:
    argv = [sys.executable, "-c", script, *words]
    return seen(LocalMachine().spawn(argv, cwd=log.parent, log=log, env={}, log_limit=limit))


def keepers(log: Path) -> list[int]:
    """Who looks after a log."""
    found = []
    for process in psutil.process_iter():
        try:
            if str(log) in process.cmdline() and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process.pid)
        except psutil.Error:
            continue
    return found


def is_free(stream: BinaryIO) -> bool:
    """Whether nobody has begun to look after a log yet."""
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    fcntl.flock(stream, fcntl.LOCK_UN)
    return True


def kept(log: Path) -> list[str]:
    """The lines of both files, the older first."""
    texts = (path.read_text(encoding="utf-8") for path in (before(log), log) if path.exists())
    return "".join(texts).splitlines()


# -- a server's -----------------------------------------------------------------------------------------------------


def test_a_chatty_servers_log_stays_within_bounds_by_whole_lines(tmp_path: Path) -> None:
    log = tmp_path / "comfyui.log"
    server = spawn(log, CHATTY, "40000", str(LIMIT))
    try:
        most = 0

        def is_done() -> bool:
            nonlocal most
            most = max(most, sum(path.stat().st_size for path in (log, before(log)) if path.exists()))
            return "done" in tail_of(log, 1_000)

        assert eventually(is_done)
        assert eventually(lambda: log.stat().st_size <= LIMIT)
        assert before(log).stat().st_size <= LIMIT
        lines = kept(log)
        assert lines[-1] == "done"
        numbers = [int(line.split()[1]) for line in lines[:-1]]
        assert all(
            line == f"line {number:07} of a server that says much" for line, number in zip(lines, numbers, strict=False)
        )
        assert all(one < next_ for one, next_ in pairwise(numbers)), "in their order, none twice"
        assert sorted(path.name for path in tmp_path.iterdir()) == ["comfyui.log", "comfyui.log.1"]
    finally:
        LocalMachine().end_process(server)
    assert eventually(lambda: keepers(log) == [])


def test_whoever_keeps_the_log_goes_with_the_server_and_not_before(tmp_path: Path) -> None:
    log = tmp_path / "comfyui.log"
    server = spawn(log, QUIET)
    with log.open("rb") as stream:
        assert eventually(lambda: not is_free(stream))
    for sign in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        os.kill(keepers(log)[0], sign)
    assert len(keepers(log)) == 1
    os.kill(server.pid, signal.SIGKILL)
    wait_for_keeper(log, 20)
    assert eventually(lambda: keepers(log) == [])


def test_a_server_does_not_notice_that_nobody_keeps_its_log(tmp_path: Path) -> None:
    log = tmp_path / "comfyui.log"
    server = spawn(log, "import time\nwhile True:\n    print('still here', flush=True)\n    time.sleep(0.05)")
    assert eventually(lambda: len(keepers(log)) == 1)
    os.kill(keepers(log)[0], signal.SIGKILL)
    assert eventually(lambda: keepers(log) == [])
    size = log.stat().st_size
    assert eventually(lambda: log.stat().st_size > size + 50)
    LocalMachine().end_process(server)
    assert gone(server.pid)


@pytest.mark.parametrize("kind", ["folder", "fifo", "link to a device"])
def test_a_server_starts_where_no_log_can_be_kept(tmp_path: Path, kind: str) -> None:
    log = tmp_path / "comfyui.log"
    if kind == "folder":
        log.mkdir()
    elif kind == "fifo":
        os.mkfifo(log)
    else:
        log.symlink_to("/dev/zero")
    assert open_log(log) is None
    server = spawn(log, QUIET)
    assert tail_of(log, 100) == ""
    assert list(Follower(log).lines()) == []
    LocalMachine().end_process(server)
    assert gone(server.pid)
    rotate(log)
    stream = open_log(log)
    assert stream is not None, "what was in the way is moved"
    stream.close()


def test_what_is_cut_off_is_cut_at_a_line(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("first\nsecond\nthird and not yet wh", encoding="utf-8")
    handle = os.open(log, os.O_RDWR | os.O_APPEND)
    cut(handle, str(log), 25)
    os.write(handle, b"ole\n")
    os.close(handle)
    assert before(log).read_text("utf-8") == ""
    assert log.read_text("utf-8") == "third and not yet whole\n"


def test_a_disk_that_is_full_does_not_let_a_log_grow(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("x" * 100, encoding="utf-8")
    (tmp_path / "log.1.new").mkdir()
    handle = os.open(log, os.O_RDWR | os.O_APPEND)
    assert cut(handle, str(log), 20) == 0
    os.close(handle)


# -- following --------------------------------------------------------------------------------------------------------


def test_following_goes_on_over_a_cut_and_a_new_beginning(tmp_path: Path) -> None:
    log = tmp_path / "log"
    follower = Follower(log)
    assert list(follower.lines()) == []
    handle = os.open(log, os.O_RDWR | os.O_APPEND | os.O_CREAT)
    os.write(handle, b"1\n2\n3")
    assert list(follower.lines()) == ["1", "2"]
    os.write(handle, b"\n4\n")
    cut(handle, str(log), 100)
    os.write(handle, b"5\n6\n7\n8\n9\n")
    assert list(follower.lines()) == ["3", "4", "5", "6", "7", "8", "9"]
    rotate(log)
    log.write_text("10\n", encoding="utf-8")
    assert list(follower.lines()) == ["10"]
    log.unlink()
    assert list(follower.lines()) == []
    os.close(handle)


# -- our own ----------------------------------------------------------------------------------------------------------


def test_our_own_log_stays_within_bounds_whoever_writes_to_it(tmp_path: Path) -> None:
    path = tmp_path / "provision.log"

    def write(name: str) -> None:
        log = OwnLog(path, limit=5_000)
        for number in range(1_000):
            log.write(f"{name} {number}")
        log.close()

    threads = [threading.Thread(target=write, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {each.name for each in tmp_path.iterdir()} == {"provision.log", "provision.log.1"}
    assert sum(each.stat().st_size for each in tmp_path.iterdir()) <= 2 * 5_000 + 4 * 20
    assert all(line[0] in "abcd" and line[2:].isdigit() for line in kept(path))


def test_a_long_log_of_before_is_begun_anew(tmp_path: Path) -> None:
    path = tmp_path / "provision.log"
    path.write_text("x" * 6_000 + "\n", encoding="utf-8")
    log = OwnLog(path, limit=5_000)
    log.write("one")
    log.write("two \udc80 and a lone surrogate")
    log.close()
    assert path.read_text("utf-8") == "two \\udc80 and a lone surrogate\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this machine")
def test_a_disk_that_becomes_full_ends_the_log_alone(tmp_path: Path) -> None:
    log = OwnLog(tmp_path / "provision.log")
    log.close()
    log.stream = os.fdopen(os.open("/dev/full", os.O_WRONLY), "wb", buffering=0)
    log.write("lost")
    assert log.stream is None
    log.write("lost too")
