"""kill -9 while custom nodes are added, updated and removed: it is as before, or as it was to be, and works."""

from __future__ import annotations

import random
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from provision.comfyui.node_folders import find_nodes
from provision.core.home import Home
from provision.core.receipt_kinds import NodesReceipt
from provision.core.receipts import Receipts
from provision.environment.packages import installed_versions
from tests.storms.tally import Tally
from tests.storms.weather import Place, aftermath
from tests.support.node_repos import PURE, head, next_commit, node_repo

MINE = b"settings of mine"
COMMANDS = ("add", "update", "remove")
KNOWN = ("ComfyUI/custom_nodes/pretty", "state/nodes", "envs: ")
"""What there is more of than in the home that others break."""
Seen = tuple[str, str, bool]
"""The node's commit, what its file says, whether its package is here."""


@dataclass(frozen=True)
class Ground:
    """A home with the node and a person's file in it, kept aside, and the node's commits."""

    place: Place
    kept: Path
    repo: Path
    first: str
    second: str

    def bring(self, command: str) -> tuple[str, ...]:
        """The home as it is before a command; returns its words."""
        if command == "add":
            self.place.bring()
            return ("nodes", "add", f"{self.repo}@v1")
        self.place.clear()
        subprocess.run(["cp", "-a", self.kept, self.place.home], check=True)
        return ("nodes", command, "pretty")

    def allowed(self, command: str) -> tuple[Seen, ...]:
        """What there may be after it."""
        nothing, before, after = ("", "", False), (self.first, "old", True), (self.second, "new", False)
        return {"add": (nothing, before), "update": (before, after), "remove": (before, nothing)}[command]


@pytest.fixture(scope="module")
def ground(place: Place, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    folder = tmp_path_factory.mktemp("nodes")
    repo = node_repo(folder, "pretty", {"requirements.txt": "colorama<0.4.6\n", "look.txt": "old"})
    first = head(repo)
    place.bring()
    added = place.run("nodes", "add", str(repo))
    assert added.code == 0, added.says()
    assert place.run("stop").code == 0
    (place.home / "ComfyUI" / "custom_nodes" / "pretty" / "mine.json").write_bytes(MINE)
    kept = Path(shutil.copytree(place.home, folder / "kept", symlinks=True))
    yield Ground(place, kept, repo, first, next_commit(repo, {"__init__.py": PURE, "look.txt": "new"}))
    shutil.rmtree(kept)


def seen(place: Place) -> Seen:
    """What there is of the node, and that its record agrees."""
    home = Home(place.home)
    known = Receipts(home.receipts).read("nodes", NodesReceipt)
    commits = {node.name: node.commit for node in find_nodes(home, known)}
    look = home.custom_nodes / "pretty" / "look.txt"
    assert {node.name: node.commit for node in known.added} == {name: it for name, it in commits.items() if it}
    text = look.read_text(encoding="utf-8") if look.exists() else ""
    return commits.get("pretty", ""), text, "colorama" in installed_versions(home.venv)


@pytest.mark.parametrize("command", COMMANDS)
def test_kills_while_nodes_change(
    command: str,
    ground: Ground,
    tally: Callable[[str], Tally],
    storm_tries: Callable[[int, int], range],
    storm_seed: int,
) -> None:
    storm = tally(f"kills while custom nodes change:{command}")
    numbers = [each for each in storm_tries(3, 100) if each % len(COMMANDS) == COMMANDS.index(command)]
    place, usual_s = ground.place, 0.0
    for number in numbers:
        chance = random.Random(f"{storm_seed} kill nodes {command} {number}")
        if not usual_s:
            words, started = ground.bring(command), time.monotonic()
            done = place.start(*words).end()
            assert done.code == 0, done.says()
            usual_s = time.monotonic() - started
        words = ground.bring(command)
        begun = place.start(*words)
        moment, tree = chance.uniform(0, usual_s), chance.random() < 0.5
        time.sleep(moment)
        hit = begun.child.poll() is None
        if hit:
            begun.kill(tree=tree)
        begun.end()
        what = f"try {number}, `{' '.join(words[:2])}` killed after {moment:.2f} s{'' if tree else ' (the tool alone)'}"
        storm.tries += hit
        aftermath(place, storm, what, known=KNOWN)
        if (found := seen(place)) not in ground.allowed(command):
            storm.blame("not right after", f"{what}: {found}")
        lost = place.lost() if command == "add" else _lost(place)
        for name in lost:
            storm.blame("lost", f"{what}: {name}")


def _lost(place: Place) -> list[str]:
    """The person's file in the node's folder, where that is nowhere any more."""
    there = any(path.read_bytes() == MINE for path in place.home.rglob("mine.json") if path.is_file())
    return [] if there else ["mine.json"]
