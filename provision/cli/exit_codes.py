"""A command at work: its console, its signals, and the one place that turns errors into words and exit codes."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import typer

from provision.command import Fix, ours, program
from provision.errors import (
    EXIT_BUG,
    EXIT_INTERRUPTED,
    EXIT_OK,
    EXIT_UNSATISFIED,
    EXIT_USAGE,
    Interrupted,
    ProvisionError,
    UsageError,
)

if TYPE_CHECKING:
    from provision.output.console import Console
    from provision.system.processes import Process

Handler = Callable[..., None]
GIVE_UP_S = 5
"""How long all that is at work may take to put its things down."""
SHOW_CURSOR = b"\x1b[?25h"


@contextmanager
def exit_codes(console: Console) -> Iterator[End]:
    """The one place that turns errors and signals into words and exit codes."""
    import psutil  # noqa: F401  (a signal in the middle of its import could not look for who works for us)

    end = End()
    end.heed(end.interrupt)
    sys.unraisablehook = end.unraisable
    try:
        yield end
        end.heed(end.leaving(EXIT_OK))
    except typer.Exit as done:
        end.heed(end.leaving(done.exit_code))
        raise
    except (KeyboardInterrupt, Interrupted):
        end.heed(end.leaving(EXIT_INTERRUPTED))
        end.end_workers()
        _say(console, _stopped(console))
        end.leave(EXIT_INTERRUPTED)
    except ProvisionError as error:
        end.heed(end.leaving(error.exit_code))
        _say(console, error, _kept(end.log) if error.exit_code == EXIT_UNSATISFIED else None)
        raise typer.Exit(error.exit_code) from error
    except BrokenPipeError:
        end.leave(EXIT_UNSATISFIED)
    except OSError as error:
        said, code = _of_the_disk(error, end.log)
        end.heed(end.leaving(code))
        _say(console, said, _kept(end.log))
        end.leave(code)
    except Exception as error:  # noqa: BLE001  (the one place that may: exit code 3 and a log)
        broken = isinstance(error, ImportError) and not (error.name or "provision").startswith("provision")
        code = EXIT_UNSATISFIED if broken else EXIT_BUG
        end.heed(end.leaving(code))
        _say(console, _broken_environment(error) if broken else _bug(error, end.log), _kept(end.log))
        end.leave(code)


@dataclass(slots=True)
class End:
    """How a command ends: where its log is, and what a signal does to it.

    The first raises KeyboardInterrupt, so that all that is at work puts its things down; the next ends at once, as does
    the first when the command has said its last word. What works for us is ended either way.
    """

    log: Path | None = None
    doomed: list[Process] = field(default_factory=list)

    def heed(self, handler: Handler) -> None:
        """Have signals handled so from now on; those that are ignored (nohup) stay so."""
        for sign in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(sign) != signal.SIG_IGN:
                signal.signal(sign, handler)

    def interrupt(self, *_: object) -> None:
        """The first: what works for us is remembered before its parents are ended, then all is put down."""
        self.heed(self.at_once)
        signal.signal(signal.SIGALRM, self.at_once)
        signal.alarm(GIVE_UP_S)
        from provision.system.processes import workers

        self.doomed = workers()
        raise KeyboardInterrupt

    def at_once(self, *_: object) -> None:
        """The next, or where the first was not heard."""
        self.end_workers()
        with suppress(OSError):
            os.write(2, SHOW_CURSOR * os.isatty(2) + b"Stopped.\n")
        os._exit(EXIT_INTERRUPTED)

    def leaving(self, code: int) -> Handler:
        """The last word is said: a signal ends with the code that is due."""
        return lambda *_: self.leave(code)

    def unraisable(self, failure: sys.UnraisableHookArgs) -> None:
        """An interrupt that came while Python tidied up, and that it would only print."""
        if issubclass(failure.exc_type, KeyboardInterrupt):
            self.at_once()
        sys.__unraisablehook__(failure)

    def end_workers(self) -> None:
        """Kill what works for us; a server that is up stays."""
        from provision.system.processes import kill, workers

        kill([*self.doomed, *workers()])

    def leave(self, code: int) -> NoReturn:
        """End now: threads that wait on a socket must not hold up a person who pressed Ctrl-C."""
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError, RuntimeError, AttributeError):
                stream.flush()
        os._exit(code)


def _say(console: Console, error: ProvisionError, log: Path | None = None) -> None:
    """The last words; a terminal may be gone, and a pipe closed."""
    with suppress(OSError):
        console.error(error, log)


def _of_the_disk(error: OSError, log: Path | None) -> tuple[ProvisionError, int]:
    """What the disk did, as a sentence with exit code 1; any other OSError is a bug."""
    from provision.system.disk_errors import as_sentence

    said = as_sentence(error, log.parent.parent if log is not None else Path.home())
    if said is None:
        return _bug(error, log), EXIT_BUG
    _keep_trace(error, log)
    return said, said.exit_code


def _stopped(console: Console) -> Interrupted:
    """What is kept of what was begun, and the command that goes on with it."""
    kept = console.kept()
    says = f"Stopped. Kept: {kept}." if kept else "Stopped. Nothing is lost."
    return Interrupted(f"{says} The same command goes on.", hint=ours(*sys.argv[1:]))


def _kept(log: Path | None) -> Path | None:
    """The log where there is one; None too for a name that no disk can hold."""
    with suppress(OSError):
        return log if log is not None and log.is_file() else None
    return None


def _bug(error: Exception, log: Path | None) -> ProvisionError:
    """Our own bug as a sentence; its traceback goes into the log, or where there is none into a file of its own."""
    import tempfile

    where = _keep_trace(error, log)
    if where is None:
        with suppress(OSError):
            where = _keep_trace(error, Path(tempfile.mkstemp(prefix="provision-bug-", suffix=".log")[1]))
    return ProvisionError(
        f"This is a bug in provision ({type(error).__name__}: {error}).",
        hint=Fix(f"Please report it{f' with {where}' if where else ''}"),
    )


def _broken_environment(error: Exception) -> ProvisionError:
    """A package of the tool's own cannot be imported: without its stamp bin/provision makes the environment anew."""
    stamp = Path(sys.prefix).with_name("env.stamp")
    ours_to_make = stamp.is_file()
    if ours_to_make:
        stamp.unlink()
    return ProvisionError(
        f"provision's own environment is broken ({error}).",
        hint=Fix("The same command makes it anew", ours(*sys.argv[1:]))
        if ours_to_make
        else program("uv", "tool", "upgrade", "--reinstall", "comfy-provision"),
    )


def _keep_trace(error: Exception, log: Path | None) -> Path | None:
    """Append the traceback to a log that is there; None where there is none, or it cannot be written."""
    import traceback

    with suppress(OSError):  # a disk that is full must not hide the bug
        if log is not None and log.is_file():
            with log.open("a", encoding="utf-8", errors="backslashreplace") as stream:
                stream.write("".join(traceback.format_exception(error)))
            return log
    return None


def finish(ok: bool) -> NoReturn:
    """End with 0 or 1."""
    raise typer.Exit(EXIT_OK if ok else EXIT_UNSATISFIED)


def refuse(error: Exception) -> int:
    """What click says of words that it does not know; without any words it is the help."""
    asked = getattr(getattr(error, "ctx", None), "command_path", "provision")
    if len(sys.argv) < 2:
        typer.echo(str(error))
        return EXIT_USAGE
    says = str(getattr(error, "format_message", error.__str__)())
    tell(UsageError(says, hint=ours(*asked.split()[1:], "--help")))
    return EXIT_USAGE


def tell(error: ProvisionError) -> None:
    """An error before there was a session."""
    from provision.output.choose_console import make_console
    from provision.output.hints import this_call

    console = make_console(json="--json" in sys.argv, plain="--plain" in sys.argv, environ=os.environ)
    console.invocation = this_call(os.environ)
    console.error(error)
