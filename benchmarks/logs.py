"""How long `doctor LOGFILE` takes on a large log, beside programs that only read it.

    python benchmarks/logs.py [--megabytes N] [--runs N]

Seconds of processor time of the whole process, the least of some runs, with its memory; what the machine does meanwhile
counts little in that. The claim for 100 MB: under 2 s and 60 MB, whatever the lines are.

different   Each line is other words: nothing in it repeats.
troubled    The same, and each line begins with `error:`.
progress    One line, over and over, with other numbers.
"""

from __future__ import annotations

import argparse
import os
import random
import resource
import string
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[1]
LIMIT_S, LIMIT_MB = 2.0, 60
OTHERS = (("wc", "-l"), ("grep", "-c", "error"))


def different() -> Iterator[str]:
    chance = random.Random(13)  # noqa: S311
    letters = string.ascii_lowercase
    words = ["".join(chance.choices(letters, k=chance.randint(3, 10))) for _ in range(50_000)]
    while True:
        yield " ".join(chance.choices(words, k=12))


def troubled() -> Iterator[str]:
    return (f"error: {line}" for line in different())


def progress() -> Iterator[str]:
    return (f"2026-11-22 10:00:00 error {at}: {at % 20} of 20 steps, retry in {at % 7} s" for at in range(10**9))


LOGS = {"different": different, "troubled": troubled, "progress": progress}


def write(path: Path, lines: Iterator[str], size: int) -> None:
    with path.open("w", encoding="utf-8") as stream:
        while stream.tell() < size:
            stream.write("".join(f"{line}\n" for line in islice(lines, 1000)))


def measured(argv: Sequence[str | Path], runs: int) -> tuple[float, float]:
    """Seconds of processor time (the least), and megabytes of memory (the most), of a whole process."""
    found = [_usage(argv) for _ in range(runs)]
    return min(seconds for seconds, _ in found), max(megabytes for _, megabytes in found)


def _usage(argv: Sequence[str | Path]) -> tuple[float, float]:
    with tempfile.TemporaryFile() as out:  # grep stops at the first match where nobody reads
        child = subprocess.Popen(argv, stdout=out, cwd=CHECKOUT)
        _, status, used = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode not in (0, 1):
        sys.exit(f"{argv[0]} ended with {child.returncode}.")
    return used.ru_utime + used.ru_stime, _megabytes(used)


def _megabytes(used: resource.struct_rusage) -> float:
    return used.ru_maxrss / (10**6 if sys.platform == "darwin" else 1000)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--megabytes", type=int, default=100)
    parser.add_argument("--runs", type=int, default=3)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for name, lines in LOGS.items():
            log = Path(folder, f"{name}.log")
            write(log, lines(), asked.megabytes * 10**6)
            seconds, megabytes = measured((sys.executable, "-m", "provision", "doctor", log), asked.runs)
            over = "" if seconds < LIMIT_S and megabytes < LIMIT_MB else "   OVER"
            beside = [f"{' '.join(words)} {measured((*words, log), asked.runs)[0]:.2f} s" for words in OTHERS]
            print(f"{name:<10} doctor {seconds:5.2f} s, {megabytes:.0f} MB;  {';  '.join(beside)}{over}")
            sys.stdout.flush()
            log.unlink()


if __name__ == "__main__":
    main()
