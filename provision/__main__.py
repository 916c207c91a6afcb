"""The program, as `python -m provision`, as the command `provision`, and as `bin/provision` runs it.

First of all a Ctrl-C is seen to. Until a command sees to it itself (`exits`) nothing has been begun that would have to
be ended: a sentence and the exit code are enough. What that takes is built into Python, and needs no time to be read.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]
import posix
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

STOPPED = 130
COMPLETE = b"_PROVISION_COMPLETE"
AGAIN = "PROVISION_MADE_ANEW"
"""Set where the environment was made anew in this very start, so that it is not made for ever."""


def report() -> str:
    """The report that `--json` ends with (see `output/as_json.py`)."""
    at, host = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime()), posix.uname().nodename.replace('"', "")
    return (
        f'{{"schema": 2, "type": "report", "at": "{at}", "run": "{posix.urandom(6).hex()}", "host": "{host}",'
        ' "command": null, "ok": false, "error": {"code": "interrupted", "message": "Stopped. Nothing was changed.",'
        ' "hint": "", "argv": null}, "changed": false, "seconds": 0.0, "steps": []}\n'
    )


def stop(*_: object) -> None:
    """End at once."""
    try:
        if "--json" in sys.argv:
            posix.write(1, report().encode())
        else:
            posix.write(2, b"Stopped. Nothing was changed.\n")
    except OSError:
        pass
    posix._exit(STOPPED)


for _number in (_signal.SIGINT, _signal.SIGTERM, _signal.SIGHUP):
    if _signal.getsignal(_number) != _signal.SIG_IGN:  # as nohup has it, and a shell for what runs behind it
        _signal.signal(_number, stop)


def answer(text: str) -> NoReturn:
    """Print what needs nothing else to be read, and end."""
    try:
        posix.write(1, f"{text}\n".encode())
    except OSError as error:
        posix.write(2, f"error: The output cannot be written ({error.strerror}).\n".encode())
        posix._exit(1)
    posix._exit(0)


def main() -> None:
    """The entry point."""
    import sys

    from provision.cli.contents import help_text, is_help, is_version

    if is_help(words := sys.argv[1:]) and COMPLETE not in posix.environ:
        answer(help_text())
    if is_version(words):
        from provision import __version__

        answer(f"provision {__version__}")
    try:
        from provision.cli.app import main as command_line

        command_line()
    except ImportError as error:  # nothing was begun: later ones are a command's to tell
        make_anew(error)


def make_anew(error: ImportError) -> NoReturn:
    """Have bin/provision make the tool's environment again, once: packages of it are gone, or of another processor."""
    import os
    import sys
    from pathlib import Path

    from provision.system.own_environment import forget

    script = Path(__file__).parents[1] / "bin" / "provision"
    if AGAIN in os.environ or not script.is_file() or not forget():
        raise error
    os.write(2, f"provision: its own environment is broken ({error}).\n".encode(errors="backslashreplace"))
    os.execve(script, [str(script), *sys.argv[1:]], {**os.environ, AGAIN: "yes"})  # noqa: S606  (as the person started it)


if __name__ == "__main__":
    main()
