"""Our backends against the programs that people download models with, on one server, in one run.

    python benchmarks/downloads.py [--size MIB] [--rounds N] [--limit MIB_PER_S] [--only WORD ...] [--write]

nginx on loopback is a minimal hub (the rehearsal's where there is no nginx) with one safetensors file of random
bytes. Rounds are interleaved, so that a noisy machine is noisy for all; the table holds medians. "verified" is what a
program has checked by the time it ends. Memory is that of a program and all its children, disk the most that lay
in its folder; both are sampled. --write puts the table into docs/downloads-benchmark.md.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import resource
import shutil
import signal
import statistics
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import psutil

REPO, FILE, COMMIT = "made/up-model", "model_fp16.safetensors", "c" * 40
MIB = 1 << 20
ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "downloads-benchmark.md"
DIGEST = "import hashlib,sys; print(hashlib.file_digest(open(sys.argv[1],'rb'),'sha256').hexdigest())"
NGINX = """
daemon off; master_process off; pid {work}/nginx.pid; error_log {work}/error.log;
events {{ worker_connections 256; }}
http {{
  access_log off; default_type application/octet-stream; sendfile on; tcp_nopush on; keepalive_requests 100000;
  client_body_temp_path {work}/t1; proxy_temp_path {work}/t2; fastcgi_temp_path {work}/t3;
  uwsgi_temp_path {work}/t4; scgi_temp_path {work}/t5;
  {servers}
}}
"""
SERVER = """
  server {{
    listen 127.0.0.1:{port};
    location ~ /resolve/[^/]+/{file}$ {{
      add_header X-Repo-Commit {commit};
      add_header X-Linked-Etag '"{sha256}"';
      add_header X-Linked-Size {size};
      {limit}
      alias {path};
    }}
  }}
"""


@dataclass(frozen=True)
class Served:
    """The file, and where it is served without a limit and with one."""

    path: Path
    size: int
    sha256: str
    hub: str
    limited: str

    def url(self, hub: str) -> str:
        return f"{hub}/{REPO}/resolve/{COMMIT}/{FILE}"


@dataclass(frozen=True)
class Runner:
    """A way to download: its command lines, run one after the other, given the hub and the folder."""

    name: str
    verified: str
    argvs: Callable[[Served, str, Path], list[list[str]]]
    needs: str = ""
    env: Callable[[Served, str, Path], dict[str, str]] = lambda served, hub, folder: {}
    limited: bool = True


@dataclass
class Run:
    """What one run took: seconds of wall and processor, bytes of memory and disk at their peak."""

    wall_s: float = 0.0
    cpu_s: float = 0.0
    rss: int = 0
    disk: int = 0


@dataclass
class Result:
    runs: list[Run] = field(default_factory=list)
    error: str = ""

    def median(self, what: str) -> float:
        return statistics.median(getattr(run, what) for run in self.runs)


def ours(name: str) -> Runner:
    def argvs(served: Served, hub: str, folder: Path) -> list[list[str]]:
        words = ["-m", "provision", "download", f"{REPO}/{FILE}", "--to", str(folder), "--backend", name, "--json"]
        return [[sys.executable, *words, "--home", str(folder / "home")]]

    return Runner(f"provision --backend {name}", "sha256", argvs, {"git-lfs": "git-lfs", "wget": "wget"}.get(name, ""),
                  lambda served, hub, folder: {"HF_ENDPOINT": hub}, name == "http")  # fmt: skip


def one(*words: str) -> Callable[[Served, str, Path], list[list[str]]]:
    """A command line with {url}, {out}, {folder} and {sha256} to be filled in."""

    def argvs(served: Served, hub: str, folder: Path) -> list[list[str]]:
        known = {"url": served.url(hub), "out": str(folder / FILE), "folder": str(folder), "sha256": served.sha256}
        return [[word.format(**known) for word in words]]

    return argvs


def wget_digest(served: Served, hub: str, folder: Path) -> list[list[str]]:
    return [*WGET(served, hub, folder), [sys.executable, "-c", DIGEST, str(folder / FILE)]]


WGET = one("wget", "-q", "-O", "{out}", "{url}")
ARIA2 = ("aria2c", "-q", "-x8", "-s8", "--file-allocation=none", "--no-conf", "-d", "{folder}", "-o", FILE)
HF = str(Path(sys.executable).with_name("hf"))


def hf_env(served: Served, hub: str, folder: Path) -> dict[str, str]:
    return {"HF_ENDPOINT": hub, "HF_HOME": str(folder / "hf"), "HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_UPDATE_CHECK": "1"}


RUNNERS = (
    ours("http"),
    Runner("curl", "no", one("curl", "-sS", "--fail", "-o", "{out}", "{url}"), "curl"),
    Runner("wget", "no", WGET, "wget"),
    Runner("wget, then hashlib", "sha256", wget_digest, "wget", limited=False),
    Runner("aria2c -x8", "no", one(*ARIA2, "{url}"), "aria2c"),
    Runner("aria2c -x8 --checksum", "sha256", one(*ARIA2, "--checksum=sha-256={sha256}", "{url}"), "aria2c", limited=False),
    Runner("hf download", "length",
           one(HF, "download", REPO, FILE, "--revision", COMMIT, "--local-dir", "{folder}"), HF, hf_env),
    ours("hf"),
    ours("wget"),
)  # fmt: skip


def main() -> None:
    arguments = parsed()
    with tempfile.TemporaryDirectory(prefix="downloads-", dir=arguments.dir) as folder:
        work = Path(folder)
        with served(work, arguments.size * MIB, arguments.limit) as it:
            free = measure(it, it.hub, work / "to", chosen(arguments.only, limited=False), arguments.rounds)
            tied = measure(it, it.limited, work / "to", chosen(arguments.only, limited=True), arguments.limited_rounds)
    text = page(arguments, free, tied)
    print(text)
    if arguments.write:
        PAGE.parent.mkdir(exist_ok=True)
        PAGE.write_text(text, encoding="utf-8")


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--size", type=int, default=2048, metavar="MIB")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--limited-rounds", type=int, default=3, help="rounds with a limit for each connection")
    parser.add_argument("--limit", type=int, default=40, metavar="MIB_PER_S")
    parser.add_argument("--only", nargs="*", default=[], metavar="WORD", help="only runners with such a name")
    parser.add_argument("--dir", type=Path, default=None, help="where to work (the system's folder for such things)")
    parser.add_argument("--write", action="store_true")
    return parser.parse_args()


def chosen(only: list[str], *, limited: bool) -> list[Runner]:
    found = [runner for runner in RUNNERS if not runner.needs or shutil.which(runner.needs)]
    found = [runner for runner in found if runner.limited or not limited]
    return [runner for runner in found if not only or any(word == runner.name or word in runner.name for word in only)]


# -- the server ---------------------------------------------------------------------------------------------


def make_file(path: Path, size: int) -> str:
    """A checkpoint by its header, of random bytes; returns its sha256."""
    names = ("model.diffusion_model.in", "conditioner.embedders.0.in", "conditioner.embedders.1.in", "first_stage_model.in")
    small, header = 2048, b""
    spans = [(0, 0)] * len(names)
    for _ in range(2):  # the header's length depends on the numbers in it
        data = size - 8 - max(1024, len(header))
        large = (data - 3 * small) // 2 * 2
        stops = [large, large + small, large + 2 * small, large + 3 * small]
        spans = list(zip([0, *stops[:-1]], stops, strict=True))
        tensors = {
            f"{name}.weight": {"dtype": "F16", "shape": [(stop - start) // 2], "data_offsets": [start, stop]}
            for name, (start, stop) in zip(names, spans, strict=True)
        }
        header = json.dumps(tensors).encode().ljust(1024)
    digest = hashlib.sha256()
    with path.open("wb") as stream:
        start = struct.pack("<Q", len(header)) + header
        left = spans[-1][1]
        stream.write(start)
        digest.update(start)
        while left:
            piece = os.urandom(min(left, 4 * MIB))
            stream.write(piece)
            digest.update(piece)
            left -= len(piece)
    return digest.hexdigest()


@contextmanager
def served(work: Path, size: int, limit_mib: int) -> Iterator[Served]:
    path = work / "served" / FILE
    path.parent.mkdir()
    print(f"making {size // MIB} MiB", file=sys.stderr)
    sha256 = make_file(path, size)
    size = path.stat().st_size
    nginx = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/opt/homebrew/bin")
    if nginx is None:
        with rehearsed(path, limit_mib) as (free, tied):
            yield Served(path, size, sha256, free, tied)
        return
    ports = [free_port(), free_port()]
    limits = ["", f"limit_rate {limit_mib}m;"]
    known = {"file": FILE.replace(".", "[.]"), "commit": COMMIT, "sha256": sha256, "size": size, "path": path}
    servers = "".join(
        SERVER.format(port=port, limit=limit, **known) for port, limit in zip(ports, limits, strict=True)
    )
    config = work / "nginx.conf"
    config.write_text(NGINX.format(work=work, servers=servers))
    child = subprocess.Popen([nginx, "-p", str(work), "-c", str(config), "-e", str(work / "error.log")])
    try:
        wait_for(ports)
        yield Served(path, size, sha256, *(f"http://127.0.0.1:{port}" for port in ports))
    finally:
        child.terminate()
        child.wait()


@contextmanager
def rehearsed(path: Path, limit_mib: int) -> Iterator[tuple[str, str]]:
    """The rehearsal's hub in place of nginx; its own speed is then the limit of what can be seen."""
    from provision.rehearsal.faults import Faults
    from provision.rehearsal.hub import Hub
    from provision.rehearsal.model_repo import make_model_repo

    global COMMIT
    COMMIT = make_model_repo(path.parent / "hub", REPO, {FILE: path}).commit
    with Hub(path.parent / "hub") as free, Hub(path.parent / "hub", faults=Faults(rate_bytes_s=limit_mib * MIB)) as tied:
        yield free.url, tied.url


def free_port() -> int:
    import socket

    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


def wait_for(ports: list[int]) -> None:
    import socket

    deadline = time.monotonic() + 10
    for port in ports:
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.02)


# -- measuring ----------------------------------------------------------------------------------------------


def measure(it: Served, hub: str, to: Path, runners: list[Runner], rounds: int) -> dict[str, Result]:
    results = {runner.name: Result() for runner in runners}
    for number in range(rounds):
        for runner in runners:
            result = results[runner.name]
            if result.error:
                continue
            shutil.rmtree(to, ignore_errors=True)
            to.mkdir()
            run, result.error = run_once(runner, it, hub, to)
            if not result.error and not is_right(to, it, fully=number == 0):
                result.error = "the file is not right"
            print(f"{number + 1}/{rounds} {runner.name}: {run.wall_s:.2f} s {result.error}", file=sys.stderr)
            result.runs.append(run)
    shutil.rmtree(to, ignore_errors=True)
    return results


def run_once(runner: Runner, it: Served, hub: str, to: Path) -> tuple[Run, str]:
    os.sync()  # nobody pays for the one before
    run, over = Run(), threading.Event()
    watcher = threading.Thread(target=partial(watch, run, to, over))
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    env = {**os.environ, "NO_PROXY": "*", "PYTHONPATH": str(ROOT), **runner.env(it, hub, to)}
    watcher.start()
    error = ""
    began = time.monotonic()
    for argv in runner.argvs(it, hub, to):
        ended = subprocess.run(argv, env=env, capture_output=True, text=True, start_new_session=True)
        if ended.returncode:
            error = f"exit {ended.returncode}: {(ended.stderr or ended.stdout)[-300:]}"
            break
    run.wall_s = time.monotonic() - began
    over.set()
    watcher.join()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    run.cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return run, error


def watch(run: Run, to: Path, over: threading.Event) -> None:
    """Sample memory and disk, seldom enough not to matter."""
    me = psutil.Process()
    while not over.wait(0.1):
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


def is_right(to: Path, it: Served, *, fully: bool) -> bool:
    path = to / FILE
    if not path.is_file() or path.stat().st_size != it.size:
        return False
    with path.open("rb") as stream:
        return not fully or hashlib.file_digest(stream, "sha256").hexdigest() == it.sha256


# -- the page -----------------------------------------------------------------------------------------------


def page(arguments: argparse.Namespace, free: dict[str, Result], tied: dict[str, Result]) -> str:
    ideal_s = arguments.size / (8 * arguments.limit)
    return "\n".join(
        [
            "# Downloads, measured",
            "",
            f"One file of {arguments.size} MiB on loopback; medians. Made by `benchmarks/downloads.py`: the ratios of one"
            " run say more than its seconds, which are those of the machine that it ran on.",
            "",
            f"## No limit ({arguments.rounds} rounds)",
            "",
            *table(free, arguments.size * MIB),
            "",
            f"## {arguments.limit} MiB/s for each connection ({arguments.limited_rounds} rounds;"
            f" ideal of 8 connections: {ideal_s:.2f} s)",
            "",
            *table(tied, arguments.size * MIB),
            "",
        ]
    )


def table(results: dict[str, Result], size: int) -> list[str]:
    verified = {runner.name: runner.verified for runner in RUNNERS}
    http = results.get("provision --backend http")
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
            f" {result.median('cpu_s'):.2f} | {result.median('rss') / 1e6:.0f} | {result.median('disk') / size:.2f} |"
            f" {verified[name]} |"
        )
    return lines


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(1))
    main()
