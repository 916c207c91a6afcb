"""The program, as `python -m provision`, as the command `provision`, and as `bin/provision` runs it.

First of all a Ctrl-C is seen to. Until a command sees to it itself (`exits`) nothing has been begun that would have to
be ended: a sentence and the exit code are enough. What that takes is built into Python, and needs no time to be read.
"""

import _signal  # type: ignore[import-not-found]
import posix

STOPPED = 130


def stop(*_: object) -> None:
    """End at once."""
    try:  # noqa: SIM105  (contextlib is not read yet)
        posix.write(2, b"Stopped. Nothing was changed.\n")
    except OSError:
        pass
    posix._exit(STOPPED)


for _number in (_signal.SIGINT, _signal.SIGTERM, _signal.SIGHUP):
    if _signal.getsignal(_number) != _signal.SIG_IGN:  # as nohup has it, and a shell for what runs behind it
        _signal.signal(_number, stop)


def main() -> None:
    """The entry point."""
    from provision.cli.app import main as command_line

    command_line()


if __name__ == "__main__":
    main()
