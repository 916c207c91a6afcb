"""What is answered without work on the Macs: their host keys, their ComfyUIs' addresses, the page about all of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from provision.command import Fix, program
from provision.fleet.ask import Ask
from provision.fleet.hosts import Fleet
from provision.fleet.messages import Outcome
from provision.fleet.record import MacResult, read_record
from provision.fleet.ssh_config import FIRST_PORT, comfyui_port, host_keys, tunnels
from provision.output.layout import plain_text
from provision.output.result import Data, Pairs, Result, answer, why


@dataclass(frozen=True, slots=True)
class MacUrl:
    """Where a Mac's ComfyUI answers: on the Mac itself, and on this machine once its tunnel is open."""

    mac: str
    url: str
    tunnel: str


@dataclass(frozen=True, slots=True)
class Urls:
    """ComfyUI on each Mac; `ssh_config` are the lines for the tunnels."""

    urls: tuple[MacUrl, ...]
    ssh_config: str


def keys(ask: Ask, fleet: Fleet, names: Sequence[str]) -> Result:
    """Each host's keys with their fingerprints; satisfied where all are known."""
    found = host_keys(fleet, names)
    rows = [(key.mac, key.kind, key.fingerprint, "known" if key.known else "not known") for key in found.keys]
    rows += [(name, "", "", "no answer") for name in found.unreached]
    known = {key.mac for key in found.keys if key.known}
    strange = [name for name in names if name not in known]
    if not strange:
        return answer(found, Pairs(rows), "All of these Macs are in known_hosts.")
    compare = Fix(
        "Compare a fingerprint with what the Mac itself shows:",
        program("ssh-keygen", "-lf", "/etc/ssh/ssh_host_ed25519_key.pub"),
    )
    trust = Fix("Then log in once, and answer with that fingerprint:", program("ssh", strange[0]))
    return answer(found, Pairs(rows), compare, trust, error=why("fleet", trust))


def urls(ask: Ask, fleet: Fleet, names: Sequence[str]) -> Result:
    """Where each Mac's ComfyUI is, and the lines of ssh_config that lead there."""
    record = read_record(ask.hosts)
    held = record.macs if record is not None else {}
    macs = [held.get(name) or MacResult(name, Outcome.STOPPED, "", 0.0) for name in names]
    config = plain_text(list(tunnels(macs)))
    found = tuple(
        MacUrl(mac.mac, f"http://127.0.0.1:{comfyui_port(mac)}", f"http://127.0.0.1:{FIRST_PORT + place}")
        for place, mac in enumerate(macs)
    )
    facts = Urls(found, config)
    if ask.tunnel:
        return answer(facts, Data(config))
    rows = [(each.mac, each.url, each.tunnel) for each in found]
    says = "ComfyUI only answers on its own Mac. For the addresses on the right, add to ~/.ssh/config what this prints:"
    more = Fix("Then, for each Mac:", program("ssh", "-fN", names[0]))
    return answer(facts, Pairs(rows), Fix(says, ask.again("urls", "--tunnel")), more)


ANSWERS = {"keys": keys, "urls": urls}
