"""Commands that meet in one home: each works or says whose turn it is, and afterwards the home is right."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import pytest

from tests.storms.tally import Tally
from tests.storms.weather import Ended, Place, aftermath, blame_words, partial

ALL = ("all", "--rehearse")
GENERATE = ("generate", "a fox")


@dataclass(frozen=True)
class Scene:
    """Commands that are started at almost the same moment; `fresh`: in an empty home; `up`: with ComfyUI running."""

    commands: tuple[tuple[str, ...], ...]
    fresh: bool = False
    up: bool = False
    works: int = 1
    """How many of them must end with 0."""


SCENES: Mapping[str, Scene] = {
    "all x2, fresh": Scene((ALL, ALL), fresh=True),
    "all x4, fresh": Scene((ALL,) * 4, fresh=True),
    "all x2": Scene((ALL, ALL)),
    "all, doctor --fix": Scene((ALL, ("doctor", "--fix", "--yes"))),
    "all, uninstall": Scene((ALL, ("uninstall", "--yes"))),
    "all, uninstall, fresh": Scene((ALL, ("uninstall", "--yes")), fresh=True, works=0),
    "all, stop": Scene((ALL, ("stop",))),
    "all, launch": Scene((ALL, ("launch",))),
    "all, doctor": Scene((ALL, ("doctor",)), works=0),  # each serves the rehearsal's world, and refuses the other
    "all --torch, rollback": Scene(((*ALL, "--torch", "stable"), ("rollback",)), works=0),
    "generate x4": Scene((GENERATE,) * 4, up=True, works=4),
    "launch x2": Scene((("launch",),) * 2),
    "stop, generate": Scene((("stop",), GENERATE), up=True),
    "uninstall, generate": Scene((("uninstall", "--yes"), GENERATE), up=True),
    "status x12": Scene((("status",),) * 12, up=True, works=12),
    "doctor x6": Scene((("doctor",),) * 6, up=True, works=6),
    "download x2": Scene((("download", "--rehearse"),) * 2, fresh=True),
}
SHORT = ("all x2, fresh", "generate x4")


@pytest.mark.parametrize("name", SCENES)
def test_commands_that_meet(
    name: str, place: Place, tally: Callable[[str], Tally], long_storm: bool, storm_seed: int
) -> None:
    if not long_storm and name not in SHORT:
        pytest.skip("one of the scenes of --storms")
    scene = SCENES[name]
    storm = tally(f"commands that meet:{name}")
    for number in range(5 if long_storm else 1):
        chance = random.Random(f"{storm_seed} meet {name} {number}")
        _set(place, scene)
        started = []
        for words in scene.commands:
            started.append(place.start(*words))
            time.sleep(chance.choice((0, 0, 0.1, 0.5)))
        ended = [one.end() for one in started]
        storm.tries += 1
        _judge(place, storm, f"{name}, try {number}", scene, ended)


def _set(place: Place, scene: Scene) -> None:
    if scene.fresh:
        place.clear()
        return
    place.bring()
    if scene.up:
        launched = place.run(*ALL)
        assert launched.code == 0, launched.says()


def _judge(place: Place, storm: Tally, what: str, scene: Scene, ended: list[Ended]) -> None:
    for one in ended:
        blame_words(storm, what, one)
        if one.code == 1 and not any(
            words in one.out for words in ("in use by", "ComfyUI", "does not exist", "Nothing to roll back")
        ):
            storm.blame("not right after", f"{what}: {one.says()}")
    if sum(one.code == 0 for one in ended) < scene.works:
        storm.blame("not right after", f"{what}: {[one.says() for one in ended]}")
    for name in partial(place):
        storm.blame("partial", f"{what}: {name}")
    if scene.works == 4 and len(pictures := list(place.root.glob("a-fox*.png"))) != scene.works:
        storm.blame("lost", f"{what}: {scene.works} pictures were made, and {pictures} are there")
    aftermath(place, storm, what, pictures=GENERATE in scene.commands)
    for name in () if scene.fresh else place.lost():
        storm.blame("lost", f"{what}: {name}")


def test_two_homes_on_one_port(place: Place, tally: Callable[[str], Tally], long_storm: bool) -> None:
    """The second of two homes that want the same port says whose it is, and ends nothing of the first."""
    if not long_storm:
        pytest.skip("one of the scenes of --storms")
    storm = tally("commands that meet:two homes, one port")
    place.bring()
    launched = place.run("launch")
    assert launched.code == 0, launched.says()
    port = next(word for word in launched.out.split() if word.startswith("http://127.0.0.1:")).rpartition(":")[2]
    other = place.disk / "other"
    ended = place.run("all", "--rehearse", "--set", f"comfyui.port={port.rstrip('/.')}", home=other)
    storm.tries += 1
    blame_words(storm, "two homes, one port", ended)
    if ended.code != 1 or str(place.home) not in ended.out:
        storm.blame("not right after", f"two homes, one port: {ended.says()}")
    status = place.run("status")
    if status.code != 0:
        storm.blame("not right after", f"two homes, one port: {status.says()}")
    aftermath(place, storm, "two homes, one port")
