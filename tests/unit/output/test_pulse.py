"""A sign of life wherever a command is silent on a terminal, and nothing of it in what stays."""

from __future__ import annotations

import io
import os
import pty
import subprocess
import sys
import time

import pytest

from provision.output.pulse import ERASE, Pulse, moves
from tests.support.paths import CHECKOUT
from tests.support.processes import eventually

SLOW = """
import sys, time
from provision.output.safe_streams import guard, rest
guard()
time.sleep(1.3)
print("here")
sys.stderr.write("asked [y/N] "); sys.stderr.flush()
time.sleep(0.9)
print("over")
rest()
"""


def test_it_turns_while_all_is_silent_and_leaves_nothing() -> None:
    stream = io.StringIO()
    pulse = Pulse(stream, silent_s=0.02)
    pulse.start()
    eventually(lambda: "Working ... 0 s" in stream.getvalue())
    with pulse.aside("text\n"):
        assert stream.getvalue().endswith(ERASE)
        stream.write("text\n")
    pulse.rest()
    assert stream.getvalue().rpartition("text\n")[2] in ("", ERASE) or stream.getvalue().endswith(ERASE)
    said = stream.getvalue()
    time.sleep(0.2)
    assert stream.getvalue() == said, "it is over"


def test_it_does_not_turn_within_a_line() -> None:
    stream = io.StringIO()
    pulse = Pulse(stream, silent_s=0.01)
    with pulse.aside("Go on? [y/N] "):
        pass
    pulse.start()
    time.sleep(0.1)
    pulse.rest()
    assert stream.getvalue() == ""


def on_a_terminal(*words: str) -> bytes:
    """What a terminal gets from a program that is slow."""
    ours, theirs = pty.openpty()
    environ = {"PYTHONPATH": str(CHECKOUT), "TERM": "xterm", "PATH": os.environ["PATH"]}
    command = [sys.executable, "-X", "utf8", "-c", SLOW, *words]
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environ):
        os.close(theirs)
        said = b""
        try:
            while piece := os.read(ours, 65536):
                said += piece
        except OSError:
            pass  # as Linux tells the end
    os.close(ours)
    return said


def test_a_silent_command_shows_that_it_lives() -> None:
    silent, _, rest = on_a_terminal().partition(b"here")
    assert b"Working ... 1 s" in silent
    assert silent.endswith(ERASE.encode())
    assert b"Working" not in rest, "not in the line of a question"


@pytest.mark.parametrize("flag", ["--json", "--plain", "-q"])
def test_nothing_moves_where_nothing_may(flag: str) -> None:
    assert not moves(["provision", "status", flag], {})
    assert moves(["provision", "status"], {})
    assert not moves(["provision", "status"], {"PROVISION_PLAIN": "1"})


TYPED_AHEAD = """
import fcntl, sys, termios
from provision.output.screen import QuietInput, drop_typed
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
quiet = QuietInput()
quiet.begin()
print("working", flush=True)
sys.stdin.buffer.raw.read(2)
quiet.end()
print("then:", sys.stdin.buffer.raw.readline().decode(), flush=True)
print("asked", flush=True)
sys.stdin.buffer.raw.read(2)
drop_typed(sys.stdin)
print("dropped", flush=True)
print("answer:", sys.stdin.buffer.raw.readline().decode(), flush=True)
"""


def test_what_is_typed_ahead_is_kept_for_the_shell_and_no_answer_to_a_question() -> None:
    ours, theirs = pty.openpty()
    environ = {"PYTHONPATH": str(CHECKOUT), "PATH": os.environ["PATH"]}
    command = [sys.executable, "-c", TYPED_AHEAD]
    streams = {"stdin": theirs, "stdout": theirs, "stderr": theirs}
    with subprocess.Popen(command, env=environ, start_new_session=True, **streams):
        os.close(theirs)
        with os.fdopen(ours, "r+b", buffering=0) as terminal:

            def until(text: bytes) -> bytes:
                said = b""
                while text not in said:
                    said += terminal.read(1)
                return said

            until(b"working")
            terminal.write(b"1\nls -l\n")
            assert b"ls" not in until(b"then:"), "nothing is echoed meanwhile"
            assert b"ls -l" in until(b"asked"), "the shell has it"
            terminal.write(b"2\ny\n")
            until(b"dropped")
            terminal.write(b"no\n")
            assert b"answer: no" in until(b"answer: no")
