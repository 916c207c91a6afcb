"""Ctrl-C, SIGTERM and SIGHUP at a command of ours: one sentence, exit code 130, and nobody left who worked for it."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import pytest

from provision.cli.exit_codes import TIDY
from tests.support.processes import eventually, gone

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
COMMAND = """
import atexit, os, subprocess, sys, threading, time
from math import inf
from pathlib import Path
from provision.output.console import Console
from provision.cli.exit_codes import exit_codes
from provision.system.local_machine import LocalMachine

def up(text="up"):
    print(text, flush=True)

def work():
{work}

with exit_codes(Console()):
    work()
"""


TIDIES = "try:\n    up()\n    time.sleep(600)\nfinally:\n    up('tidying')\n    time.sleep(600)"


def hear() -> None:
    """Signals as a terminal's shell has them, whatever the tests were started with."""
    for sign in SIGNALS:
        signal.signal(sign, signal.SIG_DFL)


@contextmanager
def command(work: str, *, stderr: int = subprocess.PIPE) -> Iterator[subprocess.Popen[str]]:
    """A command that does something and says `up`."""
    lines = "\n".join(f"    {line}" for line in work.splitlines())
    script = COMMAND.replace("{work}", lines)
    with subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=stderr, text=True, preexec_fn=hear
    ) as running:
        try:
            yield running
        finally:
            running.kill()


def line_of(stream: IO[str] | None) -> str:
    assert stream is not None
    return stream.readline().strip()


def end_of(running: subprocess.Popen[str]) -> tuple[int, str]:
    """Its exit code, and what it said of its end."""
    _, said = running.communicate(timeout=60)
    return running.returncode, said


@pytest.mark.parametrize("sign", SIGNALS)
def test_a_signal_is_told_in_a_sentence(sign: signal.Signals) -> None:
    with command("up()\ntime.sleep(600)") as running:
        assert line_of(running.stdout) == "up"
        running.send_signal(sign)
        code, said = end_of(running)
    assert code == 130
    assert "Stopped. Nothing is lost." in said
    assert "Traceback" not in said


def test_what_is_ignored_stays_ignored() -> None:
    """As nohup has it."""
    ignoring = (
        "import os, signal, sys\nsignal.signal(signal.SIGHUP, signal.SIG_IGN)\nos.execv(sys.executable, sys.argv[1:])"
    )
    script = COMMAND.replace("{work}", "    up()\n    sys.stdin.readline()")
    words = [sys.executable, "-c", ignoring, sys.executable, "-c", script]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as running:
        assert line_of(running.stdout) == "up"
        running.send_signal(signal.SIGHUP)
        running.communicate("\n", timeout=60)
    assert running.returncode == 0


@pytest.mark.parametrize("sign", SIGNALS)
def test_the_next_signal_ends_at_once(sign: signal.Signals) -> None:
    with command(TIDIES) as running:
        assert line_of(running.stdout) == "up"
        running.send_signal(sign)
        assert line_of(running.stdout) == "tidying"
        running.send_signal(sign)
        assert end_of(running) == (130, "Stopped.\n")


def test_a_command_that_does_not_hear_is_ended_all_the_same() -> None:
    work = "while True:\n    try:\n        up()\n        time.sleep(600)\n    except KeyboardInterrupt:\n        pass"
    with command(work) as running:
        assert line_of(running.stdout) == "up"
        running.send_signal(signal.SIGINT)
        assert end_of(running) == (130, "Stopped.\n")


def test_an_interrupt_that_python_would_only_print_ends_too() -> None:
    slow = "class Slow:\n    def __del__(self):\n        up()\n        time.sleep(600)"
    work = f"{slow}\nit = Slow()\ndel it\ntime.sleep(600)"
    with command(work) as running:
        assert line_of(running.stdout) == "up"
        running.send_signal(signal.SIGINT)
        assert end_of(running) == (130, "Stopped.\n")


@pytest.mark.parametrize(("work", "code"), [("pass", 0), ("import typer\nraise typer.Exit(1)", 1)])
def test_a_signal_after_the_last_word_changes_nothing(work: str, code: int) -> None:
    with command(f"atexit.register(lambda: (up(), time.sleep(600)))\n{work}") as running:
        assert line_of(running.stdout) == "up"
        running.send_signal(signal.SIGINT)
        ended, said = end_of(running)
    assert ended == code
    assert "KeyboardInterrupt" not in said


def test_a_terminal_gets_its_cursor_back() -> None:
    master, terminal = pty.openpty()
    try:
        with command(TIDIES, stderr=terminal) as running:
            assert line_of(running.stdout) == "up"
            running.send_signal(signal.SIGINT)
            assert line_of(running.stdout) == "tidying"
            running.send_signal(signal.SIGINT)
            running.wait(60)
        assert TIDY in os.read(master, 10_000)
    finally:
        os.close(master)
        os.close(terminal)


# -- who works for it ---------------------------------------------------------------------------------------------

DEAF_FAMILY = """
import os, signal, time
for sign in (1, 2, 15):
    signal.signal(sign, signal.SIG_IGN)
if os.fork() == 0:
    os.setsid()
print(os.getpid(), flush=True)
time.sleep(600)
"""


@pytest.mark.parametrize("sign", SIGNALS)
def test_who_works_for_it_is_gone_also_who_left_its_group_and_is_deaf(tmp_path: Path, sign: signal.Signals) -> None:
    script = tmp_path / "family.py"
    script.write_text(DEAF_FAMILY, encoding="utf-8")
    work = f"LocalMachine().run([sys.executable, {str(script)!r}], on_line=up, timeout_s=inf)"
    with command(work) as running:
        pids = [int(line_of(running.stdout)) for _ in range(2)]
        running.send_signal(sign)
        code, said = end_of(running)
    assert code == 130
    assert "Traceback" not in said
    assert all(eventually(lambda pid=pid: gone(pid)) for pid in pids)  # type: ignore[misc]


def test_a_server_that_outlives_us_stays(tmp_path: Path) -> None:
    work = (
        f"pid = LocalMachine().spawn(['sleep', '600'], cwd=Path('/'), log=Path({str(tmp_path / 'log')!r}), env={{}})\n"
        "up(str(pid))\ntime.sleep(600)"
    )
    with command(work) as running:
        pid = int(line_of(running.stdout))
        running.send_signal(signal.SIGINT)
        assert end_of(running)[0] == 130
    assert not gone(pid)
    os.kill(pid, signal.SIGKILL)


SLOW_PSUTIL = """
import sys, time
print("up", flush=True)
time.sleep(600)
"""


@pytest.mark.parametrize("sign", SIGNALS)
def test_a_signal_in_the_middle_of_an_import_is_no_bug(tmp_path: Path, sign: signal.Signals) -> None:
    """Of the very module that looks for who works for us."""
    (tmp_path / "psutil.py").write_text(SLOW_PSUTIL, encoding="utf-8")
    script = "from provision.__main__ import main\nimport sys\nsys.argv = ['provision', 'status']\nmain()"
    env = {**os.environ, "PYTHONPATH": str(tmp_path)}
    with subprocess.Popen(
        [sys.executable, "-c", script],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=env,
        preexec_fn=hear,
    ) as running:
        assert line_of(running.stdout) == "up"
        running.send_signal(sign)
        assert end_of(running) == (130, "Stopped. Nothing was changed.\n")


# -- streams that are closed, or full -----------------------------------------------------------------------------


@pytest.mark.parametrize("words", [("--help",), ("manifests",), ("nonsense",), ("status", "--home", "/nowhere/x")])
@pytest.mark.parametrize("out", ["closed", "full", "a pipe that nobody reads"])
def test_output_that_goes_nowhere_is_no_bug(words: tuple[str, ...], out: str) -> None:
    redirect = {"closed": ">&-", "full": ">/dev/full", "a pipe that nobody reads": "| true"}[out]
    shown = f'"$@" {redirect}; exit "${{PIPESTATUS[0]}}"'
    ran = subprocess.run(
        ["bash", "-c", shown, "bash", sys.executable, "-m", "provision", *words],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert ran.returncode in (0, 1, 2), ran.stderr
    assert "Traceback" not in ran.stderr
    assert "Exception ignored" not in ran.stderr
