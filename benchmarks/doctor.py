"""How long the doctor takes: on a healthy home, and where every host of the network is a black hole.

    python benchmarks/doctor.py [--runs N] [--only healthy|names|addresses]

Each figure is the wall time of the whole process, from its start to its end, as a person waits for it.

healthy     `doctor` on a rehearsal's home whose server is up. The claim: under 2 s.
names       In a network namespace in which no packet comes back, with name servers there: names are never resolved, and
            the C library's look-up cannot be cancelled. `doctor`, `plan` and `all` on an empty home, which needs every
            host, and `doctor` on the healthy home. The claim: under 10 s.
addresses   The same, with names that are known and addresses at which connections neither open nor fail.

The namespaces need Linux and root, or a kernel that lets everybody make them (`unshare --map-root-user`).
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[1]
HOLE = "10.99.0"
HOSTS = ("huggingface.co", "github.com", "pypi.org", "files.pythonhosted.org", "download.pytorch.org")
STEERING = ("INDEX", "PROXY", "PIP_", "UV_", "HF_")
LIMITS_S = {"healthy": 2.0, "names": 10.0, "addresses": 10.0}
# Loopback takes every packet, and drops what is for nobody here; nothing answers, and nothing refuses.
ENTER = f"""
set -e
ip link set lo up
ip addr add {HOLE}.2/32 dev lo
ip route add default dev lo src {HOLE}.2
mount --bind "$1/resolv.conf" /etc/resolv.conf
if [ -e "$1/hosts" ]; then mount --bind "$1/hosts" /etc/hosts; fi
shift
exec "$@"
"""


def environ(person: Path) -> dict[str, str]:
    """Ours, without what would name other hosts."""
    kept = {name: value for name, value in os.environ.items() if not any(word in name.upper() for word in STEERING)}
    return {**kept, "HOME": str(person), "PYTHONPATH": str(CHECKOUT)}


def tool(*words: str, home: Path) -> list[str]:
    return [sys.executable, "-m", "provision", *words, "--home", str(home)]


def timed(argv: Sequence[str], env: Mapping[str, str], *, code: int) -> float:
    """Seconds of one whole process; a process that ends otherwise than it should ends the benchmark."""
    started = time.perf_counter()
    ran = subprocess.run(argv, env=env, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - started
    if ran.returncode != code:
        sys.exit(f"{' '.join(argv)} ended with {ran.returncode}, not {code}:\n{ran.stdout}{ran.stderr}")
    return seconds


def line(what: str, seconds: Sequence[float], limit_s: float) -> None:
    worst = max(seconds)
    verdict = "" if worst < limit_s else "   OVER"
    print(f"{what:<46} median {statistics.median(seconds):5.2f} s, at most {worst:5.2f} s of {limit_s:.0f}{verdict}")
    sys.stdout.flush()


def healthy(folder: Path, runs: int) -> None:
    home, env = folder / "healthy", environ(folder)
    timed(tool("doctor", home=home), env, code=0)
    line("doctor, healthy home, server up", [timed(tool("doctor", home=home), env, code=0) for _ in range(runs)], 2.0)


def black_hole(folder: Path, kind: str, runs: int) -> None:
    """Go through `--inside` of this program in a namespace of its own."""
    hole = folder / kind
    hole.mkdir()
    (hole / "resolv.conf").write_text("".join(f"nameserver {HOLE}.{last}\n" for last in (1, 3, 4)), encoding="utf-8")
    if kind == "addresses":
        names = "".join(f"{HOLE}.9 {host}\n" for host in HOSTS)
        (hole / "hosts").write_text(Path("/etc/hosts").read_text(encoding="utf-8") + names, encoding="utf-8")
    unshare = ["unshare", "--net", "--mount", *([] if os.geteuid() == 0 else ["--map-root-user"])]
    again = [sys.executable, __file__, "--runs", str(runs), "--inside", kind, "--folder", str(folder)]
    subprocess.run([*unshare, "bash", "-c", ENTER, "enter", str(hole), *again], check=True)


def inside(folder: Path, kind: str, runs: int) -> None:
    env = environ(folder)
    for words in (("doctor",), ("plan",), ("all",), ("doctor", "--fix")):
        seconds = []
        for _ in range(runs):
            home = folder / kind / "empty"
            shutil.rmtree(home, ignore_errors=True)
            seconds.append(timed(tool(*words, home=home), env, code=1))
        line(f"{' '.join(words)}, empty home, {kind} hang", seconds, LIMITS_S[kind])
    home = folder / "healthy"
    timed(tool("launch", home=home), env, code=0)
    try:
        seconds = [timed(tool("doctor", home=home), env, code=0) for _ in range(runs)]
        line(f"doctor, healthy home, {kind} hang", seconds, 2.0)
    finally:
        timed(tool("stop", home=home), env, code=0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--only", choices=LIMITS_S)
    parser.add_argument("--inside", choices=LIMITS_S, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.inside:
        inside(given.folder, given.inside, given.runs)
        return
    with tempfile.TemporaryDirectory(prefix="doctor-") as name:
        folder = Path(name)
        env = {**environ(folder), **{k: v for k, v in os.environ.items() if k.startswith(("UV_", "PIP_"))}}
        timed(tool("all", "--rehearse", home=folder / "healthy"), env, code=0)
        try:
            if given.only in (None, "healthy"):
                healthy(folder, max(given.runs, 10))
        finally:
            timed(tool("stop", home=folder / "healthy"), env, code=0)
        for kind in ("names", "addresses"):
            if given.only in (None, kind):
                black_hole(folder, kind, given.runs)


if __name__ == "__main__":
    main()
