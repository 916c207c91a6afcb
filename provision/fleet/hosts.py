"""HOSTS.toml: the Macs of a fleet and what is the same for all of them, read strictly.

    [defaults]
    user = "admin"
    home = "~/provision"
    args = ["--torch", "stable"]
    [env]
    SSL_CERT_FILE = "/etc/ssl/lab.pem"
    [hosts]
    mac1 = {}
    mac2 = {tags = ["back-row"]}

Names are those of ~/.ssh/config, which says the rest; `address` and `port` go before it.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Annotated, TypeVar

from msgspec import Meta

from provision.command import Fix, ours, program
from provision.core.overrides import nearest
from provision.core.strict_loader import build, text
from provision.errors import CommandFailed, CommandMissing, ManifestError, UsageError
from provision.fleet.messages import Target
from provision.system.strict import Unreadable, convert, decode, read_toml, why_not

T = TypeVar("T")
NAME_MAX = 100
NAME = rf"[A-Za-z0-9][A-Za-z0-9._-]{{0,{NAME_MAX - 1}}}"
VARIABLE = r"[A-Za-z_][A-Za-z0-9_]*"
HOSTS_MAX = 1000
SHOWN = 8
SAID_MAX = 300
INVENTORY_S = 60
MADE_BY_ANSIBLE = frozenset({"all", "ungrouped"})
"""Groups that Ansible makes itself."""
ANSIBLE = {"user": "ansible_user", "address": "ansible_host", "port": "ansible_port"}
LAYOUT = Fix("It has a table [hosts] with lines like `mac1 = {}`. For more:", ours("fleet", "--help"))
User = Annotated[str, text(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}|", "a user's name")]
Address = Annotated[str, text(r"[A-Za-z0-9:][A-Za-z0-9.:%_-]{0,252}|", "an address: 10.0.0.7, mac7.lab")]
Port = Annotated[int, Meta(ge=0, le=65535, description="a port")]
Folder = Annotated[str, text(r"(~|/)[^\x00-\x1f\x7f]*|", "a folder like ~/provision or /Volumes/Big/provision")]


@dataclass(frozen=True, slots=True)
class Mac:
    """One Mac: what is said for it goes before the defaults."""

    tags: tuple[Annotated[str, text(NAME, "characters a-z, 0-9, dots and dashes")], ...] = ()
    user: User = ""
    home: Folder = ""
    args: tuple[str, ...] = ()
    address: Address = ""
    port: Port = 0


@dataclass(frozen=True, slots=True)
class Defaults:
    """What holds for all Macs: whom to log in as, the install folder there, words for `all`."""

    user: User = ""
    home: Folder = "~/provision"
    args: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Fleet:
    """The file. `env` are variables of each command there: certificates, proxies, package indexes."""

    hosts: Mapping[str, Mac]
    defaults: Defaults = Defaults()
    env: Mapping[str, str] = field(default_factory=dict)

    def targets(self, names: Iterable[str]) -> tuple[Target, ...]:
        """These Macs as the driver takes them."""
        return tuple(self._target(name, self.hosts[name]) for name in names)

    def _target(self, name: str, mac: Mac) -> Target:
        usual = self.defaults
        home, args = mac.home or usual.home, mac.args or usual.args
        return Target(name, mac.user or usual.user, home, args, self.env, mac.address, mac.port)


def read_hosts(path: Path) -> Fleet:
    """The fleet of a file. Raises UsageError."""
    try:
        data = read_toml(path)
    except (OSError, Unreadable) as error:
        raise UsageError(f"{path} cannot be read: {why_not(error)}.", hint=LAYOUT) from error
    try:
        return _fleet(data)
    except ManifestError as error:
        known = error.hint if error.hint.says.startswith("Nearest") else LAYOUT
        raise UsageError(f"{path}: {error.message}", hint=known) from error


def _fleet(data: Mapping[str, object]) -> Fleet:
    """Raises ManifestError."""
    known = [each.name for each in fields(Fleet)]
    if odd := next((key for key in data if key not in known), None):
        near = nearest(odd, known) or ", ".join(known)
        raise ManifestError(f"{odd[:NAME_MAX]} is not a known table.", hint=Fix(f"Nearest: {near}"))
    tables = {name: _table(data.get(name, {}), name) for name in known}
    hosts = {_named(name, NAME, "hosts"): _built(Mac, each, f"hosts.{name}") for name, each in tables["hosts"].items()}
    if not 0 < len(hosts) <= HOSTS_MAX:
        raise ManifestError(f"hosts has {len(hosts)} entries; 1 to {HOSTS_MAX} are possible.", hint=LAYOUT)
    env = {_named(name, VARIABLE, "env"): value for name, value in tables["env"].items()}
    if odd := next((name for name, value in env.items() if not isinstance(value, str) or "\0" in value), None):
        raise ManifestError(f"env.{odd} must be a text.", hint=LAYOUT)
    return Fleet(hosts, _built(Defaults, tables["defaults"], "defaults"), {name: str(env[name]) for name in env})


def _table(value: object, name: str) -> Mapping[str, object]:
    if not isinstance(value, Mapping):
        raise ManifestError(f"{name} must be a table.", hint=LAYOUT)
    return value


def _built(kind: type[T], value: object, where: str) -> T:
    try:
        return build(kind, _table(value, where))
    except ManifestError as error:
        raise ManifestError(f"{where}: {error.message}", hint=error.hint) from error


def _named(name: str, pattern: str, where: str) -> str:
    if not re.fullmatch(pattern, name):
        raise ManifestError(f"{where}: {name[:NAME_MAX]!r} is not a usable name.", hint=LAYOUT)
    return name


# -- an inventory of Ansible's ------------------------------------------------------------------------------------


def read_inventory(path: Path) -> Fleet:
    """The fleet that `ansible-inventory --list` reads from a file; its groups are tags.

    Raises CommandMissing, CommandFailed, UsageError.
    """
    program_file = shutil.which("ansible-inventory")
    if program_file is None:
        raise CommandMissing(
            "--inventory needs Ansible's own ansible-inventory, which was not found.",
            hint=program("uv", "tool", "install", "ansible-core"),
        )
    words = [program_file, "--list", "-i", str(path)]
    try:
        ran = subprocess.run(words, capture_output=True, timeout=INVENTORY_S, check=False)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CommandFailed(f"ansible-inventory failed: {error}", hint=program(*words)) from error
    if ran.returncode:
        last = ran.stderr.decode("utf-8", "replace").strip().rpartition("\n")[2][:SAID_MAX]
        raise CommandFailed(f"ansible-inventory failed: {last}", hint=program(*words))
    try:
        return parse_inventory(ran.stdout)
    except (Unreadable, ManifestError) as error:
        raise UsageError(f"{path}: {error}", hint=program(*words)) from error


def parse_inventory(listed: bytes) -> Fleet:
    """The fleet of what `ansible-inventory --list` prints. Raises Unreadable, ManifestError."""
    groups = decode(listed, dict[str, dict[str, object]])
    hostvars = convert(groups.pop("_meta", {}).get("hostvars", {}), dict[str, dict[str, object]])
    members = {name: convert(group.get("hosts", []), list[str]) for name, group in groups.items()}
    names = dict.fromkeys(name for hosts in members.values() for name in hosts)
    hosts: dict[str, object] = {}
    for name in names:
        said = hostvars.get(name, {})
        tags = [group for group, inside in members.items() if name in inside and group not in MADE_BY_ANSIBLE]
        hosts[name] = {"tags": tags, **{key: said[theirs] for key, theirs in ANSIBLE.items() if theirs in said}}
    return _fleet({"hosts": hosts})


# -- which of them ------------------------------------------------------------------------------------------------


def chosen(fleet: Fleet, only: Sequence[str], tags: Sequence[str]) -> list[str]:
    """The names that are meant, in the file's order; `only` may hold several in one, with commas. Raises UsageError."""
    names = [name for words in only for name in words.split(",") if name]
    if odd := next((name for name in names if name not in fleet.hosts), None):
        near = nearest(odd, list(fleet.hosts)) or ", ".join(list(fleet.hosts)[:SHOWN])
        raise UsageError(f"No Mac is called {odd[:NAME_MAX]!r}.", hint=Fix(f"Nearest: {near}"))
    known = sorted({tag for mac in fleet.hosts.values() for tag in mac.tags})
    if odd := next((tag for tag in tags if tag not in known), None):
        near = nearest(odd, known) or ", ".join(known[:SHOWN]) or "no tags in this file"
        raise UsageError(f"No Mac has the tag {odd[:NAME_MAX]!r}.", hint=Fix(f"Nearest: {near}"))
    return [
        name
        for name, mac in fleet.hosts.items()
        if (not names or name in names) and (not tags or set(tags) & set(mac.tags))
    ]
