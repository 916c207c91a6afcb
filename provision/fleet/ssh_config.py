"""What OpenSSH's own programs say of hosts: their addresses, their host keys; and what is written for them."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import subprocess
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from provision.fleet.hosts import Fleet
from provision.fleet.record import MacResult
from provision.output.layout import Line, line

ASK_S = 20
KEY = re.compile(r"\S+ (ssh-ed25519|ecdsa-sha2-nistp\d{3}|ssh-rsa) ([A-Za-z0-9+/=]{40,2000})")
KEYS_MAX = 8
OUT_MAX = 100_000
FIRST_PORT = 18188
"""The first of the ports on this machine that tunnels take."""
COMFYUI_PORT = 8188


@dataclass(frozen=True, slots=True)
class HostKey:
    """A key that a host shows: its kind, its fingerprint as `ssh-keygen -l` has it, whether known_hosts has it."""

    mac: str
    kind: str
    fingerprint: str
    known: bool


@dataclass(frozen=True, slots=True)
class HostKeys:
    """What `fleet HOSTS keys` shows; `unreached` are the hosts that show none."""

    keys: tuple[HostKey, ...]
    unreached: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Place:
    """Where ssh looks for a host: what it is called in known_hosts, and the files that hold its key."""

    address: str
    port: int
    known_as: str
    files: tuple[Path, ...]


def host_keys(fleet: Fleet, names: Sequence[str]) -> HostKeys:
    """Ask each host for its keys, and ssh's files whether they are known."""
    with ThreadPoolExecutor(min(16, len(names))) as pool:
        found = list(pool.map(lambda name: _keys_of(fleet, name), names))
    keys = [key for each in found for key in each]
    return HostKeys(tuple(keys), tuple(name for name, each in zip(names, found, strict=True) if not each))


def _keys_of(fleet: Fleet, name: str) -> list[HostKey]:
    place = _place(fleet, name)
    shown = parse_keys(_said("ssh-keyscan", "-T", "10", "-p", str(place.port), place.address))
    known = {key for file in place.files for key in parse_keys(_said("ssh-keygen", "-F", place.known_as, "-f", file))}
    return [HostKey(name, kind, fingerprint(key), (kind, key) in known) for kind, key in shown]


def parse_keys(text: str) -> list[tuple[str, str]]:
    """Kinds and keys of what ssh-keyscan prints, or of lines of known_hosts."""
    return [(found[1], found[2]) for each in text.splitlines() if (found := KEY.fullmatch(each.strip()))][:KEYS_MAX]


def fingerprint(key: str) -> str:
    """As `ssh-keygen -l` shows it; empty for what is no key."""
    try:
        digest = hashlib.sha256(base64.b64decode(key, validate=True)).digest()
    except binascii.Error:
        return ""
    return f"SHA256:{base64.b64encode(digest).decode('ascii').rstrip('=')}"


def _place(fleet: Fleet, name: str) -> Place:
    mac = fleet.hosts[name]
    config = Path("~/.ssh/config").expanduser()  # of HOME, as pyinfra reads it
    read = ("-F", config) if config.is_file() else ()
    said = dict(each.partition(" ")[::2] for each in _said("ssh", *read, "-G", name).splitlines())
    address = mac.address or said.get("hostname", name)
    port = mac.port or int(said.get("port", "22"))
    files = tuple(Path(each).expanduser() for each in said.get("userknownhostsfile", "~/.ssh/known_hosts").split())
    return Place(address, port, address if port == 22 else f"[{address}]:{port}", files)


def _said(*words: str | Path) -> str:
    """What a program prints; empty where it is missing, or takes too long."""
    try:
        ran = subprocess.run([*map(str, words)], capture_output=True, timeout=ASK_S, check=False)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return ran.stdout[:OUT_MAX].decode("utf-8", "replace")


def tunnels(macs: Iterable[MacResult]) -> Iterable[Line]:
    """A part of ssh_config: each Mac's ComfyUI at a port of this machine."""
    for place, mac in enumerate(macs):
        yield line(f"Host {mac.mac}")
        yield line(f"    LocalForward 127.0.0.1:{FIRST_PORT + place} 127.0.0.1:{comfyui_port(mac)}")


def comfyui_port(mac: MacResult) -> int:
    """Where ComfyUI listens on a Mac, by its own report."""
    found = re.fullmatch(r"http://127\.0\.0\.1:(\d{2,5})", mac.url)
    return int(found[1]) if found else COMFYUI_PORT
