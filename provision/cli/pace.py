"""How fast the line and the steps were in a home, which the next run and `plan` reckon with."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from provision.core.estimate import REHEARSED_S, USUAL_S, Pace, believable
from provision.core.home import Home
from provision.core.receipts import read_state, write_json
from provision.core.step import Context


def read_pace(home: Home) -> Pace:
    """How fast they were, as far as a run has measured it."""
    return believable(read_state(_file(home), Pace) or Pace())


def keep_pace(home: Home, pace: Pace) -> None:
    """Keep what a run measured. Raises HomeError, DiskFull."""
    write_json(_file(home), pace.to_json())


def usual_seconds(ctx: Context) -> Mapping[str, float]:
    """What steps usually take beside their downloads; a rehearsal's take less."""
    return REHEARSED_S if ctx.options.rehearsal else USUAL_S


def _file(home: Home) -> Path:
    return home.state / "pace.json"
