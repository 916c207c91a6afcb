"""Children of a killed run are found and ended; those of a living one are left alone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from provision.system.child_notes import end_leftovers, read_note
from provision.system.local_machine import LocalMachine

RUN = """
import sys
from pathlib import Path
from provision.system.local_machine import LocalMachine
machine = LocalMachine()
machine.children_folder = Path(sys.argv[1])
machine.run([sys.executable, "-c", "print('up', flush=True); import time; time.sleep(600)"],
            on_line=lambda line: print(line, flush=True), timeout_s=60)
"""


def start(folder: Path) -> subprocess.Popen[str]:
    """A tool whose child is up."""
    tool = subprocess.Popen([sys.executable, "-c", RUN, str(folder)], stdout=subprocess.PIPE, text=True)
    assert tool.stdout is not None
    assert tool.stdout.readline() == "up\n"
    return tool


def child_of(folder: Path) -> int:
    """The pid in the one note, which is written before the child says a word."""
    (path,) = folder.iterdir()
    note = read_note(path)
    return note.child.pid if note is not None and note.child is not None else 0


def test_a_child_that_outlived_a_kill_is_ended(tmp_path: Path) -> None:
    with start(tmp_path) as tool:
        pid = child_of(tmp_path)
        tool.send_signal(signal.SIGKILL)
        tool.wait()
        ended = end_leftovers(LocalMachine(), tmp_path)
    assert [argv[1] for argv in ended] == ["-c"]
    assert LocalMachine().process(pid) is None
    assert not list(tmp_path.iterdir())


def test_a_child_of_a_living_tool_is_left_alone(tmp_path: Path) -> None:
    with start(tmp_path) as tool:
        pid = child_of(tmp_path)
        assert end_leftovers(LocalMachine(), tmp_path) == []
        assert LocalMachine().process(pid) is not None
        tool.terminate()
        os.killpg(pid, signal.SIGKILL)


def test_a_pid_that_is_used_again_is_not_ended(tmp_path: Path) -> None:
    (tmp_path / str(os.getpid())).write_text(f"{os.getpid()} 1.0 1 1.0", encoding="utf-8")
    assert end_leftovers(LocalMachine(), tmp_path) == []
    assert not list(tmp_path.iterdir())


def test_a_child_that_ended_leaves_no_note(tmp_path: Path) -> None:
    machine = LocalMachine()
    machine.children_folder = tmp_path
    machine.run([sys.executable, "-c", ""])
    assert not list(tmp_path.iterdir())
