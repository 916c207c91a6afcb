"""`serve` in a room of Macs: everybody from the first one, against waves in which those who have it serve the next.

    python -m benchmarks.lan [--macs N] [--mbit N] [--mb N] [--install BUNDLE]

A switch and a network namespace for each Mac, all without a route to anywhere, each line held to a rate in both
directions (Linux, root, iproute2, curl). Both ways move the same file in one run; a reader counts once its copy has the
right sha256, and in waves serves it from there, so that starting `serve` is part of the time. The ideal is what the
lines alone would need. With --install, every other Mac then installs from BUNDLE (a rehearsal's, written by
`provision bundle`), which the first one serves.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from provision.core.bundle import ABOUT, SUMS, write_sums

CHECKOUT = Path(__file__).resolve().parents[1]
PORT = 8765
MODEL = f"owner/name/resolve/{'0' * 40}/model.safetensors"
FILES = (ABOUT, MODEL, SUMS)
FIRST = 0


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)  # noqa: S607


@dataclass(frozen=True)
class Lan:
    """A switch with lines to `count` Macs, of which each is a namespace."""

    mark: str
    count: int

    def name(self, mac: int) -> str:
        return f"{self.mark}n{mac}"

    def address(self, mac: int) -> str:
        return f"10.77.0.{10 + mac}"

    def start(self, mac: int, argv: Sequence[str], **options: object) -> subprocess.Popen[str]:
        """A program on a Mac."""
        words = ["ip", "netns", "exec", self.name(mac), *argv]
        return subprocess.Popen(words, text=True, cwd=CHECKOUT, **options)  # type: ignore[call-overload, no-any-return]


@contextmanager
def lan(count: int, mbit: int) -> Iterator[Lan]:
    """The room, taken down at the end."""
    made = Lan(f"pl{os.getpid() % 100_000}", count)
    switch = f"{made.mark}s"
    held = ("root", "tbf", "rate", f"{mbit}mbit", "burst", "256k", "latency", "50ms")
    with ExitStack() as stack:

        def namespace(name: str) -> None:
            ip("netns", "add", name)
            stack.callback(ip, "netns", "del", name)

        namespace(switch)
        ip("-n", switch, "link", "add", "br0", "type", "bridge")
        ip("-n", switch, "link", "set", "br0", "up")
        for mac in range(count):
            name, port = made.name(mac), f"v{mac}"
            namespace(name)
            ip("-n", switch, "link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", name)
            ip("-n", switch, "link", "set", port, "master", "br0", "up")
            ip("-n", name, "addr", "add", f"{made.address(mac)}/24", "dev", "eth0")
            ip("-n", name, "link", "set", "eth0", "up")
            ip("-n", name, "link", "set", "lo", "up")
            for space, device in ((name, "eth0"), (switch, port)):
                subprocess.run(["tc", "-n", space, "qdisc", "add", "dev", device, *held], check=True)  # noqa: S607
        yield made


@contextmanager
def serving(room: Lan, mac: int, folder: Path) -> Iterator[None]:
    """`serve` on a Mac, once it answers."""
    listen = f"{room.address(mac)}:{PORT}"
    argv = [sys.executable, "-m", "provision", "serve", str(folder), "--listen", listen, "--for", "30m", "--json"]
    process = room.start(mac, argv, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        for line in process.stdout:
            if json.loads(line)["type"] == "serving_started":
                break
        else:
            raise SystemExit(f"serve ended on Mac {mac}")
        threading.Thread(target=process.stdout.read, daemon=True).start()  # so that it is never held up
        yield
    finally:
        process.terminate()
        process.wait(30)


def fetch(room: Lan, mac: int, giver: int, folder: Path, sha256: str) -> None:
    """A whole copy, verified."""
    (folder / MODEL).parent.mkdir(parents=True)
    for path in FILES:
        argv = ["curl", "-sf", "-o", str(folder / path), f"http://{room.address(giver)}:{PORT}/{path}"]
        if room.start(mac, argv).wait() != 0:
            raise SystemExit(f"Mac {mac} got no {path} from Mac {giver}")
    with (folder / MODEL).open("rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != sha256:
            raise SystemExit(f"Mac {mac} has other bytes")


def star(room: Lan, bundle: Path, aside: Path, sha256: str) -> float:
    """Seconds until everybody has it from the first Mac."""
    with serving(room, FIRST, bundle):
        began = time.monotonic()
        readers = [
            threading.Thread(target=fetch, args=(room, mac, FIRST, aside / str(mac), sha256))
            for mac in range(1, room.count)
        ]
        for reader in readers:
            reader.start()
        for reader in readers:
            reader.join()
        return time.monotonic() - began


def waves(room: Lan, bundle: Path, aside: Path, sha256: str) -> tuple[float, list[float]]:
    """The same where those who have it serve the next; and when each had it."""
    folders = {FIRST: bundle} | {mac: aside / str(mac) for mac in range(1, room.count)}
    changed, free, waiting, came = threading.Condition(), [FIRST], list(range(1, room.count)), list[float]()

    def give(stack: ExitStack, giver: int, reader: int) -> None:
        fetch(room, reader, giver, folders[reader], sha256)
        came.append(time.monotonic() - began)
        with changed:
            free.append(giver)
            changed.notify()
        if waiting:
            stack.enter_context(serving(room, reader, folders[reader]))
            with changed:
                free.append(reader)
                changed.notify()

    with ExitStack() as stack:
        stack.enter_context(serving(room, FIRST, bundle))
        began, threads = time.monotonic(), list[threading.Thread]()
        while waiting:
            with changed:
                while not free:
                    changed.wait()
                giver, reader = free.pop(0), waiting.pop(0)
            threads.append(threading.Thread(target=give, args=(stack, giver, reader)))
            threads[-1].start()
        for thread in threads:
            thread.join()
    return max(came), sorted(came)


def install(room: Lan, bundle: Path, aside: Path) -> None:
    """Every other Mac from nothing to its first image, all at once."""
    with serving(room, FIRST, bundle):
        began, running = time.monotonic(), dict[int, subprocess.Popen[str]]()
        for mac in range(1, room.count):
            person = aside / f"person-{mac}"
            person.mkdir(parents=True)
            environ = {"PATH": os.environ["PATH"], "HOME": str(person)}
            source = ("--from", f"http://{room.address(FIRST)}:{PORT}")
            argv = [sys.executable, "-m", "provision", "all", "--rehearse", "--stop", *source, "--json"]
            running[mac] = room.start(mac, argv, env=environ, stdout=subprocess.PIPE)
        for mac, process in running.items():
            report = json.loads(process.communicate()[0].splitlines()[-1])
            says = "a first image" if report["ok"] else report["error"]["message"]
            print(f"  Mac {mac}: {says} after {report['seconds']:.0f} s")
        print(f"install: {time.monotonic() - began:.0f} s for {room.count - 1} Macs")


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--macs", type=int, default=9, help="with the first one")
    words.add_argument("--mbit", type=int, default=80)
    words.add_argument("--mb", type=int, default=100)
    words.add_argument("--install", type=Path, metavar="BUNDLE")
    given = words.parse_args()
    if os.geteuid() != 0 or not (shutil.which("ip") and shutil.which("tc") and shutil.which("curl")):
        raise SystemExit("This needs Linux, root, ip, tc and curl.")
    others, size = given.macs - 1, given.mb * 1_000_000
    once = size * 8 / (given.mbit * 1e6)
    with tempfile.TemporaryDirectory() as name, lan(given.macs, given.mbit) as room:
        bundle, aside = Path(name, "bundle"), Path(name, "macs")
        (bundle / MODEL).parent.mkdir(parents=True)
        content = os.urandom(size)
        (bundle / MODEL).write_bytes(content)
        (bundle / ABOUT).write_text('{"format": 1, "tool": "", "made": ""}', encoding="utf-8")
        sha256 = hashlib.sha256(content).hexdigest()
        (bundle / SUMS).write_text(write_sums({MODEL: sha256}), encoding="utf-8")
        print(f"{given.mb} MB to {others} Macs, {given.mbit} Mbit/s each way, no route out")
        took = star(room, bundle, aside / "star", sha256)
        print(f"star:  {took:.1f} s (ideal {others * once:.0f})")
        with suppress(OSError):
            shutil.rmtree(aside)
        took, came = waves(room, bundle, aside / "waves", sha256)
        rounds = math.ceil(math.log2(given.macs))
        print(
            f"waves: {took:.1f} s (ideal {rounds * once:.0f}, {rounds} rounds): {', '.join(f'{s:.0f}' for s in came)}"
        )
        if given.install:
            install(room, given.install.resolve(), aside / "install")


if __name__ == "__main__":
    main()
