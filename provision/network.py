"""Which hosts a run will need, and which of them do not answer: asked at once, with a deadline."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from provision.backends.endpoints import endpoints_of
from provision.backends.web import is_loopback
from provision.finding import Finding, Fix, blocked, ok, warn
from provision.misplaced import misplaced
from provision.packages import installed_versions
from provision.reuse import find_copies
from provision.step import Context
from provision.wanted import wanted_files

DEADLINE_S = 5.0
DEFAULT_INDEX = "https://pypi.org/simple"


@dataclass(frozen=True, slots=True)
class Host:
    """An address that is needed for something; without a `vital` one nothing works."""

    url: str
    purpose: str
    vital: bool

    @property
    def name(self) -> str:
        """Host and port."""
        return urlsplit(self.url).netloc.rpartition("@")[2]


def needed_hosts(ctx: Context) -> list[Host]:
    """The hosts from which something that is missing would come; none when everything is here."""
    hosts = model_hosts(ctx)
    comfy, torch = ctx.manifest.comfyui, ctx.manifest.torch
    is_here = ctx.home.code_of_another is not None or (ctx.home.comfyui / ".git").exists()
    if not is_here and comfy.url.startswith(("http://", "https://")):
        hosts.append(Host(comfy.url, "ComfyUI", vital=True))
    if "torch" not in installed_versions(ctx.home.venv):
        given = ctx.machine.environ
        index = (
            given.get("UV_DEFAULT_INDEX") or given.get("UV_INDEX_URL") or given.get("PIP_INDEX_URL") or DEFAULT_INDEX
        )
        hosts.append(Host(index, "Python packages", vital=True))
        if torch.channel == "nightly":
            hosts.append(Host(torch.nightly_index, "nightly torch", vital=False))
    return [host for host in hosts if host.url.startswith(("http://", "https://"))]


def unreachable_because(url: str) -> str | None:
    """Why a host does not answer, None when it does (any HTTP answer is one).

    Proxies are honoured, but for this machine itself.
    """
    import requests

    with requests.Session() as session:
        session.trust_env = not is_loopback(url)
        try:
            session.head(url, timeout=DEADLINE_S, allow_redirects=False).close()
        except requests.exceptions.SSLError as error:
            return f"its certificate is not trusted here ({_short(error)})"
        except requests.exceptions.ProxyError as error:
            return f"the proxy does not answer ({_short(error)})"
        except requests.exceptions.Timeout:
            return f"no answer within {DEADLINE_S:.0f} s"
        except requests.exceptions.ConnectionError as error:
            text = str(error)
            unknown = "NameResolution" in text or "Name or service not known" in text or "nodename nor servname" in text
            return "its name cannot be resolved" if unknown else f"no connection ({_short(error)})"
        except (requests.exceptions.RequestException, ValueError) as error:  # ValueError: no address at all
            return _short(error)
    return None


def reasons_of(urls: Sequence[str]) -> list[str | None]:
    """`unreachable_because` of each, all asked at once, and told by one deadline whatever a host does."""
    reasons: list[str | None] = [f"no answer within {DEADLINE_S:.0f} s"] * len(urls)

    def ask(place: int) -> None:
        reasons[place] = unreachable_because(urls[place])

    # Daemons: a host that trickles its answer must not hold up the end of the tool.
    threads = [threading.Thread(target=ask, args=(place,), daemon=True) for place in range(len(urls))]
    for thread in threads:
        thread.start()
    until = time.monotonic() + DEADLINE_S + 0.5
    for thread in threads:
        thread.join(max(0.0, until - time.monotonic()))
    return list(reasons)


def model_hosts(ctx: Context) -> list[Host]:
    """The hubs, when a model is missing of which no copy is on this machine."""
    missing = [
        wanted
        for wanted in wanted_files(ctx)
        if not wanted.place.exists()
        and misplaced(ctx, wanted) is None
        and not (wanted.sought and find_copies(ctx, wanted.sought))
    ]
    return [Host(endpoint, "the model", vital=True) for endpoint in endpoints_of(ctx)] if missing else []


def check_network(ctx: Context, hosts: Sequence[Host]) -> Iterable[Finding]:
    """One finding for each host that is needed and does not answer; one OK when all do."""
    if not hosts:
        return
    ctx.doing(f"asking {', '.join(dict.fromkeys(host.name for host in hosts))}")
    reasons = reasons_of([host.url for host in hosts])
    down = [(host, reason) for host, reason in zip(hosts, reasons, strict=True) if reason is not None]
    dead = [host for host, _ in down]
    for host, reason in down:
        says = f"{host.name} cannot be reached: {reason}. It is needed for {host.purpose}."
        spare = next((each for each in hosts if each.purpose == host.purpose and each not in dead), None)
        if spare is not None:
            yield warn("net-down", host.name, f"{says} {spare.name} is asked in its place.")
        elif host.vital:
            fix = Fix("Check the network or HTTPS_PROXY. Without internet, the rehearsal shows everything working:",
                      ("provision", "all", "--rehearse"))  # fmt: skip
            yield blocked("net-down", host.name, says, fix=fix)
        else:
            yield warn("net-down", host.name, f"{says} Stable torch is taken in its place.")
    if not down:
        names = dict.fromkeys(host.name for host in hosts)
        yield ok("net-up", "network", f"{', '.join(names)} answer{'s' if len(names) == 1 else ''}")


def _short(error: Exception) -> str:
    reason = getattr(error.args[0], "reason", None) if error.args else None
    text = str(reason or error)
    return text.rpartition(": ")[2].strip("()'\"> ")[:120] or type(error).__name__
