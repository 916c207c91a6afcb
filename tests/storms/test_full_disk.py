"""A disk that fills at any moment: a sentence, nothing half under a final name, and with space again all is right."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

import pytest

from tests.storms.small_disk import ROOMY, SmallDisk, is_possible, small_disk
from tests.storms.tally import Tally
from tests.storms.weather import Place, aftermath, blame_words

SPARES = (0, 4096, 100_000, 1_000_000, 5_000_000, 20_000_000)
LOOKS = (("status",), ("doctor",), ("logs",), ("stop",), ("uninstall", "--yes"))
"""What a full disk must never lock out."""

pytestmark = pytest.mark.skipif(not is_possible(), reason="only root of Linux can mount a small disk")


def test_a_disk_that_fills_during_all(
    place: Place,
    disk: SmallDisk,
    tally: Callable[[str], Tally],
    storm_tries: Callable[[int, int], range],
    storm_seed: int,
) -> None:
    """After the look at the free space, at any moment, with more or less left; then it has space again."""
    storm = tally("a disk that fills during `all`")
    for number in storm_tries(1, 100):
        chance = random.Random(f"{storm_seed} full {number}")
        disk.resize(ROOMY)
        place.bring(world_only=True)
        moment, spare = chance.uniform(0, place.whole_s), chance.choice(SPARES)
        started = place.start("all", "--rehearse")
        time.sleep(moment)
        disk.fill(spare)
        ended = started.end()
        disk.resize(ROOMY)
        storm.tries += 1
        what = f"try {number}, full but for {spare} bytes after {moment:.2f} s ({ended.code})"
        blame_words(storm, what, ended)
        aftermath(place, storm, what)


def test_a_full_disk_locks_nobody_out(
    place: Place, disk: SmallDisk, tally: Callable[[str], Tally], long_storm: bool
) -> None:
    """With no byte free, what looks still looks, and what frees space frees it."""
    storm = tally("commands on a disk with no byte free")
    for words in LOOKS if long_storm else LOOKS[-2:]:
        disk.resize(ROOMY)
        place.bring()
        settled = place.run("all", "--rehearse")
        assert settled.code == 0, settled.says()
        disk.fill()
        ended = place.run(*words)
        storm.tries += 1
        blame_words(storm, f"`{' '.join(words)}`", ended)
        if ended.code != 0:
            storm.blame("not right after", f"`{' '.join(words)}` with no byte free: {ended.says()}")
        for name in place.lost():
            storm.blame("lost", f"`{' '.join(words)}` with no byte free: {name}")


ROOMS: tuple[dict[str, int], ...] = (
    {"size_bytes": 2_000_000},
    {"size_bytes": 20_000_000},
    {"size_bytes": 60_000_000},
    {"inodes": 200},
)


@pytest.mark.parametrize("room", ROOMS, ids=str)
def test_a_world_that_does_not_fit(
    place: Place, room: dict[str, int], tally: Callable[[str], Tally], long_storm: bool
) -> None:
    """The rehearsal's world on a tiny disk, or on one that has room for few files."""
    if not long_storm and room not in ROOMS[-2:]:
        pytest.skip("one of the disks of --storms")
    storm = tally(f"the rehearsal's world on a tiny disk:{room}")
    storm.tries += 1
    place.clear()
    with small_disk(place.disk, **{"size_bytes": 400_000_000, **room}) as disk:
        ended = place.run("all", "--rehearse")
        blame_words(storm, str(room), ended)
        assert ended.code == 1
        assert "is full" in ended.out
        left = {path.name for path in (place.home / "state" / "rehearsal").iterdir()}
        assert left <= {"lock"}, "nothing half is left"
        disk.resize(ROOMY, inodes=1_000_000)
        again = place.run("all" if long_storm else "plan", "--rehearse")
        assert again.code == 0, again.says()
        place.end_all()
