"""Do the steps really run at the same time? Wall time of `all --rehearse` against its slowest chain of steps.

    python benchmarks/overlap.py [RUNS]

A chain is a path through what steps need of each other; its time is the sum of its steps' seconds. 1.00 is perfect
overlap: nothing waited for anything but what it needs.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from provision.steps.registry import STEPS


def slowest_chain(seconds: dict[str, float]) -> tuple[float, list[str]]:
    """The slowest path through the steps' needs."""
    best: dict[str, tuple[float, list[str]]] = {}
    for step in STEPS:
        before = max((best[need] for need in step.needs), default=(0.0, []))
        best[step.name] = (before[0] + seconds[step.name], [*before[1], step.name])
    return max(best.values())


def main(runs: int) -> None:
    ratios = []
    for _ in range(runs):
        with tempfile.TemporaryDirectory(prefix="overlap-") as folder:
            home = Path(folder, "home")
            words = [sys.executable, "-m", "provision", "all", "--rehearse", "--stop", "--json", "--home", str(home)]
            started = time.monotonic()
            ran = subprocess.run(words, capture_output=True, text=True, check=True)
            process_s = time.monotonic() - started
        report = json.loads(ran.stdout.splitlines()[-1])
        seconds = {step["name"]: step["seconds"] for step in report["steps"]}
        chain_s, chain = slowest_chain(seconds)
        ratios.append(report["seconds"] / chain_s)
        print(
            f"all {report['seconds']:.2f} s (whole process {process_s:.2f} s), slowest chain {chain_s:.2f} s, "
            f"sum of steps {sum(seconds.values()):.2f} s, ratio {ratios[-1]:.2f}: {' > '.join(chain)}"
        )
    print(f"median ratio {statistics.median(ratios):.2f} (limit 1.25)")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
