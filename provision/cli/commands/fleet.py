"""`provision fleet`: the same on many Macs over SSH."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from provision.cli.command import Alone, command
from provision.output.result import Result

FLAGS = frozenset({"json", "quiet", "plain", "color"})
SILENCE_S = 60.0


def fleet(  # noqa: PLR0913  (its flags)
    at: Alone,
    *,
    words: Annotated[
        list[str] | None, Argument(metavar="HOSTS.toml [COMMAND] [-- FLAGS OF IT]", help="The Macs; what to do there.")
    ] = None,
    only: Annotated[list[str] | None, Option("--only", metavar="NAME", help="Only this Mac; repeat it.")] = None,
    tag: Annotated[list[str] | None, Option("--tag", metavar="TAG", help="Only Macs with this tag; repeat it.")] = None,
    source: Annotated[
        str | None, Option("--from", metavar="DIR|URL", help="A bundle, which the Macs read over the LAN.")
    ] = None,
    from_sha256: Annotated[str | None, Option("--from-sha256", metavar="HEX", help="Its digest; with a URL.")] = None,
    locked: Annotated[
        Path | None, Option("--locked", metavar="FILE", help="Send this provision.lock, and build from it.")
    ] = None,
    waves: Annotated[
        bool, Option("--waves", help="1, 2, 4, 8, then 16 Macs at a time; those done give to the next.")
    ] = False,
    retry: Annotated[bool, Option("--retry", help="Only the Macs that are not done yet.")] = False,
    parallel: Annotated[int | None, Option("--parallel", metavar="N", min=1, help="N Macs at a time.")] = None,
    inventory: Annotated[
        Path | None, Option("--inventory", metavar="FILE", help="An Ansible inventory that lists the Macs.")
    ] = None,
    tunnel: Annotated[bool, Option("--tunnel", help="With urls: print lines for ~/.ssh/config.")] = False,
    silence: Annotated[
        float, Option("--silence", metavar="SECONDS", min=1, help="Give up a Mac that is silent for so long.")
    ] = SILENCE_S,
) -> Result:
    """Do it on all Macs; satisfied when each is. Raises UsageError, CommandMissing, CommandFailed, Bug."""
    from provision.fleet.ask import Ask, parse_words
    from provision.fleet.work import carry_out

    hosts, verb, rest = parse_words(words or (), inventory)
    return carry_out(
        at.console,
        Ask(
            hosts=hosts,
            inventory=inventory is not None,
            verb=verb,
            rest=rest,
            only=tuple(only or ()),
            tags=tuple(tag or ()),
            retry=retry,
            tunnel=tunnel,
            source=source or "",
            digest=from_sha256 or "",
            waves=waves,
            locked=locked.expanduser().absolute() if locked is not None else None,
        ),
        parallel=parallel or 0,
        silence_s=silence,
    )


app = command("fleet", fleet, FLAGS, alone=True)
