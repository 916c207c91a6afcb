"""Ctrl-C, SIGTERM and SIGHUP at random moments, the first too: no traceback, nothing left, the next run right."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

import psutil
import pytest

from tests.storms.tally import Tally
from tests.storms.weather import CHECKOUT, LIMIT_S, Ended, Place, aftermath, programs_in

STOPPED = 130
FIRST_S, STEP_S = 0.3, 0.01
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
COMMANDS: tuple[tuple[str, ...], ...] = (
    ("all", "--rehearse"),
    ("doctor",),
    ("doctor", "--deep"),
    ("generate", "a fox"),
    ("plan", "--rehearse"),
    ("status",),
    ("download", "--rehearse"),
)
HAND_OVER = '. "$1"; python=$2; shift 2; PROVISION_CALLED_AS=provision; export PROVISION_CALLED_AS; hand_over "$@"'
WORDS = ("Traceback", "Exception ignored", "Fatal Python", "out of memory", "This is a bug", "KeyboardInterrupt")
"""What nobody may be told who stopped a command."""


def start(place: Place, words: Sequence[str], said: IO[bytes]) -> subprocess.Popen[bytes]:
    """A command as bin/provision starts it, with this Python; its signals as a terminal's shell has them."""
    argv = (
        "bash",
        "-c",
        HAND_OVER,
        "provision",
        str(CHECKOUT / "bin" / "provision"),
        sys.executable,
        *words,
        "--home",
        str(place.home),
    )
    person = place.root / "person"
    person.mkdir(exist_ok=True)
    env = {**os.environ, "HOME": str(person), "LANG": "C.UTF-8", "UV_CACHE_DIR": str(place.root / "uv-cache")}

    def hear() -> None:
        for sign in SIGNALS:
            signal.signal(sign, signal.SIG_DFL)

    return subprocess.Popen(
        argv,
        env=env,
        cwd=place.root,
        stdin=subprocess.DEVNULL,
        stdout=said,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        preexec_fn=hear,
    )


def end_of(words: tuple[str, ...], child: subprocess.Popen[bytes], said: IO[bytes]) -> Ended:
    """Wait for a command; what works in the home goes with one that hangs."""
    code: int | None = None
    try:
        code = child.wait(LIMIT_S)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
    said.seek(0)
    return Ended(words, code, said.read().decode("utf-8", "replace"))


@pytest.fixture
def usual_s(place: Place) -> dict[tuple[str, ...], float]:
    """How long each command took when nobody stopped it, as far as it was seen."""
    return {("all", "--rehearse"): place.whole_s}


def prepare(place: Place, chance: random.Random) -> None:
    """A home that is whole, or from which something is missing that `all` brings; the server is up, or not."""
    if chance.random() < 0.3:
        place.bring(world_only=True)
        return
    place.bring()
    if chance.random() < 0.4:
        place.model.unlink()
    if chance.random() < 0.3:
        shutil.rmtree(place.home / "venv" / "bin")
    if chance.random() < 0.5:
        place.run("launch")


def moments(chance: random.Random, usual_s: float) -> float:
    """Half of them in the first moments, in steps; the others anywhere."""
    if chance.random() < 0.5:
        return chance.randrange(round(FIRST_S / STEP_S)) * STEP_S
    return chance.uniform(0, usual_s)


def test_signals_at_random_moments(
    place: Place,
    tally: Callable[[str], Tally],
    storm_tries: Callable[[int, int], range],
    storm_seed: int,
    usual_s: dict[tuple[str, ...], float],
) -> None:
    storm = tally("signals at random moments")
    for number in storm_tries(4, 200):
        chance = random.Random(f"{storm_seed} signals {number}")
        words = COMMANDS[number % len(COMMANDS)]
        prepare(place, chance)
        _try(place, storm, number, words, chance, usual_s)
    assert not storm.found, storm.says()


def _try(
    place: Place,
    storm: Tally,
    number: int,
    words: tuple[str, ...],
    chance: random.Random,
    usual_s: dict[tuple[str, ...], float],
) -> None:
    sign, group, again = chance.choice(SIGNALS), chance.random() < 0.5, chance.random() < 0.2
    moment = moments(chance, usual_s.get(words, 3.0))
    what = f"try {number}, {sign.name} after {moment:.2f} s{', to the group' * group}{', twice' * again}"
    before = {process.pid for process in programs_in(place.root)}
    with tempfile.TemporaryFile(dir=place.root.parent) as said:  # a pipe would be held open by what is left
        child, begun = start(place, words, said), time.monotonic()
        time.sleep(moment)
        was_over = child.poll() is not None
        for _ in range(1 + again):
            with suppress(ProcessLookupError):
                (os.killpg if group else os.kill)(child.pid, sign)
        ended = end_of(words, child, said)
    if was_over:
        usual_s[words] = max(usual_s.get(words, 0), time.monotonic() - begun)
    storm.tries += 1
    _look(place, storm, what, ended, sign, before, was_over=was_over)
    for picture in (place.home / "ComfyUI" / "output").glob("provision_*.png") if words[0] == "generate" else ():
        picture.unlink()  # what was asked for, and a person's
    if number % 5 == 0 or storm.found:
        aftermath(place, storm, what)


def _look(
    place: Place, storm: Tally, what: str, ended: Ended, sign: signal.Signals, before: set[int], *, was_over: bool
) -> None:
    if ended.code is None:
        storm.blame("hangs", f"{what}: {ended.says()}")
    elif any(words in ended.out for words in WORDS) or ended.code not in (STOPPED, -sign, 0, 1):
        storm.blame("exit 3", f"{what}: {ended.says()}")
    elif ended.code == STOPPED and "Stopped." not in ended.out:
        storm.blame("exit 3", f"{what}, and no word of it: {ended.says()}")
    elif ended.code in (0, 1) and not was_over and ended.out.strip() == "":
        storm.blame("exit 3", f"{what}, and it went on: {ended.says()}")
    for process in _left(place, before):
        storm.blame("processes left", f"{what}: {process}")


def _left(place: Place, before: set[int]) -> Iterator[str]:
    """What works in the home that did not before, but for a server that is up, and whoever keeps its log."""
    for process in programs_in(place.root):
        with suppress(psutil.Error):
            words = " ".join(process.cmdline())
            server = str(Path("ComfyUI") / "main.py") in words or "log_keeper.py" in words
            if process.pid not in before and not server and process.status() != psutil.STATUS_ZOMBIE:
                yield words
