"""Starts the driver, and folds what it says into rows until every Mac has an outcome."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

import msgspec

from provision.command import Fix, program
from provision.errors import Bug, CommandMissing
from provision.fleet.messages import LINE_MAX_BYTES, Job, Message, Outcome
from provision.fleet.row import Row
from provision.system.strict import Unreadable, decode

ENGINE = "pyinfra>=3.10,<4"
"""As the extra `fleet` has it."""
BOOT = (
    "import sys; from gevent import monkey; monkey.patch_all(); sys.path.insert(0, sys.argv[1]);"
    " from provision.fleet.driver import main; main()"
)
MESSAGE_MAX_BYTES = 2 * LINE_MAX_BYTES + 10_000
"""A line, quoted once more."""
STOP_S = 4.0
TRACE_MAX = 4000


def check_engine() -> None:
    """Raises CommandMissing where pyinfra is not installed, with the command that installs it."""
    if find_spec("pyinfra") is None:
        from uv import find_uv_bin

        raise CommandMissing(
            "`provision fleet` needs pyinfra, which is an extra: comfy-provision[fleet].",
            hint=Fix("To add it:", program(find_uv_bin(), "pip", "install", "--python", sys.executable, ENGINE)),
        )


def drive(job: Job, rows: Mapping[str, Row], changed: Callable[[Row], None], clock: Callable[[], float]) -> None:
    """Do the job; `changed` is called after each message. Raises Bug where the driver fails, and KeyboardInterrupt.

    However it ends, the driver has ended then, and every row has an outcome.
    """
    with tempfile.TemporaryFile() as errors:
        words = [sys.executable, "-I", "-X", "utf8", "-c", BOOT, str(Path(__file__).parents[2])]
        with subprocess.Popen(  # noqa: S603
            words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, start_new_session=True
        ) as driver:
            assert driver.stdin is not None
            assert driver.stdout is not None
            try:
                with suppress(BrokenPipeError):
                    driver.stdin.write(msgspec.json.encode(job) + b"\n")
                    driver.stdin.flush()
                while line := driver.stdout.readline(MESSAGE_MAX_BYTES):
                    _fold(line, rows, changed, clock())
            finally:
                with suppress(BrokenPipeError):
                    driver.stdin.close()  # which has it end all connections
                _wait(driver)
                for row in rows.values():
                    row.stop(clock(), "Stopped; what was done is kept.")
        if driver.returncode and any(row.outcome is Outcome.STOPPED for row in rows.values()):
            errors.seek(0)
            raise Bug(f"The driver of the fleet ended: {_last(errors.read())}", hint=Fix("Please report it."))


def _fold(line: bytes, rows: Mapping[str, Row], changed: Callable[[Row], None], now: float) -> None:
    try:
        message = decode(line, Message, max_bytes=MESSAGE_MAX_BYTES)
    except Unreadable:
        return
    row = rows[message.mac]
    row.add(now, message)
    changed(row)


def _wait(driver: subprocess.Popen[bytes]) -> None:
    try:
        driver.wait(STOP_S)
    except subprocess.TimeoutExpired:
        driver.kill()


def _last(trace: bytes) -> str:
    return trace[-TRACE_MAX:].decode("utf-8", "replace").strip().rpartition("\n")[2] or "without a word"
