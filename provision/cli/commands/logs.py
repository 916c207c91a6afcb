"""`provision logs`: the end of ComfyUI's log, or of this tool's own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from typer import Option

from provision.cli.command import Session, command
from provision.cli.request import USUAL
from provision.command import ours
from provision.errors import UsageError
from provision.output.result import Data, Result, answer
from provision.system.visible import uncoloured


@dataclass(frozen=True, slots=True)
class LogFacts:
    """The last lines of a log; with `--follow` each line is an event instead."""

    path: str
    lines: tuple[str, ...]


def logs(
    at: Session,
    *,
    follow: Annotated[bool, Option("-f", "--follow", help="Follow the log.")] = False,
    lines: Annotated[int, Option("-n", "--lines", metavar="N", help="Lines to show.")] = 60,
    tool: Annotated[bool, Option("--tool", help="Show provision's own log.")] = False,
) -> Result:
    """The last lines of a log; with `follow` also new ones, until Ctrl-C. Raises UsageError when there is none."""
    from provision.core.events import LogLine
    from provision.output.safe_streams import rest
    from provision.system.log_files import LIMIT_BYTES, Follower

    path = at.log if tool else at.ctx.home.engine_log
    if not path.is_file():  # a pipe in its place would be waited for
        raise UsageError(f"No log yet: {path}.", hint=ours("launch" if at.ctx.home.state.is_dir() else "all"))
    follower = Follower(path, place=max(0, path.stat().st_size - LIMIT_BYTES))
    last = [*follower.lines(), *([follower.begun.decode("utf-8", "replace")] if follower.begun and not follow else [])]
    shown = last[max(0, len(last) - lines) :] if lines > 0 else []
    if not follow:
        told = [uncoloured(line) for line in shown]
        return answer(LogFacts(str(path), tuple(told)), *map(Data, told))
    rest()
    while True:
        for line in shown:
            at.console.tell(Data(uncoloured(line)))
            at.ctx.emit(LogLine(line=uncoloured(line)))
        at.ctx.machine.sleep(0.2)
        shown = list(follower.lines())


app = command("logs", logs, USUAL)
