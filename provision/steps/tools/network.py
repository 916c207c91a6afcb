"""Which hosts a run will need, and which of them do not serve: asked at once, with a deadline."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from provision.comfyui.source_tree import is_archived
from provision.command import Fix, ours, program
from provision.core.finding import Finding
from provision.core.step import Context
from provision.download import kinds as download_kinds
from provision.download.host_check import Host, Trouble, behind_of, troubles_of
from provision.download.hub.mirrors import endpoints_of
from provision.download.hub.token import token_to
from provision.download.local_copies import find_copies
from provision.download.model_files import WantedFile, misplaced, wanted_files
from provision.download.web import host_of
from provision.environment.packages import installed_versions
from provision.environment.uv_settings import default_index
from provision.steps.tools import kinds
from provision.system.address import quoted
from provision.system.proxies import SCUTIL, parse_scutil_script

DEADLINE_S = 5.0
NIGHTLY = "nightly torch"
MEND_NETWORK = Fix(
    "Check the network or HTTPS_PROXY. No internet? Try:",
    ours("all", "--rehearse"),
)


def needed_hosts(ctx: Context) -> list[Host]:
    """The hosts from which something that is missing would come; none when everything is here, or in a bundle."""
    hosts = model_hosts(ctx)
    comfy, torch = ctx.manifest.comfyui, ctx.manifest.torch
    is_here = ctx.home.code_of_another is not None or (ctx.home.comfyui / ".git").exists() or is_archived(ctx)
    if not is_here:
        hosts.append(Host(comfy.url, "ComfyUI", vital=True))
    if "torch" not in installed_versions(ctx.home.venv):
        hosts.append(Host(package_index(ctx), "Python packages", vital=True))
        if torch.channel == "nightly":
            hosts.append(Host(torch.nightly_index, NIGHTLY, vital=False))
    return [host for host in hosts if _is_of_a_host(host.url) and ctx.options.source is None]


def configured_hosts(ctx: Context) -> list[str]:
    """The names of all hosts that this configuration may ask, whatever is here already."""
    torch = ctx.manifest.torch
    urls = (*endpoints_of(ctx), ctx.manifest.comfyui.url, package_index(ctx), torch.nightly_index, torch.stable_index)
    return [host_of(url) for url in urls if _is_of_a_host(url)]


def _is_of_a_host(url: str) -> bool:
    return url.startswith(("http://", "https://"))


def package_index(ctx: Context) -> str:
    """The package index that is configured."""
    return default_index(ctx.machine)


def model_hosts(ctx: Context) -> list[Host]:
    """The hubs, when a model is missing of which no copy is on this machine."""
    if ctx.options.source is not None:
        return []
    missing = [
        wanted
        for wanted in wanted_files(ctx)
        if not wanted.place.exists()
        and misplaced(ctx, wanted) is None
        and not (wanted.sought and find_copies(ctx, wanted.sought))
    ]
    return [_hub(ctx, each, missing[0]) for each in endpoints_of(ctx) if _is_of_a_host(each)] if missing else []


def _hub(ctx: Context, endpoint: str, wanted: WantedFile) -> Host:
    file = f"{endpoint}/{wanted.model.repo}/resolve/{wanted.model.revision}/{wanted.file.path}"
    token = token_to(ctx, endpoint)
    lack = token if token.lack else None
    return Host(endpoint, "the model", vital=True, file=file, token=token.value, lack=lack)


def unreachable_because(ctx: Context, url: str) -> str | None:
    """Why an address does not answer, None when it does (any HTTP answer is one); known by the deadline."""
    (trouble,) = troubles_of([Host(url, "", vital=True)], ctx.machine.environ, DEADLINE_S)
    return trouble.says.rpartition("cannot be reached: ")[2].rstrip(".") if trouble is not None else None


def check_network(ctx: Context, hosts: Sequence[Host]) -> Iterable[Finding]:
    """One finding for each host that is needed and does not serve; one OK when all do."""
    if not hosts:
        return
    names = list(dict.fromkeys(host.name for host in hosts))
    ctx.doing(f"asking {', '.join(names)}")
    facts = {"hosts": list(hosts)}
    yield from ctx.proofs.recall("tools", facts) or ctx.proofs.keep("tools", facts, _asked(ctx, hosts))


def _asked(ctx: Context, hosts: Sequence[Host]) -> Iterable[Finding]:
    asked = [*hosts, *(behind for host in hosts for behind in host.behind)]
    troubles = troubles_of(asked, ctx.machine.environ, DEADLINE_S)
    found = list(zip(hosts, troubles, strict=False))
    seen = {host.name: trouble for host, trouble in zip(asked, troubles, strict=True)}
    serving = [host for host, trouble in found if trouble is None or trouble.passes]
    blocked = [(host, each, reason) for host in serving for each in host.behind if (reason := seen[each.name])]
    script = _script(ctx) if any(trouble and trouble.kind == download_kinds.NET_DOWN for _, trouble in found) else None
    for host, trouble in found:
        if trouble is not None:
            trouble = replace(trouble, fix=trouble.fix or script)
            spare = next((each for each in serving if each.purpose == host.purpose and each is not host), None)
            yield _finding(host, trouble, spare)
    for host, behind, trouble in blocked:
        if not trouble.passes:
            yield _finding(behind, behind_of(host, behind, trouble), None)
    if not any(trouble for _, trouble in found) and not blocked:
        names = dict.fromkeys(host.name for host in hosts)
        yield kinds.NET_UP.ok("network", f"{', '.join(names)} reachable")


def _script(ctx: Context) -> Fix | None:
    """What to do where System Settings choose proxies by a script, which nothing here can run."""
    if ctx.machine.system != "Darwin" or not (script := parse_scutil_script(ctx.machine.said(SCUTIL))):
        return None
    says = f"System Settings choose the proxy by a script ({quoted(script)}), which is not read here. Name the proxy:"
    return Fix(says, program("export", "HTTPS_PROXY=http://HOST:PORT"))


def _finding(host: Host, trouble: Trouble, spare: Host | None) -> Finding:
    if trouble.passes:
        return trouble.kind.warn(host.name, trouble.says, fix=trouble.fix)
    says = f"{trouble.says} Needed for {host.purpose}."
    if spare is not None:
        return trouble.kind.warn(host.name, f"{says} Using {spare.name} instead.")
    if host.vital:
        return trouble.kind.blocked(host.name, says, fix=trouble.fix or MEND_NETWORK)
    instead = " Using stable torch instead." if host.purpose == NIGHTLY else ""
    return trouble.kind.warn(host.name, f"{says}{instead}", fix=trouble.fix)
