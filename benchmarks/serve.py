"""`provision serve` against nginx: one file, the same readers, over loopback, in one run.

    python -m benchmarks.serve [--size MIB] [--readers N] [--rounds N]

Rounds are interleaved, so that a busy machine is busy for both; figures are medians, and their ratio is what counts.
The readers are curl, which keeps nothing. CPU and memory are those of the server's process and its children.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import psutil

from provision.core.bundle import ABOUT, SUMS, write_sums

MIB = 1 << 20
FILE = f"owner/name/resolve/{'0' * 40}/model.safetensors"
NGINX = """
daemon off; pid {at}/pid; error_log {at}/error.log; worker_processes auto;
events {{}}
http {{
  access_log off; sendfile on; client_body_temp_path {at}/t; proxy_temp_path {at}/t; fastcgi_temp_path {at}/t;
  uwsgi_temp_path {at}/t; scgi_temp_path {at}/t;
  server {{ listen 127.0.0.1:{port}; root {root}; }}
}}
"""


@dataclass
class Measured:
    """Of one server: bytes a second and seconds of CPU for each round, and the most memory."""

    rates: list[float] = field(default_factory=list)
    cpu_s: list[float] = field(default_factory=list)
    memory: int = 0


def free_port() -> int:
    from provision.system.local_machine import free_port as free

    return free()


@contextmanager
def running(*argv: str) -> Iterator[psutil.Process]:
    """A server, once it answers at the port that its words name; ended at the end."""
    process = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait(30)


def wait_for(address: str) -> None:
    """Until the server answers."""
    for _ in range(300):
        if subprocess.run(["curl", "-sf", "-o", os.devnull, "-r", "0-0", address], check=False).returncode == 0:  # noqa: S607
            return
        time.sleep(0.1)
    raise SystemExit(f"{address} does not answer")


def family(process: psutil.Process) -> list[psutil.Process]:
    return [process, *process.children(recursive=True)]


def measure(process: psutil.Process, address: str, readers: int, size: int, into: Measured) -> None:
    """One round: all readers at once."""
    before = sum(sum(each.cpu_times()[:2]) for each in family(process))
    began = time.monotonic()
    reading = [subprocess.Popen(["curl", "-sf", "-o", os.devnull, address]) for _ in range(readers)]  # noqa: S607
    while any(each.poll() is None for each in reading):
        into.memory = max(into.memory, sum(each.memory_info().rss for each in family(process)))
        time.sleep(0.05)
    took = time.monotonic() - began
    if any(each.returncode for each in reading):
        raise SystemExit(f"{address}: a reader failed")
    into.rates.append(readers * size / took)
    into.cpu_s.append(sum(sum(each.cpu_times()[:2]) for each in family(process)) - before)


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--size", type=int, default=512, help="MiB")
    words.add_argument("--readers", type=int, default=8)
    words.add_argument("--rounds", type=int, default=3)
    given = words.parse_args()
    size = given.size * MIB
    with tempfile.TemporaryDirectory() as name:
        root, aside = Path(name, "bundle"), Path(name, "nginx")
        Path(name).chmod(0o755)  # nginx's workers are another user
        (root / FILE).parent.mkdir(parents=True)
        (aside / "t").mkdir(parents=True)
        with (root / FILE).open("wb") as file:
            for _ in range(given.size):
                file.write(os.urandom(MIB))
        (root / ABOUT).write_text('{"format": 1, "tool": "", "made": ""}', encoding="utf-8")
        (root / SUMS).write_text(write_sums({FILE: "0" * 64}), encoding="utf-8")  # nobody verifies here
        ports = free_port(), free_port()
        (aside / "conf").write_text(NGINX.format(at=aside, port=ports[0], root=root), encoding="utf-8")
        ours = (sys.executable, "-m", "provision", "serve", str(root), "--listen", f"127.0.0.1:{ports[1]}")
        found = {"nginx": Measured(), "serve": Measured()}
        with (
            running("nginx", "-c", str(aside / "conf"), "-e", str(aside / "error.log")) as nginx,
            running(*ours) as served,
        ):
            rounds: list[Callable[[], None]] = []
            for label, process, port in (("nginx", nginx, ports[0]), ("serve", served, ports[1])):
                address = f"http://127.0.0.1:{port}/{FILE}"
                wait_for(address)
                rounds.append(partial(measure, process, address, given.readers, size, found[label]))
            for _ in range(given.rounds):
                for once in rounds:
                    once()
    print(f"{given.size} MiB, {given.readers} readers, medians of {given.rounds} rounds, {os.cpu_count()} processors\n")
    print("| server | MB/s | CPU s | MB of memory |\n|---|---:|---:|---:|")
    for label, one in found.items():
        rate, cpu = statistics.median(one.rates) / 1e6, statistics.median(one.cpu_s)
        print(f"| {label} | {rate:.0f} | {cpu:.2f} | {one.memory / 1e6:.0f} |")
    ratio = statistics.median(found["serve"].rates) / statistics.median(found["nginx"].rates)
    print(f"\nserve moves {ratio:.2f} of what nginx does; 1 Gbit/s is 118 MB/s, 10 Gbit/s 1,175.")


if __name__ == "__main__":
    main()
