"""The hosts file and Ansible's inventory: read strictly, refused in a sentence."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from provision.errors import CommandFailed, CommandMissing, UsageError
from provision.fleet.ask import parse_words
from provision.fleet.hosts import chosen, read_hosts, read_inventory

WHOLE = """
[defaults]
user = "admin"
home = "~/lab"
args = ["--torch", "stable"]
[env]
SSL_CERT_FILE = "/etc/ssl/lab.pem"
[hosts]
mac1 = {}
mac2 = {tags = ["back"], user = "root", home = "/Volumes/Big/lab"}
mac3 = {tags = ["back", "big"], address = "10.0.0.7", port = 2222}
"""


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "macs.toml"
    path.write_text(text)
    return path


def test_a_mac_has_its_own_words_before_the_defaults(tmp_path: Path) -> None:
    fleet = read_hosts(written(tmp_path, WHOLE))
    one, two, three = fleet.targets(fleet.hosts)
    assert (one.user, one.home, one.args) == ("admin", "~/lab", ("--torch", "stable"))
    assert (two.user, two.home) == ("root", "/Volumes/Big/lab")
    assert (three.address, three.port, three.env) == ("10.0.0.7", 2222, {"SSL_CERT_FILE": "/etc/ssl/lab.pem"})


@pytest.mark.parametrize(
    ("text", "says", "hint"),
    [
        ("[hosts]\nmac1 = {tag = ['a']}", "hosts.mac1: tag is not a known key", "tags"),
        ("[default]\n[hosts]\nmac1 = {}", "default is not a known table", "defaults"),
        ("[defaults]\nusr = 'x'\n[hosts]\nmac1 = {}", "defaults: usr is not a known key", "user"),
        ("[hosts]\nmac1 = {user = 3}", "hosts.mac1: user must be str", ""),
        ("[hosts]\n'-oProxyCommand=x' = {}", "is not a usable name", ""),
        ("[hosts]\n'a b' = {}", "is not a usable name", ""),
        ("[hosts]\nmac1 = {address = '-x'}", "address", ""),
        ("[hosts]\nmac1 = {port = 70000}", "port", ""),
        ("[defaults]\nhome = 'provision'\n[hosts]\nmac1 = {}", "home", ""),
        ("[env]\n'A;B' = 'x'\n[hosts]\nmac1 = {}", "is not a usable name", ""),
        ("[env]\nA = 3\n[hosts]\nmac1 = {}", "env.A must be a text", ""),
        ("[hosts]", "hosts has 0 entries", ""),
        ("", "hosts has 0 entries", ""),
        ("hosts = 3", "hosts must be a table", ""),
        ("hosts", "cannot be read", ""),
    ],
)
def test_what_does_not_fit_is_refused_with_the_nearest_name(tmp_path: Path, text: str, says: str, hint: str) -> None:
    with pytest.raises(UsageError) as refused:
        read_hosts(written(tmp_path, text))
    assert says in refused.value.message
    assert hint in refused.value.hint.says
    assert refused.value.hint.says


def test_some_macs_by_name_or_tag(tmp_path: Path) -> None:
    fleet = read_hosts(written(tmp_path, WHOLE))
    assert chosen(fleet, [], []) == ["mac1", "mac2", "mac3"]
    assert chosen(fleet, ["mac3,mac1"], []) == ["mac1", "mac3"]
    assert chosen(fleet, [], ["back"]) == ["mac2", "mac3"]
    assert chosen(fleet, ["mac2"], ["big"]) == []
    for only, tags, near in ((["mac4"], [], "mac"), ([], ["bak"], "back")):
        with pytest.raises(UsageError) as refused:
            chosen(fleet, only, tags)
        assert near in refused.value.hint.says


def test_the_words_after_fleet(tmp_path: Path) -> None:
    hosts, verb, rest = parse_words(["macs.toml", "all", "--locked", "x"], None)
    assert (hosts.name, verb, rest) == ("macs.toml", "all", ("--locked", "x"))
    assert parse_words(["m.toml"], None)[1] == "all"
    assert parse_words(["status"], Path("inventory.ini"))[:2] == (Path("inventory.ini").absolute(), "status")
    with pytest.raises(UsageError, match="has no 'stat'"):
        parse_words(["m.toml", "stat"], None)
    with pytest.raises(UsageError, match="Which Macs"):
        parse_words([], None)


def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """An `ansible-inventory` on PATH."""
    folder = tmp_path / "bin"
    folder.mkdir()
    program = folder / "ansible-inventory"
    program.write_text(f"#!/bin/sh\n{script}")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")


def test_an_inventory_is_read_by_ansibles_own_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listed = {
        "_meta": {"hostvars": {"mac1": {"ansible_host": "10.0.0.1", "ansible_user": "admin", "ansible_port": 2222}}},
        "all": {"children": ["ungrouped", "lab"]},
        "lab": {"hosts": ["mac1", "mac2"]},
    }
    stand_in(tmp_path, monkeypatch, f'[ "$1 $2" = "--list -i" ] && [ -f "$3" ] && echo \'{json.dumps(listed)}\'\n')
    inventory = tmp_path / "inventory.ini"
    inventory.write_text("[lab]\nmac1\nmac2\n")
    fleet = read_inventory(inventory)
    one, two = fleet.targets(fleet.hosts)
    assert (one.address, one.user, one.port) == ("10.0.0.1", "admin", 2222)
    assert (two.name, fleet.hosts["mac2"].tags) == ("mac2", ("lab",))


def test_an_inventory_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(CommandMissing):
        read_inventory(tmp_path / "x")
    stand_in(tmp_path, monkeypatch, "echo 'ERROR! no such file' >&2; exit 1\n")
    with pytest.raises(CommandFailed, match="no such file"):
        read_inventory(tmp_path / "x")
    (tmp_path / "bin" / "ansible-inventory").write_text('#!/bin/sh\necho \'{"lab": {"hosts": ["-x"]}}\'\n')
    with pytest.raises(UsageError, match="not a usable name"):
        read_inventory(tmp_path / "x")
