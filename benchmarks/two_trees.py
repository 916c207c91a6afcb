"""What a change costs: this checkout against another one, in turns.

    python -m benchmarks.two_trees OTHER [--rounds N] [--download-rounds N] [--size MIB]

Both run on this Python, so that only the code differs. Each has a rehearsed home of its own, with its server running.
CPU is of the command and its children; below 1 this checkout is the cheaper one.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.one_file_hub import FILE, MIB, REPO, is_right, served

HERE = Path(__file__).resolve().parents[1]
COMMANDS = {
    "--version": ("--version",),
    "--help": ("--help",),
    "all --help": ("all", "--help"),
    "status": ("status",),
    "plan": ("plan", "--rehearse"),
    "doctor": ("doctor",),
    "all, the second time": ("all", "--rehearse", "--yes"),
}
WITHOUT_HOME = {"--version", "--help", "all --help"}


@dataclass
class Tree:
    """A checkout, its home, and what its runs took in seconds: of processor and of wall."""

    root: Path
    home: Path
    cpu_s: dict[str, list[float]] = field(default_factory=dict)
    wall_s: dict[str, list[float]] = field(default_factory=dict)

    def run(self, what: str, words: tuple[str, ...], env: Mapping[str, str] | None = None) -> None:
        """Run the tool once and note what it took; one that ends otherwise than with 0 ends the benchmark."""
        began, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
        ran = subprocess.run(
            [sys.executable, "-m", "provision", *words],
            env={**os.environ, "PYTHONPATH": str(self.root), "HOME": str(self.home.parent), **(env or {})},
            cwd=self.home.parent,
            capture_output=True,
            text=True,
            check=False,
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        if ran.returncode:
            sys.exit(f"{self.root}: {' '.join(words)} ended with {ran.returncode}:\n{ran.stdout}{ran.stderr}")
        used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        self.cpu_s.setdefault(what, []).append(used)
        self.wall_s.setdefault(what, []).append(time.perf_counter() - began)


def in_turns(trees: tuple[Tree, Tree], rounds: int, one: Callable[[Tree], None]) -> None:
    """Run it for both, `rounds` times, each time the other one first."""
    for number in range(rounds):
        for tree in trees if number % 2 else trees[::-1]:
            one(tree)


def line(what: str, ours: Tree, other: Tree) -> str:
    """Both medians, and the median of the pairs' ratios."""
    shown = [f"{what:<22}"]
    for name, mine, theirs in (("cpu", ours.cpu_s, other.cpu_s), ("wall", ours.wall_s, other.wall_s)):
        ratio = statistics.median(a / b for a, b in zip(mine[what], theirs[what], strict=True))
        medians = f"{statistics.median(mine[what]):7.3f} s to {statistics.median(theirs[what]):7.3f} s"
        shown.append(f"{name} {medians} = {ratio:5.2f}")
    return "   ".join(shown)


def commands(trees: tuple[Tree, Tree], rounds: int) -> None:
    """The commands that a person waits for."""
    for tree in trees:
        tree.run("first", ("all", "--rehearse", "--yes", "--home", str(tree.home)))
    for what, words in COMMANDS.items():

        def one(tree: Tree, what: str = what, words: tuple[str, ...] = words) -> None:
            place = () if what in WITHOUT_HOME else ("--home", str(tree.home))
            tree.run(what, (*words, *place))

        in_turns(trees, rounds, one)
        print(line(what, *trees), flush=True)
    for tree in trees:
        tree.run("stop", ("stop", "--home", str(tree.home)))


def downloads(trees: tuple[Tree, Tree], folder: Path, size: int, rounds: int) -> None:
    """One file from loopback, by the built-in backend."""
    with served(folder, size, limit_mib=64) as it:

        def one(tree: Tree) -> None:
            to, home = tree.home.parent / "to", tree.home.parent / "downloads"
            words = ("download", f"{REPO}/{FILE}", "--to", str(to), "--backend", "http", "--json", "--home", str(home))
            tree.run("download", words, {"HF_ENDPOINT": it.free})
            if not is_right(to / FILE, it, fully=False):
                sys.exit(f"{tree.root}: {FILE} is not the file that was served")
            shutil.rmtree(to)
            shutil.rmtree(home)

        in_turns(trees, rounds, one)
    print(line("download", *trees), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("other", type=Path)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--download-rounds", type=int, default=7)
    parser.add_argument("--size", type=int, default=1024, metavar="MIB")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="trees-") as name:
        folder = Path(name)
        for part in ("ours", "other", "hub"):
            (folder / part).mkdir()
        trees = Tree(HERE, folder / "ours" / "home"), Tree(given.other.resolve(), folder / "other" / "home")
        commands(trees, given.rounds)
        downloads(trees, folder / "hub", given.size * MIB, given.download_rounds)


if __name__ == "__main__":
    main()
