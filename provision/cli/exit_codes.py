"""The one place that turns errors and signals into messages and exit codes."""

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

from provision.command import Fix, ours
from provision.errors import (
    EXIT_INTERRUPTED,
    EXIT_OK,
    EXIT_UNSATISFIED,
    EXIT_USAGE,
    Bug,
    Interrupted,
    OutputLost,
    ProvisionError,
    UsageError,
)

if TYPE_CHECKING:
    from provision.output.console import Console
    from provision.system.processes import Process

Handler = Callable[..., None]
GIVE_UP_S = 5
"""How long a command may take to stop after the first signal."""
TIDY = b"\r\x1b[K\x1b[?25h"
"""For a terminal: nothing on this line, and the cursor."""


@contextmanager
def exit_codes(console: Console) -> Iterator[End]:
    """Run a command: its errors and signals become messages and exit codes."""
    import psutil  # noqa: F401  (a signal during its import could not find our children)

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
    except Exception as error:  # noqa: BLE001  (the one place that may: exit code 3 and a log)
        said = _as_error(error, end.log)
        end.heed(end.leaving(said.exit_code))
        _say(console, said, _kept(end.log))
        end.leave(said.exit_code)


@dataclass(slots=True)
class End:
    """How a command ends: where its log is, and what a signal does.

    The first signal raises KeyboardInterrupt, so that work in progress is put down; the next one exits at once, as does
    the first after the last message. Either ends our children.
    """

    log: Path | None = None
    doomed: list[Process] = field(default_factory=list)

    def heed(self, handler: Handler) -> None:
        """Install a handler for the signals that are not ignored (nohup)."""
        for sign in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(sign) != signal.SIG_IGN:
                signal.signal(sign, handler)

    def interrupt(self, *_: object) -> None:
        """The first signal: record our children before their parents end, and stop."""
        self.heed(self.at_once)
        signal.signal(signal.SIGALRM, self.at_once)
        signal.alarm(GIVE_UP_S)
        from provision.system.processes import workers

        self.doomed = workers()
        raise KeyboardInterrupt

    def at_once(self, *_: object) -> None:
        """The next signal, or the time-out after the first: exit."""
        self.end_workers()
        with suppress(OSError):
            os.write(2, TIDY * os.isatty(2) + b"Stopped.\n")
        os._exit(EXIT_INTERRUPTED)

    def leaving(self, code: int) -> Handler:
        """A handler for the time after the last message: exit with this code."""
        return lambda *_: self.leave(code)

    def unraisable(self, failure: sys.UnraisableHookArgs) -> None:
        """Handle an interrupt that came in a destructor, where Python would only print it."""
        if issubclass(failure.exc_type, KeyboardInterrupt):
            self.at_once()
        sys.__unraisablehook__(failure)

    def end_workers(self) -> None:
        """Kill our children, but not a server that outlives us."""
        from provision.system.processes import kill, workers

        kill([*self.doomed, *workers()])

    def leave(self, code: int) -> NoReturn:
        """Exit now, without waiting for threads that wait on a socket."""
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError, RuntimeError, AttributeError):
                stream.flush()
        os._exit(code)


def _say(console: Console, error: ProvisionError, log: Path | None = None) -> None:
    """Print the last message, unless the terminal is gone."""
    with suppress(OSError):
        try:
            console.error(error, log)
        except OutputLost as lost:
            console.error(lost, log)


def _stopped(console: Console) -> Interrupted:
    """What is kept, and the command that resumes."""
    kept = console.kept()
    says = f"Stopped. Kept: {kept}." if kept else "Stopped. Nothing is lost."
    server = console.state.steps.get("server")
    runs = " ComfyUI keeps running." if server is not None and server.verdict == "ok" else ""
    return Interrupted(f"{says}{runs}", hint=Fix("To resume:", ours(*sys.argv[1:])))


def _kept(log: Path | None) -> Path | None:
    """The log, if it exists; None also for an invalid name."""
    with suppress(OSError):
        return log if log is not None and log.is_file() else None
    return None


def _as_error(error: Exception, log: Path | None) -> ProvisionError:
    """An exception as a disk's error, a broken environment or a bug; its traceback goes into the log or a new file."""
    import tempfile

    from provision.system.disk_errors import as_sentence

    where = _keep_trace(error, log)
    if isinstance(error, OSError):
        said = as_sentence(error, log.parent.parent if log is not None else Path.home())
        if said is not None:
            return said
    if isinstance(error, ImportError) and not (error.name or "provision").startswith("provision"):
        return _broken_environment(error)
    if where is None:
        with suppress(OSError):
            where = _keep_trace(error, Path(tempfile.mkstemp(prefix="provision-bug-", suffix=".log")[1]))
    return Bug(
        f"This is a bug in provision ({type(error).__name__}: {error}).",
        hint=Fix(f"Please report it{f' with {where}' if where else ''}"),
    )


def _broken_environment(error: Exception) -> ProvisionError:
    """A package of the tool's own cannot be imported: without its stamp bin/provision makes the environment anew."""
    from provision.system.own_environment import forget, how_to_install_anew

    return ProvisionError(
        f"provision's own environment is broken ({error}).",
        hint=Fix("The same command recreates it", ours(*sys.argv[1:])) if forget() else how_to_install_anew(),
    )


def _keep_trace(error: Exception, log: Path | None) -> Path | None:
    """Append the traceback to the log; None where there is none, or it cannot be written."""
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
    """Print click's message about unknown words, or the help where there are none."""
    asked = getattr(getattr(error, "ctx", None), "command_path", "provision").split()[1:] or _commands_in(sys.argv)
    if len(sys.argv) < 2:
        typer.echo(str(error))
        return EXIT_USAGE
    says = str(getattr(error, "format_message", error.__str__)())
    tell(UsageError(says, hint=ours(*asked, "--help")))
    return EXIT_USAGE


def _commands_in(argv: list[str]) -> list[str]:
    """The command that was called, where one can be told."""
    from provision.cli.contents import ALIASES, COMMANDS

    return [ALIASES.get(word, word) for word in argv[1:] if word in COMMANDS or word in ALIASES][:1]


def tell(error: ProvisionError) -> None:
    """Print an error without a session."""
    from provision.output.console import make_console
    from provision.output.hints import this_call

    console = make_console(
        next(iter(_commands_in(sys.argv)), None),
        json="--json" in sys.argv,
        plain="--plain" in sys.argv,
        environ=os.environ,
    )
    console.invocation = this_call(os.environ)
    _say(console, error)
