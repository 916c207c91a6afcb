"""Which console a run has: `--json` and `--plain` pick the format, a terminal only decides animation."""

from __future__ import annotations

import sys
from collections.abc import Mapping

from provision.output.console import Console, is_terminal


def make_console(
    *, json: bool, verbose: bool = False, yes: bool = False, plain: bool = False, environ: Mapping[str, str]
) -> Console:
    """The console for this run."""
    if json:
        from provision.output.json_console import JsonConsole

        return JsonConsole(verbose=verbose, yes=yes)
    can_draw = is_terminal(sys.stderr) and (sys.stderr.encoding or "utf-8").lower().startswith("utf")
    if plain or not can_draw or environ.get("TERM", "") in ("", "dumb"):
        return Console(verbose=verbose, yes=yes, plain=plain)
    from provision.output.live_console import LiveConsole

    return LiveConsole(verbose=verbose, yes=yes)
