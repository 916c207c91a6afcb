"""Our backends against the programs that people download models with, on one server, in one run.

    python -m benchmarks.downloads [--size MIB] [--rounds N] [--limited-rounds N] [--tls-rounds N] [--limit MIB_PER_S]
                                   [--only WORD ...] [--write]

nginx on loopback is a minimal hub (the rehearsal's where there is no nginx) with one file of random bytes. Rounds are
interleaved, so that a noisy machine is noisy for all; the table holds medians. "verified" is what a program has
checked by the time it ends. Memory is that of a program and all its children, disk the most that lay in its folder:
both are sampled in a round of its own, which is not timed, for the sampling would slow down those the most that use
every processor. --write puts the table into docs/dev/downloads-benchmark.md.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import resource
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import psutil

from benchmarks.one_file_hub import FILE, MIB, REPO, Served, is_right, served

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "dev" / "downloads-benchmark.md"
DIGEST = "import hashlib,sys; print(hashlib.file_digest(open(sys.argv[1],'rb'),'sha256').hexdigest())"


ALONE = """
import sys
from dataclasses import replace
from pathlib import Path
from provision.download.backend import Address; from provision.download.backend import HubFile
from provision.download.part_file import open_part, put_in_place
from provision.download.backends.registry import backend
from provision.core.home import Home
from provision.system.local_machine import LocalMachine
from provision.core.step import Context; from provision.core.step import Options

name, hub, repo, commit, path, size, sha256, folder = sys.argv[1:]
home = Home(Path(folder, "home"))
home.prepare()
ctx = Context(LocalMachine(), None, home, Options(endpoint=hub))
asked = HubFile(hub, repo, commit, path, int(size), sha256)
file = replace(asked, address=Address(asked.url, {}), asked_at=ctx.machine.clock())
part = open_part(ctx.machine, home, file)
assert backend(name).fetch(ctx, file, part) == sha256
put_in_place(part, Path(folder, path))
"""
"""A backend without the command around it, told the address as the other programs are."""
HEAD = """# Downloads, measured

One file of {size} MiB on loopback; medians. Made by `benchmarks/downloads.py`: the ratios of one run say more than its
seconds, which are those of the machine that it ran on. `provision` is the whole command, with its start and the look at
the file's header; what is ours ends with an fsync and a rename, of the others `aria2c` alone has synced its file.
Memory and disk are the peaks of a round of their own, which is not timed.
Nobody who verifies can be faster than the sha256 of so many bytes, from memory: {floor_s:.2f} s, {cpus} processors.
"""
NOISE, TRIES, CALM_MAX_S = 0.2, 3, 30
"""A run is made again where others used more than this of a processor, or made it slower by as much."""
PACE_BYTES = 64 * MIB


@dataclass(frozen=True)
class Runner:
    """A way to download: its command lines, run one after the other, given the hub and the folder."""

    name: str
    verified: str
    argvs: Callable[[Served, str, Path], list[list[str]]]
    needs: str = ""
    env: Callable[[Served, str, Path], dict[str, str]] = lambda served, hub, folder: {}
    limited: bool = True
    tls: bool = False


@dataclass
class Run:
    """What one run took: seconds of wall and processor; or, where it was sampled, bytes of memory and disk at their
    peak."""

    wall_s: float = 0.0
    cpu_s: float = 0.0
    rss: int = 0
    disk: int = 0
    noise: float = 0.0
    """Processors that others kept busy meanwhile, and how much slower than its best this machine was after it."""


@dataclass
class Result:
    peak: Run = field(default_factory=Run)
    runs: list[Run] = field(default_factory=list)
    error: str = ""

    def median(self, what: str) -> float:
        return float(statistics.median(getattr(run, what) for run in self.runs))


def ours(name: str) -> Runner:
    def argvs(served: Served, hub: str, folder: Path) -> list[list[str]]:
        words = ["-m", "provision", "download", f"{REPO}/{FILE}", "--to", str(folder), "--backend", name, "--json"]
        return [[sys.executable, *words, "--home", str(folder / "home")]]

    return Runner(
        f"provision --backend {name}",
        "sha256",
        argvs,
        {"git-lfs": "git-lfs", "wget": "wget"}.get(name, ""),
        lambda served, hub, folder: {"HF_ENDPOINT": served.git if name == "git-lfs" else hub},
        name == "http",
        tls=name == "http",
    )


def by_xet(name: str, argvs: Callable[[Served, str, Path], list[list[str]]], verified: str) -> Runner:
    """The same from the hub with Xet, which is the rehearsal's, in this program: slower than nginx."""

    def env(served: Served, hub: str, folder: Path) -> dict[str, str]:
        switches = {"HF_HUB_DISABLE_UPDATE_CHECK": "1", "HF_XET_TELEMETRY_ENABLED": "0"}
        return {"HF_ENDPOINT": served.xet, "HF_HOME": str(folder / "hf"), **switches}

    return Runner(f"{name}, by Xet", verified, argvs, "", env, False)


def alone(name: str) -> Runner:
    def argvs(served: Served, hub: str, folder: Path) -> list[list[str]]:
        about = [name, hub, REPO, served.commit, FILE, str(served.size), served.sha256, str(folder)]
        return [[sys.executable, "-c", ALONE, *about]]

    return Runner(f"{name}, the backend alone", "sha256", argvs, tls=True)


def one(*words: str) -> Callable[[Served, str, Path], list[list[str]]]:
    """A command line with {url}, {out}, {folder} and {sha256} to be filled in."""

    def argvs(served: Served, hub: str, folder: Path) -> list[list[str]]:
        known = {
            "issuer": str(served.issuer),
            "url": served.url(hub),
            "out": str(folder / FILE),
            "folder": str(folder),
            "sha256": served.sha256,
        }
        return [[word.format(**known) for word in words]]

    return argvs


def curl_sync(served: Served, hub: str, folder: Path) -> list[list[str]]:
    return [*CURL(served, hub, folder), ["sync", str(folder / FILE)]]


def wget_digest(served: Served, hub: str, folder: Path) -> list[list[str]]:
    return [*WGET(served, hub, folder), [sys.executable, "-c", DIGEST, str(folder / FILE)]]


CURL = one("curl", "-sS", "--fail", "--cacert", "{issuer}", "-o", "{out}", "{url}")
WGET = one("wget", "-q", "--ca-certificate={issuer}", "-O", "{out}", "{url}")
ARIA2 = (
    "aria2c",
    "-q",
    "-x8",
    "--ca-certificate={issuer}",
    "-s8",
    "--file-allocation=none",
    "--no-conf",
    "-d",
    "{folder}",
    "-o",
    FILE,
)
HF = str(Path(sys.executable).with_name("hf"))


def hf_env(served: Served, hub: str, folder: Path) -> dict[str, str]:
    switches = {"HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_UPDATE_CHECK": "1"}
    return {"HF_ENDPOINT": hub, "HF_HOME": str(folder / "hf"), **switches}


def git_lfs(served: Served, hub: str, folder: Path) -> list[list[str]]:
    """The object alone, moved out of the store: as fast as git-lfs can be used, and one copy."""
    git, store = ["git", "-C", str(folder / "git")], folder / "store"
    oid = served.sha256
    wanted = ["lfs", "fetch", "--include", FILE, "--exclude", "", "origin", served.commit]
    return [
        ["git", "init", "-q", str(folder / "git")],
        [*git, "remote", "add", "origin", f"{served.git}/{REPO}"],
        [*git, "fetch", "-q", "--depth=1", "origin", served.commit],
        [*git, "-c", f"lfs.storage={store}", *wanted],
        ["mv", str(store / "objects" / oid[:2] / oid[2:4] / oid), str(folder / FILE)],
    ]


def hf_download(served: Served, hub: str, folder: Path) -> list[list[str]]:
    return [[HF, "download", REPO, FILE, "--revision", served.commit, "--local-dir", str(folder)]]


RUNNERS = (
    alone("http"),
    ours("http"),
    Runner("curl", "no", CURL, "curl", tls=True),
    Runner("curl, then sync", "no", curl_sync, "curl", limited=False),
    Runner("wget", "no", WGET, "wget", tls=True),
    Runner("wget, then hashlib", "sha256", wget_digest, "wget", limited=False),
    Runner("aria2c -x8", "no", one(*ARIA2, "{url}"), "aria2c", tls=True),
    Runner(
        "aria2c -x8 --checksum", "sha256", one(*ARIA2, "--checksum=sha-256={sha256}", "{url}"), "aria2c", limited=False
    ),
    Runner("hf download", "length", hf_download, HF, hf_env),
    Runner("git lfs fetch", "sha256", git_lfs, "git-lfs", limited=False),
    ours("hf"),
    ours("wget"),
    ours("git-lfs"),
    by_xet("hf download", hf_download, "length"),
    by_xet("provision --backend hf", ours("hf").argvs, "sha256"),
)


def main() -> None:
    arguments = parsed()
    with tempfile.TemporaryDirectory(prefix="downloads-", dir=arguments.dir) as folder:
        head = HEAD.format(size=arguments.size, floor_s=hashing_s(arguments.size), cpus=os.cpu_count())
        work, measured = Path(folder), [head]
        with served(work, arguments.size * MIB, arguments.limit) as it:
            for title, hub, fits, rounds in sections(arguments, it):
                runners = [runner for runner in chosen(arguments.only) if fits(runner)]
                results = measure(it, hub, work / "to", runners, rounds) if rounds else {}
                if results:
                    rows = "\n".join(table(results, arguments.size * MIB))
                    measured.append(f"## {title} ({rounds} rounds)\n\n{rows}\n")
                if arguments.write:  # after each, so that what was measured is kept
                    PAGE.parent.mkdir(exist_ok=True)
                    PAGE.write_text("\n".join(measured), encoding="utf-8")
    print("\n".join(measured))


def hashing_s(mib: int) -> float:
    """How long the sha256 of so much takes by itself: the median of five."""
    piece, took = memoryview(bytearray(MIB)), []
    for _ in range(5):
        began, digest = time.monotonic(), hashlib.sha256()
        for _ in range(mib):
            digest.update(piece)
        took.append(time.monotonic() - began)
    return float(statistics.median(took))


Section = tuple[str, str, Callable[[Runner], bool], int]


def sections(arguments: argparse.Namespace, it: Served) -> list[Section]:
    """What is measured: title, hub, which runners, how often."""
    ideal_s = arguments.size / (8 * arguments.limit)
    limited = f"{arguments.limit} MiB/s for each connection; ideal of 8 connections: {ideal_s:.2f} s"
    found: list[Section] = [
        ("No limit", it.free, lambda runner: True, arguments.rounds),
        (limited, it.limited, lambda runner: runner.limited, arguments.limited_rounds),
    ]
    if it.tls:
        found.append(("https", it.tls, lambda runner: runner.tls, arguments.tls_rounds))
    return found


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--size", type=int, default=2048, metavar="MIB")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--limited-rounds", type=int, default=3, help="rounds with a limit for each connection")
    parser.add_argument("--tls-rounds", type=int, default=3, help="rounds over https")
    parser.add_argument("--limit", type=int, default=40, metavar="MIB_PER_S")
    parser.add_argument("--only", nargs="*", default=[], metavar="WORD", help="only runners with such a name")
    parser.add_argument("--dir", type=Path, default=None, help="where to work (the system's folder for such things)")
    parser.add_argument("--write", action="store_true")
    return parser.parse_args()


def chosen(only: list[str]) -> list[Runner]:
    found = [runner for runner in RUNNERS if not runner.needs or shutil.which(runner.needs)]
    return [runner for runner in found if not only or any(word == runner.name or word in runner.name for word in only)]


# -- measuring ----------------------------------------------------------------------------------------------


class Pace:
    """How fast this machine is right now: a virtual one shares its processors with others that nobody here sees."""

    def __init__(self) -> None:
        self._best_s = float("inf")
        self._bytes = bytes(PACE_BYTES)

    def slower(self) -> float:
        """By which part it is slower than it ever was: 0.1 when what took 50 ms takes 55."""
        began = time.monotonic()
        hashlib.sha256(self._bytes).digest()
        took = time.monotonic() - began
        self._best_s = min(self._best_s, took)
        return took / self._best_s - 1


def measure(it: Served, hub: str, to: Path, runners: list[Runner], rounds: int) -> dict[str, Result]:
    """The sampled round, then the timed ones."""
    results = {runner.name: Result() for runner in runners}
    pace = Pace()
    for number in range(rounds + 1):
        turned = number % len(runners) if runners else 0  # nobody is always the first
        for runner in runners[turned:] + runners[:turned]:
            result = results[runner.name]
            if result.error:
                continue
            run, result.error = calmest(runner, it, hub, to, pace) if number else peak(runner, it, hub, to)
            if not result.error and not is_right(to / FILE, it, fully=number == 0):
                result.error = "the file is not right"
            told = f"{run.wall_s:.2f} s (noise {run.noise:.2f})" if number else f"{run.rss / 1e6:.0f} MB"
            print(f"{number}/{rounds} {runner.name}: {told} {result.error}", file=sys.stderr)
            if number:
                result.runs.append(run)
            else:
                result.peak = run
    shutil.rmtree(to, ignore_errors=True)
    return results


def calmest(runner: Runner, it: Served, hub: str, to: Path, pace: Pace) -> tuple[Run, str]:
    """One run, and again where other programs were busy meanwhile; the one that they disturbed least."""
    runs: list[tuple[Run, str]] = []
    while len(runs) < TRIES and not (runs and (runs[-1][1] or runs[-1][0].noise < NOISE)):
        empty(to)
        wait_for_calm(pace)
        busy_before = busy_s()
        run, error = run_once(runner, it, hub, to)
        run.noise = (busy_s() - busy_before - run.cpu_s) / run.wall_s + pace.slower()
        runs.append((run, error))
    return min(runs, key=lambda each: each[0].noise)


def empty(to: Path) -> None:
    """Nobody pays for the one before."""
    shutil.rmtree(to, ignore_errors=True)
    to.mkdir()
    os.sync()


def wait_for_calm(pace: Pace) -> None:
    deadline = time.monotonic() + CALM_MAX_S
    busy = 100 * NOISE / (psutil.cpu_count() or 1)
    while (psutil.cpu_percent(interval=0.5) > busy or pace.slower() > NOISE / 2) and time.monotonic() < deadline:
        pass


def peak(runner: Runner, it: Served, hub: str, to: Path) -> tuple[Run, str]:
    """One run that is sampled."""
    empty(to)
    sampled, over = Run(), threading.Event()
    watcher = threading.Thread(target=partial(watch, sampled, to, over))
    watcher.start()
    try:
        return sampled, run_once(runner, it, hub, to)[1]
    finally:  # a watcher left behind would hold up the end of a run that is stopped
        over.set()
        watcher.join()


def run_once(runner: Runner, it: Served, hub: str, to: Path) -> tuple[Run, str]:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    env = {**os.environ, "NO_PROXY": "*", "PYTHONPATH": str(ROOT), **runner.env(it, hub, to)}
    if hub == it.tls:
        env["SSL_CERT_FILE"] = str(it.issuer)
    error = ""
    began = time.monotonic()
    for argv in runner.argvs(it, hub, to):
        ended = subprocess.run(argv, env=env, capture_output=True, text=True, start_new_session=True)
        if ended.returncode:
            error = f"exit {ended.returncode}: {(ended.stderr or ended.stdout)[-300:]}"
            break
    wall_s = time.monotonic() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return Run(wall_s, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime), error


def busy_s() -> float:
    """Processor seconds of the machine so far, without those of the server and of this program."""
    times, me = psutil.cpu_times(), psutil.Process()
    ours = [me, *(child for child in me.children() if child.name() == "nginx")]
    own = sum(sum(process.cpu_times()[:2]) for process in ours)
    return float(sum(times) - times.idle - getattr(times, "iowait", 0.0) - own)


def watch(run: Run, to: Path, over: threading.Event) -> None:
    """Sample memory and disk."""
    me = psutil.Process()
    while not over.wait(0.05):
        rss = 0
        for child in me.children():
            try:
                if child.name() == "nginx":
                    continue
                rss += sum(each.memory_info().rss for each in (child, *child.children(recursive=True)))
            except psutil.Error:
                continue
        run.rss = max(run.rss, rss)
        run.disk = max(run.disk, allocated(to))


def allocated(folder: Path) -> int:
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(Path(parent, name)).st_blocks * 512
            except OSError:
                continue
    return total


# -- the page -----------------------------------------------------------------------------------------------


def table(results: dict[str, Result], size: int) -> list[str]:
    verified = {runner.name: runner.verified for runner in RUNNERS}
    http = results.get("http, the backend alone")
    lines = [
        "| what | wall s, median (min-max) | http / this | CPU s | memory MB | disk, times the file | verified |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, result in results.items():
        if result.error:
            lines.append(f"| {name} | {' '.join(result.error.split())} | | | | | |")
            continue
        walls = [run.wall_s for run in result.runs]
        ratio = f"{http.median('wall_s') / result.median('wall_s'):.2f}" if http and not http.error else ""
        lines.append(
            f"| {name} | {result.median('wall_s'):.2f} ({min(walls):.2f}-{max(walls):.2f}) | {ratio} |"
            f" {result.median('cpu_s'):.2f} | {result.peak.rss / 1e6:.0f} | {result.peak.disk / size:.2f} |"
            f" {verified[name]} |"
        )
    return lines


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(1))
    main()
