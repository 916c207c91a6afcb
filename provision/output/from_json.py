"""Events out of the lines of `--json`: what another run of the tool says becomes the values of this one."""

from __future__ import annotations

from collections.abc import Mapping

from provision.core import events
from provision.output.as_json import names
from provision.system.strict import Unreadable, convert

KINDS: dict[str, type[events.Event]] = {
    kind.type: kind
    for kind in (
        *(events.RunStarted, events.StepPlanned, events.StepStarted, events.ApplyStarted, events.StepFinished),
        *(events.Progress, events.Waiting, events.Doing, events.CheckSlow, events.Heartbeat, events.ImageMade),
    )
}
"""Events that say how far a run is."""
NUMBER_MAX = 2**53


def event_of(line: Mapping[str, object]) -> events.Event | None:
    """The event of a line; None for a report, for other events, and for one that does not fit its type."""
    kind = KINDS.get(str(line.get("type")))
    if kind is None:
        return None
    held = {own: line[told] for own, told in names(kind).items() if told in line}
    if any(isinstance(value, int | float) and not -1 <= value <= NUMBER_MAX for value in held.values()):
        return None
    try:
        return convert(held, kind)
    except Unreadable:
        return None
