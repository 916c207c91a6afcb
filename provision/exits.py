"""A command at work: its console, its signals, and the one place that turns errors into words and exit codes."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import typer

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
    from provision.console import Console
    from provision.session import Session, Wish


@contextmanager
def session(command: str, wish: Wish, *, json: bool, verbose: bool, plain: bool = False) -> Iterator[Session]:
    """A command at work: its console, its context, its signals, its exit code."""
    from provision.console import make_console
    from provision.invocation import this_call
    from provision.machine import Machine
    from provision.session import choose_home, open_session, tool_log

    machine = Machine()
    console = make_console(json_lines=json, verbose=verbose, yes=wish.yes, environ=machine.environ, plain=plain)
    console.invocation = this_call(machine.environ, wish.home, rehearse=wish.rehearse)
    with exit_codes(console, None):  # before anything is read
        log = tool_log(choose_home(command, wish, machine))
        with exit_codes(console, log), console, open_session(command, wish, console, machine) as at:
            yield at


@contextmanager
def exit_codes(console: Console, log: Path | None) -> Iterator[None]:
    """The one place that turns errors into words and exit codes."""
    for sign in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(sign, _interrupt)
    try:
        yield
    except typer.Exit:
        raise
    except (KeyboardInterrupt, Interrupted):
        console.error(_stopped(console))
        _leave(EXIT_INTERRUPTED)
    except ProvisionError as error:
        console.error(error, _kept(log) if error.exit_code == EXIT_UNSATISFIED else None)
        raise typer.Exit(error.exit_code) from error
    except BrokenPipeError:
        _leave(EXIT_UNSATISFIED)
    except OSError as error:
        _tell_os_error(console, error, log)
    except Exception as error:  # noqa: BLE001  (the one place that may: exit code 3 and a log)
        console.error(_bug(error, log), _kept(log))
        _leave(EXIT_BUG)


def _tell_os_error(console: Console, error: OSError, log: Path | None) -> NoReturn:
    """What the disk did, as a sentence and exit code 1; any other OSError is a bug."""
    from provision.disk_errors import as_sentence

    said = as_sentence(error, log.parent.parent if log is not None else Path.home())
    if said is None:
        console.error(_bug(error, log), _kept(log))
        _leave(EXIT_BUG)
    _keep_trace(error, log)
    console.error(said, _kept(log))
    _leave(said.exit_code)


def _stopped(console: Console) -> Interrupted:
    """What is kept of what was begun, and the command that goes on with it."""
    from provision.visible import shell_words

    kept = console.kept()
    says = f"Stopped. Kept: {kept}." if kept else "Stopped. Nothing is lost."
    return Interrupted(f"{says} The same command goes on.", hint=shell_words(["provision", *sys.argv[1:]]))


def _kept(log: Path | None) -> Path | None:
    """The log where there is one; None too for a name that no disk can hold."""
    with suppress(OSError):
        return log if log is not None and log.is_file() else None
    return None


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def _leave(code: int) -> NoReturn:
    """End now: threads that wait on a socket must not hold up a person who pressed Ctrl-C."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)


def _bug(error: Exception, log: Path | None) -> ProvisionError:
    """Our own bug as a sentence; its traceback goes into the log, or where there is none into a file of its own."""
    import tempfile

    where = _keep_trace(error, log)
    if where is None:
        with suppress(OSError):
            where = _keep_trace(error, Path(tempfile.mkstemp(prefix="provision-bug-", suffix=".log")[1]))
    return ProvisionError(
        f"This is a bug in provision ({type(error).__name__}: {error}).",
        hint=f"Please report it{f' with {where}' if where else ''}",
    )


def _keep_trace(error: Exception, log: Path | None) -> Path | None:
    """Append the traceback to a log that is there; None where there is none, or it cannot be written."""
    import traceback

    with suppress(OSError):
        if log is not None and log.is_file():
            with log.open("a", encoding="utf-8", errors="backslashreplace") as stream:
                stream.write("".join(traceback.format_exception(error)))
            return log
    return None


def finish(ok: bool) -> None:
    """End with 0 or 1."""
    raise typer.Exit(EXIT_OK if ok else EXIT_UNSATISFIED)


def refuse(error: Exception) -> int:
    """What click says of words that it does not know; without any words it is the help."""
    asked = getattr(getattr(error, "ctx", None), "command_path", "provision")
    if len(sys.argv) < 2:
        typer.echo(str(error))
        return EXIT_USAGE
    says = str(getattr(error, "format_message", error.__str__)())
    tell(UsageError(says, hint=f"{asked} --help"))
    return EXIT_USAGE


def tell(error: ProvisionError) -> None:
    """An error before there was a session."""
    from provision.console import make_console
    from provision.invocation import this_call

    as_json, plain = "--json" in sys.argv, "--plain" in sys.argv
    console = make_console(json_lines=as_json, verbose=False, yes=False, environ=os.environ, plain=plain)
    console.invocation = this_call(os.environ)
    console.error(error)
