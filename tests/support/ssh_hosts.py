"""Real SSH servers on loopback, each with a home and a host key of its own; all are this user.

A server is Debian's or macOS's own sshd, run as this user: HOME is what `SetEnv` says. Everything ends with the block.
"""

from __future__ import annotations

import hashlib
import os
import shlex
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import psutil

from provision.fleet.kit import kit_archive
from tests.support.processes import eventually

SSHD = shutil.which("sshd") or shutil.which("sshd", path="/usr/sbin")
STAMP = Path(".local/share/comfy-provision/fleet/kit.sha256")
USED = Path(".local/share/comfy-provision/bin/provision")
"""Where the tool is in a home that install.sh gave it to."""


@cache
def kit() -> bytes:
    """What this tool sends to a Mac."""
    return kit_archive()


@dataclass
class Host:
    """One server. `home` is what the session sees as HOME."""

    name: str
    home: Path
    port: int
    folder: Path
    environ: Mapping[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until it listens."""
        assert SSHD is not None
        self.process = subprocess.Popen(
            [SSHD, "-D", "-f", str(self.folder / "sshd.conf"), "-E", str(self.folder / "sshd.log")]
        )
        eventually(self._listens)

    def _listens(self) -> bool:
        with socket.socket() as tried:
            return tried.connect_ex(("127.0.0.1", self.port)) == 0

    def family(self) -> list[psutil.Process]:
        """The server, its sessions, and what runs in them."""
        if self.process is None:
            return []
        with suppress(psutil.Error):
            own = psutil.Process(self.process.pid)
            return [own, *own.children(recursive=True)]
        return []

    def signal(self, sign: int) -> None:
        for each in self.family():
            with suppress(psutil.Error):
                each.send_signal(sign)

    def stop(self) -> None:
        """End it with all of its sessions."""
        family = self.family()
        for each in reversed(family):
            with suppress(psutil.Error):
                each.kill()
        if self.process is not None:
            self.process.wait(10)
            self.process = None

    def tool(self, script: str) -> None:
        """Put a shell script in the tool's place, as if this tool's kit had installed it."""
        path = self.home / USED
        stamp = self.home / STAMP
        stamp.parent.mkdir(parents=True, exist_ok=True)
        stamp.write_text(hashlib.sha256(kit()).hexdigest())
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"#!/bin/sh\n{script}", encoding="utf-8")
        path.chmod(0o755)

    def key(self) -> str:
        """The public host key."""
        return (self.folder / "host.pub").read_text(encoding="utf-8")


@dataclass
class Hosts:
    """Several of them, with the ssh_config that leads to them."""

    root: Path
    hosts: dict[str, Host]

    def __getitem__(self, name: str) -> Host:
        return self.hosts[name]

    def hosts_toml(self, text: str = "") -> Path:
        """A file of all hosts."""
        path = self.root / "macs.toml"
        rows = "".join(f"{name} = {{}}\n" for name in self.hosts)
        path.write_text(f"{text}\n[hosts]\n{rows}", encoding="utf-8")
        return path


def free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        taken = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in taken:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in taken]


@contextmanager
def ssh_hosts(root: Path, person: Path, count: int, environ: Mapping[str, str] | None = None) -> Iterator[Hosts]:
    """So many servers `mac1`, `mac2` ...; `person` is the folder whose ~/.ssh/config leads to them."""
    if os.getuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)
    ssh = person / ".ssh"
    ssh.mkdir(mode=0o700)
    key = ssh / "id_ed25519"
    _keygen(key)
    made: dict[str, Host] = {}
    known, config = [], []
    for number, port in enumerate(free_ports(count), 1):
        name = f"mac{number}"
        folder, home = root / f"sshd-{name}", root / name
        folder.mkdir(parents=True)
        home.mkdir()
        _keygen(folder / "host")
        seen = {"HOME": str(home), **(environ or {})}
        words = " ".join(shlex.quote(f"{key}={value}") for key, value in seen.items())
        (folder / "sshd.conf").write_text(
            f"ListenAddress 127.0.0.1\nPort {port}\nHostKey {folder}/host\nPidFile none\n"
            f"AuthorizedKeysFile {key}.pub\nPasswordAuthentication no\nUsePAM no\nStrictModes no\n"
            f"PermitRootLogin yes\nSubsystem sftp internal-sftp\nMaxStartups 50\nSetEnv {words}\n"
        )
        made[name] = host = Host(name, home, port, folder)
        known.append(f"[127.0.0.1]:{port} {' '.join(host.key().split()[:2])}\n")
        config.append(
            f"Host {name}\n  HostName 127.0.0.1\n  Port {port}\n  IdentityFile {key}\n"
            f"  UserKnownHostsFile {ssh}/known_hosts\n"
        )
    (ssh / "known_hosts").write_text("".join(known))
    (ssh / "config").write_text("".join(config))
    try:
        for host in made.values():
            host.start()
        yield Hosts(root, made)
    finally:
        for host in made.values():
            host.signal(signal.SIGCONT)
            host.stop()


def _keygen(path: Path) -> None:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True)
