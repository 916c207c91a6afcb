"""One system call fails, of the tool or of a program that it starts: a sentence, and the next run is right."""

from __future__ import annotations

import errno
import random
from collections.abc import Callable

import pytest

from tests.storms.failing_calls import CHANGING, Failing, is_possible
from tests.storms.tally import Tally
from tests.storms.weather import Place, aftermath, blame_words

USUALLY = {
    "open": 3400,
    "mkdir": 570,
    "write": 4500,
    "unlink": 360,
    "truncate": 5,
    "link": 490,
    "rename": 310,
    "read": 2100,
    "symlink": 26,
    "fsync": 18,
}
"""How many calls of each kind `all --rehearse` makes below an empty home."""
CODES = {
    "read": ("EIO",),
    "fsync": ("EIO", "ENOSPC", "EDQUOT"),
    "truncate": ("EIO", "ENOSPC", "EROFS"),
}
EVERY = ("ENOSPC", "EIO", "EROFS", "EDQUOT", "EACCES")

pytestmark = pytest.mark.skipif(not is_possible(), reason="the kernel does not hand over system calls here")


@pytest.mark.parametrize("part", range(4))
def test_one_failed_call_of_all(
    part: int, place: Place, tally: Callable[[str], Tally], storm_tries: Callable[[int, int], range], storm_seed: int
) -> None:
    storm = tally(f"one failed system call in `all`:{part}")
    for number in storm_tries(2, 200):
        if number % 4 != part:
            continue
        chance = random.Random(f"{storm_seed} failed {number}")
        kind = chance.choice(list(USUALLY))
        code = chance.choice(CODES.get(kind, EVERY))
        at = chance.randint(1, USUALLY[kind])
        place.bring(world_only=chance.random() < 0.7)
        failing = Failing(place.home, [kind], getattr(errno, code), at)
        ended = place.run("all", "--rehearse", failing=failing)
        if not failing.failed:
            continue
        storm.tries += 1
        what = f"try {number}, {code} from the {at}th {kind}: {failing.failed[0]}"
        blame_words(storm, what, ended)
        aftermath(place, storm, what)


def test_a_disk_that_becomes_read_only(
    place: Place, tally: Callable[[str], Tally], storm_tries: Callable[[int, int], range], storm_seed: int
) -> None:
    """As ext4 and APFS do after an error: whatever would change something is refused from one moment on."""
    storm = tally("a disk that becomes read-only in `all`")
    for number in storm_tries(1, 40):
        chance = random.Random(f"{storm_seed} read-only {number}")
        place.bring(world_only=True)
        failing = Failing(place.home, CHANGING, errno.EROFS, chance.randint(1, 8000), lasting=True)
        ended = place.run("all", "--rehearse", failing=failing)
        if not failing.failed:
            continue
        storm.tries += 1
        what = f"try {number}, read-only from the {failing.at}th change: {failing.failed[0]}"
        blame_words(storm, what, ended)
        place.end_all()
        aftermath(place, storm, what)
