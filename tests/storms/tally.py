"""What came of a storm, and the page that tells of all of them."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path

PAGE = Path(__file__).resolve().parents[2] / "docs" / "dev" / "storms.md"
HANG_S = 30
"""What a command may take longer than it does by itself, on a machine with nothing else to do."""
GOALS = ("lost", "run", "exit 3", "not right after", "partial", "processes left", "litter", "hangs")
HEAD = """# Storms

What a person does not do on purpose: work that is cut short, calls that fail, disks that fill, commands that meet.
Each row is many tries at random moments, with a seed; `bin/test` does a few of each, and

    bin/test tests/storms --storms --write-storms

does all of them and writes this page. A try that failed is named by its number: `--storm-seed SEED --storm-try NUMBER`
does that one again. Kills, disks and failed calls are real ones: SIGKILL, a file system of its own, an error that the
kernel returns to the tool or to any program that it starts.

What the columns count: *lost*, a file of a person's that is gone; *run*, commands of a stranger's that ran; *exit 3*,
a traceback or "a bug" in the tool's own words; *not right after*, the next `all` or its `doctor` found fault;
*partial*, a file under its final name that is not whole; *processes left*; *litter*, files that no command sweeps;
*hangs*, more than 30 s longer than usual. All are to be 0.

"""


@dataclass
class Tally:
    """A storm: how many tries were made, and what was found in which."""

    storm: str
    seed: int
    tries: int = 0
    found: list[tuple[str, str]] = field(default_factory=list)
    """A column of GOALS, and what it was."""

    def blame(self, column: str, what: str) -> None:
        """Note a fault. With `--log-cli-level=warning` a long run says each as it is found."""
        assert column in GOALS
        logging.getLogger("storms").warning("[%s] %s: %s", column, self.storm, what)
        self.found.append((column, f"{self.storm}, seed {self.seed}: {what}"))

    def over(self) -> None:
        """Say how many tries it was, for a run that may not come to its own end."""
        logging.getLogger("storms").warning("%s: %d tries, %d found", self.storm, self.tries, len(self.found))

    def says(self) -> str:
        """For a test that fails."""
        return "\n\n".join(f"[{column}] {what}" for column, what in self.found)

    def row(self) -> dict[str, object]:
        """As it is handed from worker to worker."""
        return asdict(self)


def page(rows: Iterable[dict[str, object]]) -> str:
    """The page: storms of the same name are one row."""
    tallies: dict[str, Tally] = {}
    for row in rows:
        found = [(str(column), str(what)) for column, what in row["found"]]  # type: ignore[attr-defined]
        one = Tally(str(row["storm"]), int(str(row["seed"])), int(str(row["tries"])), found)
        name = one.storm.partition(":")[0]
        whole = tallies.setdefault(name, Tally(name, one.seed))
        whole.tries += one.tries
        whole.found += one.found
    lines = [f"| storm | tries | seed | {' | '.join(GOALS)} |", "|---" * (3 + len(GOALS)) + "|"]
    for name, tally in sorted(tallies.items()):
        counts = [str(sum(column == goal for column, _ in tally.found)) for goal in GOALS]
        lines.append(f"| {name} | {tally.tries} | {tally.seed} | {' | '.join(counts)} |")
    return HEAD + "\n".join(lines) + "\n"
