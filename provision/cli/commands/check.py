"""`provision check`: whether this machine is good enough, and which hosts its network must let through."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from typer import Option

from provision.cli.command import Session, command
from provision.cli.request import ASKING
from provision.command import Fix
from provision.output.result import Nothing, Result, answer, looked

ListHosts = Annotated[bool, Option("--hosts", help="List the hosts a network must allow, without contacting them.")]


@dataclass(frozen=True, slots=True)
class HostGroup:
    """Hosts of one site, what is downloaded from there, and the page that says so."""

    site: str
    hosts: tuple[str, ...]
    brings: str
    source: str


@dataclass(frozen=True, slots=True)
class Hosts:
    """The hosts that a network must allow, all on this port."""

    port: int
    hosts: tuple[HostGroup, ...]


def check(at: Session, *, hosts: ListHosts = False) -> Result:
    """Run only the hardware step's check, or list the hosts."""
    from provision.cli.look import look
    from provision.steps.registry import step_named

    if hosts:
        return listed(at)
    report = look(at, at.ctx, (step_named("hardware"),))
    return looked(report, Nothing(), f"This machine is {'' if report.ok else 'not '}supported.", details=True)


def listed(at: Session) -> Result:
    """Every host that a set-up may need, for who runs the network."""
    from provision.download.hosts import PORT, WIDER, needed_sites
    from provision.steps.tools.network import configured_hosts

    sites = needed_sites(configured_hosts(at.ctx))
    lines = [each for site in sites for each in (f"{site.name}: {site.brings}", *(f"  {host}" for host in site.hosts))]
    closing = Fix(f"All by HTTPS, port {PORT}. {WIDER}")
    found = tuple(HostGroup(site.name, tuple(site.hosts), site.brings, site.source) for site in sites)
    return answer(Hosts(PORT, found), *lines, closing)


app = command("check", check, ASKING)
