"""What a kill -9 costs: downloads killed at random moments, again and again, until they are there.

    python benchmarks/kills.py [--backend NAME]... [--kills N] [--seed N] [--file-mb N] [--rate-mb N] [--longest-s S]

Each run is the real command, `provision download REPO/FILE`, against the rehearsal's hub, which gives every connection
`--rate-mb` MB a second (0: as fast as it can). It is killed at a random moment, at most `--longest-s` seconds after it
began to download: by turns the tool alone, whose programs then live on, and the tool with all that it started. The next
run goes on in the same home. When the file is there, its sha256 is compared, and the next download begins in an empty
home, until all kills are spent; the last download is then let through.

"Moved twice" is what the hub sent of the file, by its own account, beyond the file's size, for each kill. What one kill
costs grows with the rate and not with the size of the file, so the last column holds it against the real file of
6.94 GB. "At most" is the dearest single kill: what was sent until then, less what the next run finds.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from provision.core.home import Home
from provision.download.part_file import bytes_waiting
from provision.rehearsal.checkpoints import write_safetensors
from provision.rehearsal.model_repo import make_model_repo
from tests.support.hub import Faults, Hub

CHECKOUT = Path(__file__).resolve().parents[1]
XET = "hf with Xet"
BACKENDS = ("http", "hf", XET, "wget", "git-lfs")
REPO, FILE = "made/up-model", "model_fp16.safetensors"
REAL_FILE_BYTES = 6_938_081_905
RUN_TIMEOUT_S = 300
LARGE = "model.diffusion_model.in.weight"
SHAPES = {
    "conditioner.embedders.0.in.weight": (256, 512),
    "conditioner.embedders.1.in.weight": (256, 512),
    "first_stage_model.in.weight": (256, 512),
}


@dataclass(frozen=True, slots=True)
class Plan:
    """How often, how fast, and how large: bytes, bytes a second and connection (None: no limit), seconds."""

    backend: str
    kills: int = 200
    seed: int = 1
    file_bytes: int = 128_000_000
    rate_bytes_s: float | None = 8_000_000
    longest_s: float = 1.2


@dataclass(slots=True)
class Tally:
    """What came of it. `cost_bytes` has one entry a kill; `wrong` counts files that were not the right one under the
    final name, `left` programs that outlived the run that finished."""

    file_bytes: int
    downloads: int = 0
    sent_bytes: int = 0
    cost_bytes: list[int] = field(default_factory=list)
    wrong: int = 0
    left: int = 0
    failed: list[str] = field(default_factory=list)

    @property
    def kills(self) -> int:
        return len(self.cost_bytes)

    @property
    def twice_bytes(self) -> float:
        """Bytes moved more than once, for each kill."""
        return (self.sent_bytes - self.downloads * self.file_bytes) / max(1, self.kills)


def kill_downloads(plan: Plan, folder: Path) -> Tally:
    """Carry out a plan in an empty folder. Stops at the first run that fails without having been killed."""
    rows = max(1, plan.file_bytes // (2048 * 2))
    made = write_safetensors(folder / FILE, {LARGE: (rows, 2048), **SHAPES}, dtype="F16", seed=plan.seed)
    make_model_repo(folder / "hub", REPO, {FILE: folder / FILE})
    chance = random.Random(f"{plan.seed} {plan.backend}")  # noqa: S311  (reproducible, not secret)
    tally = Tally(made.size_bytes)
    with (
        Hub(folder / "hub", faults=Faults(rate_bytes_s=plan.rate_bytes_s, xet=plan.backend == XET)) as hub,
        nobody_left(folder),
    ):
        for number in itertools.count():
            home = folder / f"home-{number}"
            _download(plan, hub, home, chance, tally)
            if tally.failed or not _is_right(_place(home), made.sha256):
                tally.wrong += not tally.failed
                return tally
            tally.downloads += 1
            tally.sent_bytes = hub.sent_bytes()
            tally.left += len(programs_in(home))
            shutil.rmtree(home)
            if tally.kills >= plan.kills:
                return tally
    raise AssertionError("unreachable")


def _download(plan: Plan, hub: Hub, home: Path, chance: random.Random, tally: Tally) -> None:
    """Run, kill, run again, until a run ends by itself."""
    sha256 = hashlib.sha256((hub.root / "models" / REPO / FILE).read_bytes()).hexdigest()
    before, spent = hub.sent_bytes(), 0
    while True:
        child = _start(plan, hub, home)
        if tally.kills < plan.kills and _lives_until(child, chance.uniform(0, plan.longest_s)):
            _kill(child, tree=tally.kills % 2 == 0)
            there = _place(home).exists()
            tally.wrong += there and not _is_right(_place(home), sha256)
            kept = tally.file_bytes if there else bytes_waiting(Home(home), sha256)
            cost = hub.sent_bytes() - before - kept
            tally.cost_bytes.append(cost - spent)
            spent = cost
            continue
        out, err = child.communicate(timeout=RUN_TIMEOUT_S)
        if child.returncode != 0:
            tally.failed.append(out.splitlines()[-1] if out else err)
        return


def _start(plan: Plan, hub: Hub, home: Path) -> subprocess.Popen[str]:
    person = home.parent / "person"
    person.mkdir(exist_ok=True)
    env = {"PATH": os.environ["PATH"], "HOME": str(person), "HF_ENDPOINT": hub.url, "PYTHONPATH": str(CHECKOUT)}
    words = ("download", f"{REPO}/{FILE}", "--backend", plan.backend.split()[0], "--json", "--home", str(home))
    return subprocess.Popen(
        [sys.executable, "-m", "provision", *words],
        env=env,
        cwd=home.parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _lives_until(child: subprocess.Popen[str], seconds: float) -> bool:
    """Wait for the download to begin and then so long; whether the run has not ended by itself."""
    assert child.stdout is not None
    for line in child.stdout:
        if json.loads(line).get("type") == "progress":
            break
    try:
        child.wait(seconds)
    except subprocess.TimeoutExpired:
        return True
    return False


def _kill(child: subprocess.Popen[str], *, tree: bool) -> None:
    programs = psutil.Process(child.pid).children(recursive=True) if tree else []
    child.kill()
    for program in programs:
        with suppress(psutil.NoSuchProcess):
            program.kill()
    child.communicate()


def _place(home: Path) -> Path:
    return home / "ComfyUI" / "models" / "checkpoints" / FILE


def _is_right(place: Path, sha256: str) -> bool:
    if not place.is_file():
        return False
    with place.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest() == sha256


def programs_in(folder: Path) -> list[psutil.Process]:
    """Programs that work in a folder or have it in their words."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if any(str(folder) in word for word in (process.cwd(), *process.cmdline())) and process.pid != os.getpid():
                found.append(process)
    return found


@contextmanager
def nobody_left(folder: Path) -> Iterator[None]:
    """End what a plan that failed has left running."""
    try:
        yield
    finally:
        for process in programs_in(folder):
            with suppress(psutil.NoSuchProcess):
                process.kill()


def table(rows: list[tuple[Plan, Tally, float]]) -> str:
    """The results as Markdown."""
    lines = [
        "| backend | kills | files | moved / file | moved twice a kill | at most | of 6.94 GB | wrong | left running |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for plan, tally, seconds in rows:
        moved = tally.sent_bytes / max(1, tally.downloads * tally.file_bytes)
        lines.append(
            f"| {plan.backend} | {tally.kills} | {tally.downloads} | {moved:.3f} | {tally.twice_bytes / 1e6:.2f} MB"
            f" | {max(tally.cost_bytes, default=0) / 1e6:.2f} MB | {tally.twice_bytes / REAL_FILE_BYTES:.4%}"
            f" | {tally.wrong} | {tally.left} |"
        )
        print(f"{plan}: {seconds:.0f} s{', failed: ' + tally.failed[0] if tally.failed else ''}", file=sys.stderr)
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--backend", action="append", choices=BACKENDS)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--file-mb", type=float, default=128)
    parser.add_argument("--rate-mb", type=float, default=8)
    parser.add_argument("--longest-s", type=float, default=1.2)
    asked = parser.parse_args()
    rows = []
    for backend in asked.backend or BACKENDS:
        rate = asked.rate_mb * 1e6 or None
        plan = Plan(backend, asked.kills, asked.seed, int(asked.file_mb * 1e6), rate, asked.longest_s)
        with tempfile.TemporaryDirectory(prefix="kills-") as folder:
            started = time.monotonic()
            rows.append((plan, kill_downloads(plan, Path(folder)), time.monotonic() - started))
    print(table(rows))
    sys.exit(any(tally.wrong or tally.failed or tally.left for _, tally, _ in rows))


if __name__ == "__main__":
    main()
