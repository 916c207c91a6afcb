"""Many Macs by `provision fleet`, by Ansible's `raw` and by a plain loop of ssh: seconds and bytes, in one run.

    provision bundle DIR                                       # of a rehearsal's install folder, say
    python benchmarks/fleet.py DIR [--hosts 4] [--ansible BIN]

The hosts are real SSH servers on loopback with a home of their own, which share this machine's processors. Each way
begins with bare homes, takes everything from the same served bundle, and then does it again. Bytes are those of SSH,
both directions; the bundle's own come over HTTP and are the same for all.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from provision.download.serving.offer import bundle_offer
from provision.download.serving.readers import Readers
from provision.download.serving.server import Served, serving
from provision.output.amounts import size_text
from provision.system.listener import listen
from tests.support.paths import CHECKOUT
from tests.support.ssh_hosts import Hosts, ssh_hosts

PLAYBOOK = CHECKOUT / "contrib" / "ansible" / "provision.yml"
LIMIT_S = 1200


class Counter:
    """Forwards connections to a port, and counts their bytes."""

    def __init__(self, port: int) -> None:
        self.bytes, self._to = 0, port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            near, _ = self._listener.accept()
            far = socket.create_connection(("127.0.0.1", self._to))
            for source, sink in ((near, far), (far, near)):
                threading.Thread(target=self._copy, args=(source, sink), daemon=True).start()

    def _copy(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(1 << 16):
                self.bytes += len(data)
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)


@dataclass(frozen=True)
class Room:
    """Hosts, whose ssh_config leads through counters, and the bundle that is served to them."""

    hosts: Hosts
    person: Path
    counters: Sequence[Counter]
    url: str
    digest: str

    @property
    def config(self) -> Path:
        return self.person / ".ssh" / "config"

    def environ(self) -> dict[str, str]:
        return {**os.environ, "HOME": str(self.person), "PYTHONPATH": str(CHECKOUT), "ANSIBLE_HOST_KEY_CHECKING": "1"}

    def run(self, *words: str) -> int:
        """The exit code."""
        quiet = subprocess.DEVNULL
        ran = subprocess.run(words, env=self.environ(), stdout=quiet, stderr=quiet, timeout=LIMIT_S, check=False)
        return ran.returncode


@contextmanager
def room(bundle: Path, count: int) -> Iterator[Room]:
    offer, listener = bundle_offer(bundle), listen("127.0.0.1", 0)
    with tempfile.TemporaryDirectory(prefix="fleet-") as folder, serving(listener, Served(offer, Readers(), "")):
        root, person = Path(folder), Path(folder, "person")
        person.mkdir()
        with ssh_hosts(root, person, count) as hosts:
            counters = [Counter(host.port) for host in hosts.hosts.values()]
            known, config = person / ".ssh" / "known_hosts", person / ".ssh" / "config"
            for host, counter in zip(hosts.hosts.values(), counters, strict=True):
                known.write_text(known.read_text().replace(f"]:{host.port} ", f"]:{counter.port} "))
                config.write_text(config.read_text().replace(f"Port {host.port}\n", f"Port {counter.port}\n"))
            url = f"http://127.0.0.1:{listener.getsockname()[1]}"
            made = Room(hosts, person, counters, url, offer.digest)
            try:
                yield made
            finally:
                made.run(sys.executable, "-m", "provision", "fleet", str(hosts.hosts_toml()), "stop")


def by_fleet(at: Room) -> int:
    source = ("--from", at.url, "--from-sha256", at.digest)
    words = ("fleet", str(at.hosts.hosts_toml()), "all", *source, "--", "--rehearse")
    return at.run(sys.executable, "-m", "provision", *words)


def by_ansible(program: str) -> Callable[[Room], int]:
    def run(at: Room) -> int:
        inventory = at.person / "inventory.ini"
        ssh = f"ansible_ssh_common_args='-F {at.config}'"
        inventory.write_text("[macs]\n" + "".join(f"{name} {ssh}\n" for name in at.hosts.hosts))
        given = {"source": at.url, "digest": at.digest, "flags": "--rehearse --home ~/provision"}
        extra = ("-e", json.dumps(given))
        return at.run(program, "-f", str(len(at.counters)), "-i", str(inventory), *extra, str(PLAYBOOK))

    return run


def by_loop(at: Room, *, together: bool) -> int:
    """`ssh HOST`, one after the other or all at once."""
    tool, script = "~/.local/bin/provision", f"{at.url}/kit/install.sh"
    install = f"curl -fsSL {script} >i.$$ && sh i.$$ --from {at.url} --sha256 {at.digest}"
    source = f"--from {at.url} --from-sha256 {at.digest}"
    run = f"{tool} all --yes --json {source} --rehearse --home ~/provision </dev/null"
    line = f"[ -x {tool} ] || {{ {install}; }}; {run}"
    started = [["ssh", "-F", str(at.config), name, line] for name in at.hosts.hosts]
    if not together:
        return max(at.run(*words) for words in started)
    threads = [threading.Thread(target=at.run, args=words) for words in started]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    return 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path, help="a bundle, as `provision bundle` writes it")
    parser.add_argument("--hosts", type=int, default=4)
    parser.add_argument("--ansible", metavar="FILE", help="ansible-playbook")
    given = parser.parse_args()
    ways: dict[str, Callable[[Room], int]] = {
        "provision fleet": by_fleet,
        **({"ansible raw": by_ansible(given.ansible)} if given.ansible else {}),
        "ssh, all at once": lambda at: by_loop(at, together=True),
        "ssh, one by one": lambda at: by_loop(at, together=False),
    }
    print(f"{given.hosts} hosts\n{'':20}{'first':>10}{'again':>10}{'SSH first':>12}{'SSH again':>12}  exit codes")
    for name, way in ways.items():
        with room(given.bundle, given.hosts) as at:
            seconds, moved, codes = [], [], []
            for _ in range(2):
                before, began = sum(each.bytes for each in at.counters), time.monotonic()
                codes.append(way(at))
                seconds.append(time.monotonic() - began)
                moved.append(sum(each.bytes for each in at.counters) - before)
        times = "".join(f"{each:>8.1f} s" for each in seconds)
        print(f"{name:20}{times}{''.join(f'{size_text(each):>12}' for each in moved)}  {codes}", flush=True)


if __name__ == "__main__":
    main()
