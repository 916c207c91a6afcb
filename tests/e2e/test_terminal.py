"""The live view in a real terminal, by tmux: it starts, is resized, pasted into, stopped; structure, not timings."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from provision.steps.registry import STEPS
from tests.e2e.conftest import CHECKOUT, Tool
from tests.support.sockets import socket_folder

pytestmark = pytest.mark.skipif(shutil.which("tmux") is None, reason="there is no tmux on this machine")
PATIENCE_S = 240.0
SPINNING = re.compile("^[⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏]", re.MULTILINE)
TMUX_LATE_S = 0.3
"""tmux tells a program of a second change of size within 250 ms only after these (`server_client_resize_timer`)."""
MODELS = re.compile(r"^[⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏] models .* of 24\.9 MB", re.MULTILINE)
UP = re.compile(r"^✓ server ", re.MULTILINE)
TOTAL = re.compile(r"^  (?:[━╌]+  )?(?:\d+ %, )?\d+ of 11 steps, ", re.MULTILINE)


@dataclass
class Terminal:
    """A tmux of its own with one pane."""

    socket: Path

    def tmux(self, *words: str) -> str:
        command = ["tmux", "-S", str(self.socket), "-f", "/dev/null", *words]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=20).stdout

    def open(self, width: int, height: int, environ: dict[str, str]) -> None:
        """A shell that says nothing of its own and has a prompt that is easily found."""
        shown = [word for name, value in environ.items() for word in ("-e", f"{name}={value}")]
        self.tmux("new-session", "-d", "-x", str(width), "-y", str(height), *shown, "exec bash --norc --noprofile -i")
        self.tmux("set-option", "-g", "history-limit", "5000")
        self.type("PS1='ready> '; clear")
        self.wait(lambda text: text.strip() == "ready>")

    def type(self, line: str) -> None:
        self.tmux("send-keys", "-l", line)
        self.tmux("send-keys", "Enter")

    def text(self) -> str:
        """All lines since the start, those that have scrolled away too."""
        return self.tmux("capture-pane", "-p", "-S", "-")

    def screen(self) -> str:
        """What is in sight."""
        return self.tmux("capture-pane", "-p")

    def wait(self, seen: Callable[[str], object]) -> str:
        """The text as soon as it is so."""
        deadline = time.monotonic() + PATIENCE_S
        while not seen(text := self.text()):
            assert time.monotonic() < deadline, text
            time.sleep(0.1)
        return text


@pytest.fixture
def terminal(tool: Tool) -> Iterator[Terminal]:
    given = {"PYTHONPATH": str(CHECKOUT), "HOME": os.environ["HOME"], **tool.environ}
    with socket_folder() as folder:
        found = Terminal(folder / "tmux")
        found.open(80, 30, given)
        yield found
        found.tmux("kill-server")


def start(terminal: Terminal, tool: Tool, *words: str) -> str:
    """Run the rehearsal with a slow line, and wait until only bytes are waited for: nothing is printed above meanwhile.

    The home is named without its folder.
    """
    terminal.type(f"cd {shlex.quote(str(tool.home.parent))}; clear")
    command = ["-m", "provision", "all", "--rehearse", "--home", tool.home.name, "--limit-rate", "300k", *words]
    terminal.type(f"{shlex.quote(sys.executable)} {shlex.join(command)}")
    return terminal.wait(lambda text: MODELS.search(text) and TOTAL.search(text) and UP.search(text))


def untorn(text: str) -> bool:
    """One picture, whole and together; above it nothing of an older one."""
    spinning = [place for place, line in enumerate(text.splitlines()) if SPINNING.match(line)]
    together = bool(spinning) and spinning[-1] - spinning[0] == len(spinning) - 1
    return together and len(TOTAL.findall(text)) == len(MODELS.findall(text)) == 1


def between_frames(terminal: Terminal) -> None:
    """Just after a frame: one that is on its way while the window changes is drawn for the old width."""
    time.sleep(TMUX_LATE_S)
    deadline, first = time.monotonic() + PATIENCE_S, terminal.text()
    before = last = first
    while SPINNING.findall(last) == SPINNING.findall(first) or last != before:
        assert time.monotonic() < deadline, "nothing moves"
        time.sleep(0.01)
        before, last = last, terminal.text()


def test_a_resize_a_paste_and_a_stop(terminal: Terminal, tool: Tool) -> None:
    text = start(terminal, tool)
    assert untorn(text), text
    assert re.search(r"^✓ tools +git ", text, re.MULTILINE), "a finished step stays as a line"
    assert re.search(r"^  then +\S", text, re.MULTILINE), "what waits is named"
    for width in (50, 110, 64):
        between_frames(terminal)
        terminal.tmux("resize-window", "-x", str(width), "-y", "30")
        terminal.wait(untorn)
    terminal.type("touch pasted")
    terminal.type("echo pasted too")
    terminal.wait(untorn)
    asked = time.monotonic()
    terminal.tmux("send-keys", "C-c")
    text = terminal.wait(lambda text: re.search(r"^ready> *$", text, re.MULTILINE))
    assert time.monotonic() - asked < 10, "it ends at once, on a machine that has other things to do too"
    assert "\nStopped. Kept: " in text
    unbroken = re.sub(r"\s", "", text)  # wherever the terminal broke a line
    assert "ofsd_xl_turbo_1.0_fp16.safetensors" in unbroken
    assert "-mprovisionall--rehearse--home'ahome'--limit-rate300k" in unbroken.partition("→")[2], "as it was typed"
    assert not TOTAL.search(text), "the picture is gone"
    assert "Traceback" not in text
    assert "pasted" not in text, "what was typed is not echoed, and not run"
    terminal.type("stty -a | grep -c ' -echo '; echo asked")
    text = terminal.wait(lambda text: re.search(r"^asked", text, re.MULTILINE))
    assert text.splitlines()[text.splitlines().index("asked") - 1] == "0", "the terminal echoes again"
    assert not (tool.home.parent / "pasted").exists()


def test_a_small_window_and_no_colour(terminal: Terminal, tool: Tool) -> None:
    terminal.tmux("resize-window", "-x", "44", "-y", "8")
    terminal.type("export NO_COLOR=1")
    command = ["-m", "provision", "all", "--rehearse", "--home", tool.home.name, "--limit-rate", "500k"]
    terminal.type(f"cd {shlex.quote(str(tool.home.parent))}; clear")
    terminal.type(f"{shlex.quote(sys.executable)} {shlex.join(command)}")
    terminal.wait(lambda text: re.search(r"^  \d+ of 11 steps", text, re.MULTILINE) and "MB" in text)
    coloured = terminal.tmux("capture-pane", "-p", "-e")
    assert not re.search(r"\x1b\[(?:[0-9;]*;)?3[0-7]m", coloured), "no colours"
    terminal.tmux("send-keys", "C-c")
    text = terminal.wait(lambda text: "Stopped." in text)
    assert len(re.findall(r"^  \d+ of 11 steps", text, re.MULTILINE)) <= 1, text


def test_plain_moves_nothing_even_on_a_terminal(terminal: Terminal, tool: Tool) -> None:
    terminal.type(f"cd {shlex.quote(str(tool.home.parent))}; clear")
    command = ["-m", "provision", "plan", "--rehearse", "--home", tool.home.name, "--plain"]
    terminal.type(f"{shlex.quote(sys.executable)} {shlex.join(command)} 2>&1 | cat -v; echo ended")
    text = terminal.wait(lambda text: re.search(r"^ended", text, re.MULTILINE))
    assert "models: to do." in text
    assert "^[" not in text
    assert "M-bM-^\\" not in text, "words, no signs"


def test_at_80_by_24_every_step_stays_in_sight_and_what_is_typed_ahead_is_run(
    terminal: Terminal, rehearsed: Tool
) -> None:
    terminal.tmux("resize-window", "-x", "80", "-y", "24")
    terminal.type(f"cd {shlex.quote(str(rehearsed.home.parent))}; clear")
    command = ["-m", "provision", "all", "--rehearse", "--home", rehearsed.home.name]
    terminal.type(f"{shlex.quote(sys.executable)} {shlex.join(command)}")
    terminal.wait(lambda text: SPINNING.search(text))
    terminal.type("expr 6 '*' 7")
    terminal.wait(lambda text: re.search(r"^42$", text, re.MULTILINE))
    seen = terminal.screen()
    assert [step.name for step in STEPS if not re.search(rf"^[✓!] {step.name} ", seen, re.MULTILINE)] == [], seen
    assert "Next:" in seen
    assert seen.index("Next:") < seen.index("expr 6"), "it is shown by the shell alone"
