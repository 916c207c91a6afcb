"""A child process followed to its end, or ended with all that it started."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Callable
from contextlib import suppress

from provision.errors import CommandMissing

TERM_GRACE_S = 2.0


def communicate(child: subprocess.Popen[str], timeout_s: float | None) -> tuple[int | None, str, str]:
    """Wait for a child: its exit code (None when time ran out) and both streams."""
    try:
        out, err = child.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired:
        end_group(child.pid, child)
        out, err = child.communicate()
        return None, out, err
    return child.returncode, out, err


def follow(
    child: subprocess.Popen[str], on_line: Callable[[str], None], timeout_s: float | None
) -> tuple[int | None, str, str]:
    """As `communicate`, with each line of the one stream handed on as it comes."""
    late = threading.Event()

    def expire() -> None:
        late.set()
        end_group(child.pid, child)

    timer = threading.Timer(timeout_s, expire) if timeout_s is not None else None
    if timer:
        timer.daemon = True
        timer.start()
    lines: list[str] = []
    assert child.stdout is not None
    try:
        with child.stdout:
            for line in child.stdout:
                lines.append(line)
                on_line(line.rstrip("\n"))
        code = child.wait()
    finally:
        if timer:
            timer.cancel()
    return (None if late.is_set() else code), "".join(lines), ""


def end_group(pid: int, child: subprocess.Popen[str]) -> None:
    """End a child and all that it started: politely, then, also those that its own end left behind, for certain."""
    signal_group(pid, signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        child.wait(TERM_GRACE_S)
    signal_group(pid, signal.SIGKILL)
    with suppress(subprocess.TimeoutExpired):
        child.wait(TERM_GRACE_S)


def signal_group(pid: int, sign: signal.Signals) -> None:
    """Signal a process group that may be gone."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, sign)


def cannot_run(program: str, error: OSError) -> CommandMissing:
    """What a program that does not start means."""
    return CommandMissing(f"{program} cannot be run here ({error.strerror}).", hint="provision doctor")
