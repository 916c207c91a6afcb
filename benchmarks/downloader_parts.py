"""What each part of the built-in downloader is worth: it against itself without the part, in turns.

    python -m benchmarks.downloader_parts [--size MIB] [--rounds N] [--limit MIB_PER_S]

Three servers on loopback, all nginx: free, with a limit for each connection, and uneven, where two connections of ten
are slow. Ratios are medians of pairs: above 1 the part saves time there. A part that saves none anywhere can go.
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
from pathlib import Path

from benchmarks import one_file_hub
from benchmarks.downloads import ALONE
from benchmarks.one_file_hub import FILE, MIB, REPO, Served, served

ROOT = Path(__file__).resolve().parents[1]
FIXED = """
import provision.download.http.rate as rate
begin = rate.Ramp.__init__
rate.Ramp.__init__ = lambda self, **given: begin(self, **{{**given, "fixed": {}}})
"""
WITHOUT = {
    "nothing": "",
    "past the page cache": "import provision.download.http.disk_writer as it; it._open_direct = lambda path: None",
    "syncing meanwhile": "import provision.download.backends.http as it; it.Syncer.start = lambda self: None",
    "sharing slow segments": "from provision.download.http.transfer import Transfer as it; it._shared = lambda s: None",
    "small segments last": "from provision.download.http.transfer import Transfer as t; t._fair_bytes = lambda s: None",
    "search, 4 connections": FIXED.format(4),
    "search, 8 connections": FIXED.format(8),
}
"""What is done to the modules before a download, by the part that it leaves out."""
UNEVEN = "map $connection $rate {{ ~[37]$ 1m; default %dm; }}"


def once(hub: str, it: Served, patch: str, folder: Path) -> tuple[float, float]:
    """Seconds of wall and of processor for one download."""
    folder.mkdir()
    about = ["http", hub, REPO, it.commit, FILE, str(it.size), it.sha256, str(folder)]
    began, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    words = [sys.executable, "-c", f"{patch}\n{ALONE}", *about]
    subprocess.run(words, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=True)
    wall_s, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    shutil.rmtree(folder)
    return wall_s, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def compare(name: str, hub: str, it: Served, rounds: int, folder: Path) -> None:
    """Print a line a part: its seconds, and what they are to those of the whole."""
    took: dict[str, list[tuple[float, float]]] = {part: [] for part in WITHOUT}
    for number in range(rounds):
        for part in list(WITHOUT)[:: 1 if number % 2 else -1]:
            took[part].append(once(hub, it, WITHOUT[part], folder))
    for part, runs in took.items():
        pairs = list(zip(runs, took["nothing"], strict=True))
        walls, cpus = (statistics.median(mine[at] / base[at] for mine, base in pairs) for at in (0, 1))
        seconds = statistics.median(wall for wall, _ in runs)
        print(f"{name:<8} without {part:<24} {seconds:6.2f} s   wall {walls:5.2f}   cpu {cpus:5.2f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=1024, metavar="MIB")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--limit", type=int, default=48, metavar="MIB_PER_S")
    given = parser.parse_args()
    if shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin:/opt/homebrew/bin") is None:
        sys.exit("This needs nginx.")
    usual = one_file_hub.NGINX, one_file_hub.SERVER
    for uneven in (False, True):
        with tempfile.TemporaryDirectory(prefix="parts-") as name:
            if uneven:
                config, server = usual
                one_file_hub.NGINX = config.replace("access_log off;", f"access_log off; {UNEVEN % given.limit}")
                one_file_hub.SERVER = server.replace("{limit}", "limit_rate $rate;")
            (Path(name) / "hub").mkdir()
            with served(Path(name) / "hub", given.size * MIB, given.limit) as it:
                hubs = {"uneven": it.free} if uneven else {"free": it.free, "limited": it.limited}
                for kind, hub in hubs.items():
                    compare(kind, hub, it, given.rounds, Path(name) / "to")


if __name__ == "__main__":
    main()
