"""Which hosts a run will need, and which of them do not answer: asked at once, with a deadline."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from urllib.parse import urlsplit

from provision.finding import Finding, Fix, blocked, ok, warn
from provision.packages import installed_versions
from provision.step import Context

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
    if not (ctx.home.comfyui / ".git").exists() and comfy.url.startswith(("http://", "https://")):
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


def unreachable_because(url: str, environ_proxies: bool = True) -> str | None:
    """Why a host does not answer, None when it does (any HTTP answer is one). Proxies are honoured."""
    import requests

    with requests.Session() as session:
        session.trust_env = environ_proxies
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
        except requests.exceptions.RequestException as error:
            return _short(error)
    return None


def model_hosts(ctx: Context) -> list[Host]:
    """The hub, when a model is missing."""
    missing = [
        file
        for model, file in ctx.manifest.chosen(ctx.options.precision)
        if not (ctx.home.comfyui / "models" / model.folder / file.name).exists()
    ]
    return [Host(ctx.options.endpoint, "the model", vital=True)] if missing else []


def check_network(ctx: Context, hosts: Sequence[Host]) -> Iterable[Finding]:
    """One finding for each host that is needed and does not answer; one OK when all do."""
    if not hosts:
        return
    with ThreadPoolExecutor(max_workers=len(hosts)) as pool:
        reasons = list(pool.map(unreachable_because, [host.url for host in hosts]))
    down = [(host, reason) for host, reason in zip(hosts, reasons, strict=True) if reason is not None]
    for host, reason in down:
        says = f"{host.name} cannot be reached: {reason}. It is needed for {host.purpose}."
        if host.vital:
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
