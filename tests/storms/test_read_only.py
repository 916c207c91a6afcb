"""A home that cannot be written, from the start or from one moment on, and files of another user: sentences.

A disk that becomes read-only at a certain call of `all` is in test_failed_calls.
"""

from __future__ import annotations

import os
import random
import subprocess
from collections.abc import Callable

import pytest

from tests.storms.small_disk import SmallDisk, is_possible
from tests.storms.tally import Tally
from tests.storms.weather import Place, aftermath, blame_words

COMMANDS = (
    ("status",),
    ("doctor",),
    ("logs",),
    ("stop",),
    ("all", "--rehearse"),
    ("launch",),
    ("doctor", "--fix", "--yes"),
    ("plan", "--rehearse"),
    ("rollback",),
    ("download", "--rehearse"),
    ("uninstall", "--yes"),
)
NOBODY = 65534
UNPRIVILEGED = ("setpriv", "--bounding-set=-all", "--inh-caps=-all")
"""Root without root's rights: to whom modes mean something, as to everybody else."""
OTHERS = (
    "state",
    "state/receipts",
    "state/receipts/torch.json",
    "state/rehearsal/world.json",
    "state/run.json",
    "state/pace.json",
    "state/lock",
    "logs",
    "logs/provision.log",
    "ComfyUI",
    "ComfyUI/.git",
    "ComfyUI/models",
    "ComfyUI/user",
    "ComfyUI/output",
    "envs",
    "provision.lock",
    "provision.toml",
    "first-image.png",
    ".",
)
"""What may belong to another user, who lets nobody read it."""

pytestmark = pytest.mark.skipif(not is_possible(), reason="only root of Linux can mount a disk and be another user")


def test_a_disk_that_is_remounted_read_only(
    place: Place, disk: SmallDisk, tally: Callable[[str], Tally], storm_tries: Callable[[int, int], range]
) -> None:
    """As soon as the system allows it while `all` runs, which is where no file is open for writing."""
    storm = tally("a remount as read-only")
    for number in storm_tries(0, 10):
        chance = random.Random(f"remount {number}")
        disk.remount("rw")
        place.bring(world_only=True)
        started = place.start("all", "--rehearse")
        waited = chance.uniform(0, place.whole_s)
        _wait(started.child, waited)
        while started.child.poll() is None and not disk.remount("ro"):
            _wait(started.child, 0.02)
        ended = started.end()
        storm.tries += 1
        blame_words(storm, f"try {number}, after {waited:.2f} s", ended)
        place.end_all()
        disk.remount("rw")
        aftermath(place, storm, f"try {number}, read-only after {waited:.2f} s")


def _wait(child: subprocess.Popen[str], seconds: float) -> None:
    try:
        child.wait(seconds)
    except subprocess.TimeoutExpired:
        return


def test_every_command_on_a_read_only_disk(
    place: Place, disk: SmallDisk, tally: Callable[[str], Tally], long_storm: bool
) -> None:
    storm = tally("commands on a read-only disk")
    place.bring()
    assert disk.remount("ro")
    for words in COMMANDS if long_storm else COMMANDS[:5]:
        ended = place.run(*words)
        storm.tries += 1
        blame_words(storm, "a read-only disk", ended)
    disk.remount("rw")
    for name in place.lost():
        storm.blame("lost", f"a read-only disk: {name}")
    aftermath(place, storm, "a disk that was read-only")


def test_files_of_another_user(place: Place, tally: Callable[[str], Tally], long_storm: bool) -> None:
    """Which the person who runs the tool may neither read nor change; with them back, all is right."""
    storm = tally("files of another user")
    place.bring()
    for name in OTHERS if long_storm else OTHERS[3:5]:
        path = place.home / name
        was = path.stat()
        os.chown(path, NOBODY, NOBODY)
        path.chmod(0o700 if path.is_dir() else 0o600)
        for words in COMMANDS[:-1] if long_storm else (("status",), ("all", "--rehearse")):
            ended = place.start(*words, prefix=UNPRIVILEGED).end()
            storm.tries += 1
            blame_words(storm, f"{name} of another user", ended, codes=(0, 1, 2))
        place.end_all()
        if path.exists():
            os.chown(path, 0, 0)
            path.chmod(was.st_mode)
    for name in place.lost():
        storm.blame("lost", f"files of another user: {name}")
    aftermath(place, storm, "files of another user")
