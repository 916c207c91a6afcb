"""How long until every Mac of a room has everything: a fluid model of the network, and its table for docs/many-macs.md.

    python -m benchmarks.lan_model

A transfer is water that runs through what it uses: its giver's line, its reader's line, the air of a Wi-Fi (twice
where both ends are on it). All that run share each of these fairly (max-min), until one is over and another may begin.
Nothing is lost, nobody waits for a disk, and the network itself (the switch) is never full: real rooms are slower.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

GB, MIN = 1e9, 60.0
MODEL_BYTES, REST_BYTES = 6.94 * GB, 0.77 * GB
"""SDXL-Turbo's checkpoint; torch, the other packages, ComfyUI, Python and the tool."""
MACS = 30
GBIT = 117.5e6
"""Bytes a second of payload over 1 Gbit/s Ethernet."""
WIFI = 87.5e6
"""What one access point moves in all, of 700 Mbit/s: a good one, with everybody in the room."""
SSD, WALK_S = 0.8 * GB, 60.0
"""A disk over USB, and the time to carry it to the next Mac."""
FIRST = 0


@dataclass(frozen=True)
class Room:
    """Lines in bytes a second. `air`: of a Wi-Fi, None for cables; `first_on_air`: the first Mac uses it."""

    first_line: float = GBIT
    line: float = GBIT
    air: float | None = None
    first_on_air: bool = False
    macs: int = MACS

    def uses(self, giver: int, reader: int) -> dict[str, float]:
        """How much of what a byte from one Mac to another takes."""
        used = {f"from {giver}": 1.0, f"to {reader}": 1.0}
        on_air = 1 + (giver != FIRST or self.first_on_air)
        return used | ({"air": float(on_air)} if self.air is not None else {})

    def limit(self, name: str) -> float:
        if name == "air":
            assert self.air is not None
            return self.air
        return self.first_line if name == f"from {FIRST}" else self.line


@dataclass
class Transfer:
    """Bytes on their way."""

    giver: int
    reader: int
    left: float
    uses: dict[str, float]
    aside: bool = False
    """Whether its giver may give to another at the same time."""
    rate: float = 0.0


@dataclass
class State:
    """Who has everything, who waits, what runs, and what was moved so far."""

    room: Room
    now: float = 0.0
    have: set[int] = field(default_factory=lambda: {FIRST})
    waiting: list[int] = field(default_factory=list)
    running: list[Transfer] = field(default_factory=list)

    def start(self, giver: int, reader: int, count: float, *, aside: bool = False) -> None:
        self.running.append(Transfer(giver, reader, count, self.room.uses(giver, reader), aside))

    def free(self) -> Iterator[int]:
        """Those who have everything and give to nobody; the first Mac first."""
        giving = {each.giver for each in self.running if not each.aside}
        return (mac for mac in sorted(self.have) if mac not in giving)


Plan = Callable[[State], None]
"""Begins what may begin now."""


def star(state: State) -> None:
    """Everybody reads from the first Mac, all at once."""
    while state.waiting:
        state.start(FIRST, state.waiting.pop(0), MODEL_BYTES + REST_BYTES)


def waves(state: State) -> None:
    """Who has everything gives it to one who has not."""
    for giver in list(state.free()):
        if state.waiting:
            state.start(giver, state.waiting.pop(0), MODEL_BYTES + REST_BYTES)


def model_in_waves(state: State) -> None:
    """The model as in waves; the rest is always the first Mac's: `serve` without a bundle."""
    for giver in list(state.free()):
        if state.waiting:
            reader = state.waiting.pop(0)
            state.start(giver, reader, MODEL_BYTES)
            state.start(FIRST, reader, REST_BYTES, aside=True)


def share(running: list[Transfer], limit: Callable[[str], float]) -> None:
    """Max-min rates by progressive filling: raise all, hold those whose line is full, go on."""
    left = {name: limit(name) for each in running for name in each.uses}
    open_ = list(running)
    for each in running:
        each.rate = 0.0
    while open_:
        weight = {name: sum(each.uses.get(name, 0.0) for each in open_) for name in left}
        step = min(left[name] / total for name, total in weight.items() if total)
        for each in open_:
            each.rate += step
        left = {name: left[name] - step * weight[name] for name in left}
        full = {name for name in left if weight[name] and left[name] <= 1e-6 * limit(name)}
        open_ = [each for each in open_ if not full & each.uses.keys()]


def seconds(room: Room, plan: Plan) -> float:
    """Until the last Mac has everything."""
    state = State(room, waiting=list(range(1, room.macs)))
    plan(state)
    while state.running:
        share(state.running, room.limit)
        step = min(each.left / each.rate for each in state.running)
        state.now += step
        for each in state.running:
            each.left -= each.rate * step
        over = [each for each in state.running if each.left <= 1.0]
        state.running = [each for each in state.running if each.left > 1.0]
        busy = {each.reader for each in state.running}
        state.have |= {each.reader for each in over} - busy
        plan(state)
    return state.now


def rows() -> Iterator[tuple[str, ...]]:
    """The table: a room, then minutes for each plan."""
    cable, wifi = Room(), Room(air=WIFI)
    rooms = {
        "1 GbE everywhere": cable,
        "1 GbE, the first Mac on 2.5 GbE": replace(cable, first_line=2.5 * GBIT),
        "1 GbE, the first Mac on 10 GbE": replace(cable, first_line=10 * GBIT),
        "One Wi-Fi access point, the first Mac on cable": wifi,
        "One Wi-Fi access point, the first Mac on it too": replace(wifi, first_on_air=True),
    }
    for name, room in rooms.items():
        yield name, *(f"{seconds(room, plan) / MIN:.1f}" for plan in (star, waves, model_in_waves))


def each_for_itself(internet: float) -> float:
    """Seconds where every Mac downloads everything from the internet, over one line."""
    return seconds(Room(first_line=internet, macs=MACS + 1), star)


def carried() -> float:
    """Seconds to carry one disk to every other Mac, one after the other."""
    return (MACS - 1) * ((MODEL_BYTES + REST_BYTES) / SSD + WALK_S)


def table() -> str:
    """Markdown, for the page."""
    heads = ("The room", "all from the first (min)", "waves of whole bundles", "waves of the model")
    lines = [f"| {' | '.join(heads)} |", "|---|---:|---:|---:|"]
    lines += [f"| {' | '.join(row)} |" for row in rows()]
    gigabit, slow = each_for_itself(GBIT) / MIN, each_for_itself(GBIT / 10) / MIN
    lines.append(f"| Each from the internet, one line of 1 Gbit/s (100 Mbit/s) | {gigabit:.0f} ({slow:.0f}) | | |")
    lines.append(f"| A disk carried from Mac to Mac | {carried() / MIN:.0f} | | |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(table())
