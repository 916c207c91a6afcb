"""State files that hold anything at all: no command crashes, hangs or leaves the home, and `all` mends what it was.

Each try puts one form of damage in the place of one state file of a rehearsed home.
"""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, product
from pathlib import Path

import pytest

from tests.storms.tally import Tally
from tests.storms.tampering import FORMS, Place, state_files
from tests.support.forks import Ended, Forks

SHORT, PARTS = 2, 4
LOOKS = (("status",), ("report", "-o", "REPORT"), ("logs",), ("doctor",), ("all", "--rehearse"))
"""In the order in which they change least: each sees the damage that the ones before left."""
OTHERS: Sequence[tuple[str, ...]] = (
    ("plan", "--rehearse"),
    ("launch",),
    ("stop",),
    ("rollback",),
    ("generate", "a fox", "-o", "FOX"),
    ("download", "--rehearse"),
    ("bench", "--size", "256", "--steps", "1", "--count", "1"),
    ("logs", "--tool"),
    ("doctor", "--fix", "--yes"),
    ("uninstall",),
    ("uninstall", "--yes"),
    ("doctor", "--report", "PAGE"),
)
"""Each of them once on a home of its own for some of the tries."""
SHARED_BYTES = 1 << 20
"""Larger files are linked into the copies; the tool replaces files and never writes into them."""


@dataclass(frozen=True, slots=True)
class Ground:
    """A rehearsed home, the folder of a person beside it, and the process that runs commands."""

    home: Path
    outside: Path
    forks: Forks

    @property
    def live(self) -> Path:
        """Where it was rehearsed, and where its copies are."""
        return self.home.with_name("home")

    def copy(self) -> Path:
        """The home as it was rehearsed."""
        if self.live.exists():
            self.run(self.live, ("stop",))
            shutil.rmtree(self.live)
        shutil.copytree(self.home, self.live, symlinks=True, copy_function=_copy)
        return self.live

    def run(self, home: Path, words: Sequence[str]) -> Ended:
        """A command on that home; words in capitals are files beside it."""
        given = [str(self.outside / word.lower()) if word.isupper() else word for word in words]
        environ = {**os.environ, "HOME": str(self.outside), "PROVISION_HOME": ""}
        return self.forks.run((*given, "--home", home), environ, self.outside.parent)


def _copy(source: str, destination: str) -> None:
    if Path(source).stat().st_size > SHARED_BYTES:
        os.link(source, destination)
    else:
        shutil.copy2(source, destination)


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory, loaded: Forks) -> Iterator[Ground]:
    folder = tmp_path_factory.mktemp("tampered").resolve()
    outside = folder / "person"
    outside.mkdir()
    made = Ground(folder / "home", outside, loaded)
    for words in (("all", "--rehearse", "--stop", "--torch", "stable"), ("all", "--rehearse", "--stop")):
        ended = made.run(made.home, words)
        assert ended.code == 0, ended.said
    (folder / "home").rename(folder / "rehearsed")
    made = Ground(folder / "rehearsed", outside, loaded)
    yield made
    made.run(made.live, ("stop",))


def _seen(folder: Path) -> dict[str, str]:
    """Every file of a folder with what is in it; of a large one the size and the time."""
    found = {}
    for path in sorted(folder.rglob("*")):
        about = path.lstat()
        if stat.S_ISREG(about.st_mode):
            small = about.st_size < SHARED_BYTES
            digest = hashlib.sha256(path.read_bytes()).hexdigest() if small else str((about.st_size, about.st_mtime_ns))
            found[str(path.relative_to(folder))] = digest
    return found


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "part" in metafunc.fixturenames:
        metafunc.parametrize("part", range(PARTS if metafunc.config.getoption("--storms") else 1))


def _tries(ground: Ground, seed: int) -> list[tuple[str, str]]:
    """Each file with each form of damage, in an order of which any beginning is a fair sample."""
    every = list(product(state_files(ground.home), FORMS))
    random.Random(seed).shuffle(every)
    return every


def _others(place: int, *, long: bool) -> Sequence[tuple[str, ...]]:
    return [OTHERS[(3 * place + n) % len(OTHERS)] for n in range(2 if long else 1)]


def test_whatever_lies_in_a_state_file_no_command_ends_in_a_bug_and_all_mends_it(
    part: int, ground: Ground, tally: Callable[[str], Tally], long_storm: bool, storm_seed: int
) -> None:
    storm = tally(f"tampered state:{part}")
    tries = _tries(ground, storm_seed)[part::PARTS]
    for place, (name, form) in enumerate(tries if long_storm else tries[:SHORT]):
        storm.tries += 1
        others = (_one_other(ground, name, form, words) for words in _others(place, long=long_storm))
        for fault in chain(_one_try(ground, name, form), *others):
            storm.blame("not right after", f"{name}, {form}: {fault}")


def _tampered(ground: Ground, name: str, form: str, *, anew: bool = True) -> tuple[Path, dict[str, str]]:
    home = ground.copy() if anew else ground.live
    place = Place(home / name, ground.outside)
    place.put((ground.home / name).read_bytes() if (ground.home / name).is_file() else b'{"a": "b"}')
    FORMS[form](place)
    return home, _seen(ground.outside)


def _changed(ground: Ground, before: dict[str, str]) -> list[str]:
    after = {name: digest for name, digest in _seen(ground.outside).items() if not _is_output(name)}
    before = {name: digest for name, digest in before.items() if not _is_output(name)}
    return [] if after == before else [f"a person's files changed: {sorted(set(after.items()) ^ set(before.items()))}"]


def _is_output(name: str) -> bool:
    return name in ("report", "fox", "fox.png", "page")


def _one_try(ground: Ground, name: str, form: str) -> Iterator[str]:
    """The looks and what they find, then the mending; a home that is whole again serves for the next try."""
    home, before = _tampered(ground, name, form, anew=not ground.live.exists())
    found = [_fault_of(words, ground.run(home, words)) for words in LOOKS]
    for words in (("all", "--rehearse"), ("doctor",)):
        ended = ground.run(home, words)
        if ended.code != 0:
            found.append(f"`{' '.join(words)}` afterwards: {ended.code}\n{ended.said[-1500:]}")
    found += _changed(ground, before)
    if any(found):
        ground.copy()
    yield from filter(None, found)


def _fault_of(words: Sequence[str], ended: Ended) -> str:
    fault = ended.fault or ("a check crashed" if "check-crashed" in ended.said else "")
    return f"`{' '.join(words)}`: {fault}\n{ended.said[-1500:]}" if fault else ""


def _one_other(ground: Ground, name: str, form: str, words: Sequence[str]) -> Iterator[str]:
    home, before = _tampered(ground, name, form)
    fault = _fault_of(words, ground.run(home, words))
    yield from filter(None, [fault, *_changed(ground, before)])
    ground.copy()
