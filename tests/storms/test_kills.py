"""kill -9 at random moments, the tool alone or with its programs: every next run ends right."""

from __future__ import annotations

import random
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

import pytest

from benchmarks.kills import BACKENDS as DOWNLOADS
from benchmarks.kills import Plan, kill_downloads
from provision.core.home import Home
from provision.core.receipt_kinds import ComfyReceipt
from provision.core.receipts import Receipts
from provision.environment import generations
from tests.storms.tally import Tally
from tests.storms.weather import Ended, Place, aftermath

BACKENDS = ("http", "hf", "wget", "git-lfs", "auto")


@pytest.mark.parametrize("backend", DOWNLOADS)
def test_killed_downloads_end_right(tmp_path: Path, backend: str, storm_size: Callable[[int, int], int]) -> None:
    kills = storm_size(5, 200)
    plan = Plan(backend, kills=kills, seed=3, file_bytes=24_000_000, rate_bytes_s=8_000_000, longest_s=0.8)
    tally = kill_downloads(plan, tmp_path)
    assert tally.failed == []
    assert (tally.kills, tally.wrong, tally.left) == (kills, 0, 0)
    # A kill costs what came in the last moments, never what was there before: at these rates not a third of the file.
    assert tally.twice_bytes < plan.file_bytes / 3


@pytest.mark.parametrize("backend", BACKENDS)
def test_kills_over_the_whole_of_all(
    backend: str,
    place: Place,
    tally: Callable[[str], Tally],
    storm_tries: Callable[[int, int], range],
    storm_seed: int,
) -> None:
    """From nothing, the making of the rehearsal's world included, or from the world on; one to three kills."""
    storm = tally(f"kills over the whole of `all`:{backend}")
    for number in storm_tries(2, 200):
        if number % len(BACKENDS) != BACKENDS.index(backend):
            continue
        chance = random.Random(f"{storm_seed} kill all {number}")
        if chance.random() < 0.4:
            place.clear()
        else:
            place.bring(world_only=True)
        words = ("all", "--rehearse", "--backend", backend)
        moments = [chance.uniform(0, place.whole_s) for _ in range(chance.choice((1, 1, 2, 3)))]
        storm.tries += _killed(place, storm, f"try {number}", words, moments, chance)


def _usual(place: Place) -> None:
    """Nothing to prepare."""


def _without_the_model(place: Place) -> None:
    place.model.unlink()


def _with_the_other_torch(place: Place) -> None:
    _done(place.run("all", "--rehearse", "--torch", "stable", "--stop"))


def _with_a_lock(place: Place) -> None:
    shutil.copyfile(place.home / "provision.lock", place.root / "kept.lock")
    _with_the_other_torch(place)


def _broken(place: Place) -> None:
    place.model.unlink()
    (place.home / "ComfyUI" / "main.py").unlink()
    shutil.rmtree(place.home / "venv" / "bin")


def _running(place: Place) -> None:
    _done(place.run("launch"))


def _updated(place: Place) -> None:
    _done(place.run("update", "--comfyui", "v0.38.0"))
    _running(place)


def _done(ended: Ended) -> None:
    assert ended.code == 0, ended.says()


COMMANDS: Mapping[str, tuple[tuple[str, ...], Callable[[Place], None]]] = {
    "torch": (("all", "--rehearse", "--torch", "stable"), _usual),
    "doctor": (("doctor", "--fix", "--yes"), _broken),
    "rollback": (("rollback",), _with_the_other_torch),
    "uninstall": (("uninstall", "--yes"), _running),
    "generate": (("generate", "a fox"), _running),
    "launch": (("launch",), _usual),
    "stop": (("stop",), _running),
    "locked": (("all", "--rehearse", "--locked", "LOCK"), _with_a_lock),
    "comfyui": (("all", "--rehearse", "--comfyui", "v0.38.0"), _usual),
    "update": (("update", "--comfyui", "v0.38.0"), _running),
    "download": (("download", "--rehearse"), _without_the_model),
}
"""Each command that changes something, and what has to be there before it."""


@pytest.mark.parametrize("name", COMMANDS)
def test_kills_in_each_other_command(
    name: str,
    place: Place,
    tally: Callable[[str], Tally],
    storm_tries: Callable[[int, int], range],
    storm_seed: int,
) -> None:
    """In a home that is whole and has a person's files in it."""
    words, prepare = COMMANDS[name]
    numbers = [each for each in storm_tries(2, 200) if each % len(COMMANDS) == list(COMMANDS).index(name)]
    if not numbers:
        return
    words = tuple(word.replace("LOCK", str(place.root / "kept.lock")) for word in words)
    storm = tally(f"kills in each other command:{name}")
    for _ in _kill_each(place, storm, words, prepare, numbers, f"{storm_seed} kill {name}"):
        pass


UPDATES: Mapping[str, tuple[tuple[str, ...], Callable[[Place], None]]] = {
    "there": (("update", "--comfyui", "v0.38.0"), _running),
    "back": (("rollback",), _updated),
}
"""The two ways between two releases of ComfyUI, under a server that runs."""


@pytest.mark.parametrize("name", UPDATES)
def test_kills_in_updates_and_on_the_way_back(
    name: str,
    place: Place,
    tally: Callable[[str], Tally],
    storm_tries: Callable[[int, int], range],
    storm_seed: int,
) -> None:
    """The old release or the new one is in use afterwards, whole: files, receipt and generation agree."""
    words, prepare = UPDATES[name]
    if not (numbers := storm_tries(0, 50)):
        pytest.skip("--storms kills here")
    storm = tally(f"kills in updates and on the way back:{name}")
    for number in _kill_each(place, storm, words, prepare, numbers, f"{storm_seed} kill {name}"):
        if (found := _releases(place)) not in ({"v0.38.0"}, {"v0.38.1"}):
            storm.blame("not right after", f"try {number}: {found}")


def _releases(place: Place) -> set[str]:
    """What the files say that they are, and the receipt, and the generation in use."""
    home = Home(place.home)
    text = (home.comfyui / "comfyui_version.py").read_text(encoding="utf-8")
    receipt = Receipts(home.receipts).read("comfyui", ComfyReceipt)
    made = generations.left_with(generations.active(home)).comfyui.name or receipt.name
    return {f"v{text.split(chr(34))[1]}", receipt.name, made}


def _kill_each(
    place: Place,
    storm: Tally,
    words: tuple[str, ...],
    prepare: Callable[[Place], None],
    numbers: Iterable[int],
    seed: str,
) -> Iterator[int]:
    """Kill a command within the time that it usually takes, once for each number; yields each after its aftermath."""
    place.bring()
    prepare(place)
    started = time.monotonic()
    _done(place.run(*words))
    usual_s = time.monotonic() - started
    for number in numbers:
        chance = random.Random(f"{seed} {number}")
        place.bring()
        prepare(place)
        storm.tries += _killed(place, storm, f"try {number}", words, [chance.uniform(0, usual_s)], chance)
        yield number


def _killed(
    place: Place, storm: Tally, what: str, words: tuple[str, ...], moments: list[float], chance: random.Random
) -> bool:
    """Kill a command at moments (seconds after its start), run after run; whether any lived so long."""
    had = not place.lost()
    hit = []
    for moment in moments:
        started = place.start(*words)
        time.sleep(moment)
        if started.child.poll() is None:
            tree = chance.random() < 0.5
            started.kill(tree=tree)
            hit.append(f"{moment:.2f} s{'' if tree else ' (the tool alone)'}")
        started.end()
    what = f"{what}, `{' '.join(words)}` killed after {', '.join(hit)}"
    if hit:
        aftermath(place, storm, what, pictures="generate" in words)
    for name in place.lost() if had else ():
        storm.blame("lost", f"{what}: {name}")
    return bool(hit)
