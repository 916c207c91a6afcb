"""Asking hosts whether they answer, all at once and by one deadline: what is wrong with one, told apart by its cause.

Nothing here can be waited for longer: name resolution cannot be cancelled, so whatever asks is a daemon thread that is
left behind when time is up, and holds up neither the answer nor the end of the tool.
"""

from __future__ import annotations

import errno
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlsplit

from provision.command import Fix, as_fix, ours, program
from provision.core.finding import Kind
from provision.download import kinds
from provision.download.hosts import PORT, site_of
from provision.download.hub.token import HUGGING_FACE, Token
from provision.download.rate_limits import asked_wait_s
from provision.download.web import REFUSED_BY_PROXY, as_it_is, host_of, origin_of, redirect_of, session_for
from provision.errors import HubRefused, NetworkError, UsageError
from provision.system.address import quoted, read_address
from provision.system.proxies import is_dead_socks, proxy_for
from provision.system.tls import certificate_fix, clock_fix, is_of_time

if TYPE_CHECKING:
    from requests import Response, Session

T = TypeVar("T")

COMMIT = re.compile(r"[0-9a-f]{40}")
GRACE_S, LEAST_S = 0.5, 0.5
FAMILY_SHARE = 0.6
"""Of the deadline, for one address family: known before the request itself is given up."""


@dataclass(frozen=True, slots=True)
class Host:
    """An address that is needed for something; without a `vital` one nothing works."""

    url: str
    purpose: str
    vital: bool
    file: str = ""
    """A hub: the address of one file there, which tells a hub from a login page; asked for in place of `url`."""
    token: str = field(default="", repr=False)
    """What the hub is asked with; goes nowhere else."""
    lack: Token | None = field(default=None, repr=False)
    """Why it is asked with no token, where there is a reason."""

    @property
    def behind(self) -> tuple[Host, ...]:
        """The hosts from which its files come, where they are known by name."""
        site = site_of(self.name)
        if site is None or self.name != site.front:
            return ()
        return tuple(Host(f"https://{name}", self.purpose, self.vital and site.vital) for name in site.asked)

    @property
    def name(self) -> str:
        """Host and port."""
        return host_of(self.url)


@dataclass(frozen=True, slots=True)
class Trouble:
    """What is wrong with a host: the kind of finding, a sentence, what to do; `passes` where it serves all the same."""

    kind: Kind
    says: str
    fix: Fix | None = None
    passes: bool = False
    reason: str = ""
    """What keeps it from answering, as the end of a sentence."""
    if_all: str = ""
    """What is true in place of `says` where every host has this."""


def troubles_of(hosts: Sequence[Host], environ: Mapping[str, str], deadline_s: float) -> list[Trouble | None]:
    """What is wrong with each; takes `deadline_s` and a moment, whatever a host or the resolver does."""
    import requests  # noqa: F401  (read before time runs: a slow disk, or a busy machine, is no host's fault)
    import truststore  # noqa: F401

    found: list[Trouble | None] = [_silent(host, deadline_s) for host in hosts]
    reached: list[dict[str, bool]] = [{} for _ in hosts]

    def ask(place: int) -> None:
        host, began = hosts[place], time.monotonic()
        trouble, target = _front(host, environ, deadline_s)
        found[place] = trouble
        if trouble is None and target:
            found[place] = _storage(host, target, f"no answer within {deadline_s:.0f} s")
            left_s = max(LEAST_S, deadline_s - (time.monotonic() - began))
            found[place] = storage_trouble(host, target, environ, left_s)

    def reach(place: int) -> None:
        if not proxy_for(hosts[place].url, environ):
            _reach(hosts[place].url, deadline_s, reached[place])

    jobs = [(work, place) for place in range(len(hosts)) for work in (ask, reach)]
    threads = [threading.Thread(target=work, args=(place,), daemon=True) for work, place in jobs]
    for thread in threads:
        thread.start()
    until = time.monotonic() + deadline_s + GRACE_S
    for thread, (work, _) in zip(threads, jobs, strict=True):
        if work is ask:
            thread.join(max(0.0, until - time.monotonic()))
    checked = _by_the_clock(hosts, list(found))
    return [_only_ipv6_dead(*each) for each in zip(hosts, checked, reached, strict=True)]


def _by_the_clock(hosts: Sequence[Host], found: list[Trouble | None]) -> list[Trouble | None]:
    """Where no host's certificate is valid now, it is the clock and nothing else."""
    secured = [each for host, each in zip(hosts, found, strict=True) if host.url.startswith("https:")]
    if len(secured) < 2 or not all(each is not None and each.kind == kinds.CLOCK_WRONG for each in secured):
        return found
    return [replace(each, says=each.if_all) if each is not None and each.if_all else each for each in found]


def trouble_of(host: Host, environ: Mapping[str, str], deadline_s: float) -> Trouble | None:
    """Why a host does not serve, None when it does: of a hub what it says of a file, of any other any answer at all.

    Proxies are honoured, but for this machine itself.
    """
    return _front(host, environ, deadline_s)[0]


def _front(host: Host, environ: Mapping[str, str], deadline_s: float) -> tuple[Trouble | None, str]:
    """What is wrong with a host itself, and the address on another host that it sends on to."""

    def read(session: Session, answer: Response) -> tuple[Trouble | None, str]:
        again = lambda: _head(session, host, deadline_s, "")  # noqa: E731
        trouble = _of_hub(host, answer, again) if host.file else None
        target = redirect_of(answer) or ""
        return trouble, target if target and origin_of(target) != origin_of(host.url) else ""

    seen = _tried(host, environ, deadline_s, read)
    return (seen, "") if isinstance(seen, Trouble) else seen


def storage_trouble(host: Host, target: str, environ: Mapping[str, str], deadline_s: float) -> Trouble | None:
    """Why the host that `host` sends on to for its files gives none of them; None for any answer but a page's."""
    behind = Host(target, host.purpose, host.vital)

    def read(_: Session, answer: Response) -> str:
        page = answer.headers.get("Content-Type", "").startswith("text/html") and answer.status_code < 500
        return f"a page comes in place of the file ({answer.status_code})" if page else ""

    seen = _tried(behind, environ, deadline_s, read)
    if isinstance(seen, Trouble):
        return behind_of(host, behind, seen)
    return _storage(host, target, seen) if seen else None


def behind_of(host: Host, behind: Host, trouble: Trouble) -> Trouble:
    """What is wrong with a host behind another that answers, as the storage of that one."""
    if trouble.kind in (kinds.TLS_INTERCEPT, kinds.CLOCK_WRONG):
        return trouble
    return _storage(host, behind.url, trouble.reason or trouble.says.rstrip("."))


def _storage(host: Host, target: str, reason: str) -> Trouble:
    storage = host_of(target)
    site = site_of(host.name)
    names = ", ".join(dict.fromkeys((*(site.hosts if site else (host.name,)), storage)))
    says = f"{host.name} answers, and {storage}, where its files come from, cannot be reached: {reason}."
    allow = f"Have your network let these through (port {PORT}): {names}. All that are needed:"
    return Trouble(kinds.NET_STORAGE, says, Fix(allow, ours("check", "--hosts")))


def _tried(
    host: Host, environ: Mapping[str, str], deadline_s: float, read: Callable[[Session, Response], T]
) -> T | Trouble:
    """What is read of a host's answer to HEAD, or what kept it from answering."""
    import requests
    import urllib3

    try:
        with session_for(host.url, environ) as session, _head(session, host, deadline_s, host.token) as answer:
            return read(session, answer)
    except requests.exceptions.Timeout:
        return _silent(host, deadline_s)
    except (HubRefused, UsageError) as error:  # it redirects to what is no address, or is none itself
        return _down(host, error.message.rstrip("."))
    except NetworkError as error:  # a proxy that is not spoken to
        return Trouble(kinds.PROXY, error.message, as_fix(error.hint), reason=error.message.rstrip("."))
    except (OSError, ValueError, urllib3.exceptions.HTTPError) as error:  # RequestException is an OSError
        return _of_error(host, error, environ)


def _head(session: Session, host: Host, deadline_s: float, token: str) -> Response:
    headers = {"User-Agent": "provision", **({"Authorization": f"Bearer {token}"} if token else {})}
    url = host.file or host.url
    return session.head(url, headers=headers, auth=as_it_is, timeout=deadline_s, allow_redirects=False)


def _silent(host: Host, deadline_s: float) -> Trouble:
    return _down(host, f"no answer within {deadline_s:.0f} s")


def _down(host: Host, reason: str) -> Trouble:
    return _unreached(kinds.NET_DOWN, host, reason)


def _unreached(kind: Kind, host: Host, reason: str, fix: Fix | None = None) -> Trouble:
    return Trouble(kind, f"{host.name} cannot be reached: {reason}.", fix, reason=reason)


# -- what kept it from answering ----------------------------------------------------------------------------------


def _of_error(host: Host, error: Exception, environ: Mapping[str, str]) -> Trouble:
    import requests

    causes = _causes(error)
    if any(map(is_of_time, causes)):
        now = time.strftime("%d %B %Y, %H:%M")
        says = f"The certificate of {host.name} is not valid at the time that this computer shows, {now}"
        return Trouble(
            kinds.CLOCK_WRONG,
            f"{says}: the clock is wrong, or the certificate ran out.",
            clock_fix(),
            if_all=f"{says}: the clock is wrong.",
        )
    if any(isinstance(cause, ssl.SSLCertVerificationError) for cause in causes):
        given = environ.get("SSL_CERT_FILE")
        with_ = f" with SSL_CERT_FILE={given}" if given else ""
        says = f"The certificate of {host.name} is not trusted here{with_} ({_short(error)}): a company's proxy, or a"
        says = f"{says} program that inspects traffic, stands in between."
        return Trouble(kinds.TLS_INTERCEPT, says, certificate_fix())
    if isinstance(error, requests.exceptions.ProxyError) or any(map(is_dead_socks, causes)):
        proxy = host_of(proxy_for(host.url, environ))
        if REFUSED_BY_PROXY.search(str(error)):
            return _down(host, f"the proxy {proxy} refuses it ({_short(error)})")
        reason = f"the proxy {proxy} does not answer ({_short(error)})"
        return _unreached(kinds.PROXY, host, reason, Fix("Check HTTPS_PROXY, or name the host in NO_PROXY."))
    if wrong := _wrong_proxy(host, environ):
        return wrong
    text = str(error)
    if isinstance(error, requests.exceptions.SSLError):
        return _down(host, f"TLS fails ({_short(error)})")
    if "NameResolution" in text or "Name or service not known" in text or "nodename nor servname" in text:
        return _down(host, "its name cannot be resolved")
    return _down(host, f"no connection ({_short(error)})")


def _wrong_proxy(host: Host, environ: Mapping[str, str]) -> Trouble | None:
    """A proxy that is no address. It is not shown: what is wrong in it may be its password."""
    proxy = proxy_for(host.url, environ)
    try:
        parts = urlsplit(proxy)
        right = not proxy or bool(parts.hostname and (parts.port is None or parts.port))
    except ValueError:
        right = False
    if right:
        return None
    reason = f"{_who_names(proxy, environ)} is no address of a proxy"
    return _unreached(kinds.PROXY, host, reason, Fix("As in: export HTTPS_PROXY=http://HOST:PORT"))


def _who_names(proxy: str, environ: Mapping[str, str]) -> str:
    """The variable that holds a proxy, or the settings of the system."""
    given = {name: value for name, value in environ.items() if name.lower().endswith("_proxy") and value}
    names = [name for name, value in given.items() if proxy.endswith(value.rpartition("://")[2])]
    return next(iter(sorted(names)), "the proxy of the system's settings")


def _causes(error: BaseException | None) -> list[BaseException]:
    """An error and all that it was made of; requests keeps urllib3's in `args`, and that one its own in `reason`."""
    found: list[BaseException] = []
    while error is not None and error not in found:
        found.append(error)
        inner = error.args[0] if error.args and isinstance(error.args[0], BaseException) else None
        reason = getattr(error, "reason", None)
        error = reason if isinstance(reason, BaseException) else inner or error.__cause__ or error.__context__
    return found


def _short(error: Exception) -> str:
    reason = getattr(error.args[0], "reason", None) if error.args else None
    text = re.sub(r" \(_ssl\.c:\d+\)", "", str(reason or error))
    return quoted(text.rpartition(": ")[2].strip("()'\"> "), 120) or type(error).__name__


# -- IPv6 that leads nowhere --------------------------------------------------------------------------------------


def _reach(url: str, deadline_s: float, reached: dict[str, bool]) -> None:
    """Try one address of each family at the same time: True where it opens, False where nothing comes back.

    A machine without IPv6 is told so at once by its own system, and loses nothing: that is no entry.
    """
    try:
        asked = read_address(url)
        found = socket.getaddrinfo(asked.host, asked.port, type=socket.SOCK_STREAM)
    except (OSError, ValueError):  # NoAddress is a ValueError, and so is a name that cannot be encoded
        return
    first = {int(family): at for family, _, _, _, at in reversed(found)}
    names: dict[int, str] = {socket.AF_INET: "IPv4", socket.AF_INET6: "IPv6"}
    if not all(family in first for family in names):
        return

    def connect(family: int) -> None:
        with socket.socket(family, socket.SOCK_STREAM) as trial:
            trial.settimeout(deadline_s * FAMILY_SHARE)
            code = trial.connect_ex(first[family])
        if code in (0, errno.EAGAIN, errno.ETIMEDOUT):
            reached[names[family]] = code == 0

    for family in names:
        threading.Thread(target=connect, args=(family,), daemon=True).start()


def _only_ipv6_dead(host: Host, trouble: Trouble | None, reached: Mapping[str, bool]) -> Trouble | None:
    """An address that nobody answers at, before one that works: it is slow, and not out of reach."""
    dead = reached.get("IPv4") is True and reached.get("IPv6") is False
    if not dead or (trouble is not None and trouble.kind != kinds.NET_DOWN):
        return trouble
    says = f"{host.name} does not answer over IPv6 and does over IPv4: downloads begin late, or seem to hang."
    fix = Fix("Turn IPv6 off, or ask who runs the network. On a Mac:", program("networksetup", "-setv6off", "Wi-Fi"))
    return Trouble(kinds.IPV6_DEAD, says, fix, passes=True)


# -- what a hub says ----------------------------------------------------------------------------------------------


def _of_hub(host: Host, answer: Response, without_token: Callable[[], Response]) -> Trouble | None:
    """What a hub's answer about a file means, where it is none that a download begins with.

    A missing repository or file is left to the download, whose words are better.
    """
    status, page = answer.status_code, f"{host.url}"
    gated = answer.headers.get("X-Error-Code") == "GatedRepo"
    if host.lack is not None and (gated or status == 401):
        says = f"{host.name} does not give the model to who sends no token ({status}), and none is sent"
        return Trouble(kinds.HF_GATED, f"{says}: {host.lack.lack}.", host.lack.fix)
    if gated:
        says = f"{host.name} gives the model only to accounts that accepted its terms ({status})."
        return Trouble(
            kinds.HF_GATED, says, Fix(f"Accept them on its page at {page}, then:", program("hf", "auth", "login"))
        )
    if status == 401 and host.token:
        with without_token() as plain:
            works = plain.status_code < 400
        goes_on = "; the model is public, and is fetched without it" if works else ""
        says = f"{host.name} does not accept the Hugging Face token (401){goes_on}."
        return Trouble(kinds.HF_BADTOKEN, says, Fix("Make a new one.", program("hf", "auth", "login")), passes=works)
    if status == 429:
        return _limited(host, answer)
    target = redirect_of(answer)
    moved = target is not None and origin_of(target) == origin_of(host.url)
    if status >= 400 or moved or COMMIT.fullmatch(answer.headers.get("X-Repo-Commit", "")):
        return None
    what = f"sends on to {host_of(target)}" if target else f"answers {status}"
    if origin_of(host.url) == origin_of(HUGGING_FACE):
        says = f"{host.name} {what}, and not as the hub does: a login page of this network stands in between."
        return Trouble(
            kinds.CAPTIVE, says, Fix("Open any page in a browser, and log in to the network.", program("open", page))
        )
    says = f"{host.name} {what}, and not as a hub does (no X-Repo-Commit): HF_ENDPOINT or --endpoint names no hub."
    return Trouble(kinds.HF_ENDPOINT, says, Fix("Do without it.", program("unset", "HF_ENDPOINT")))


def _limited(host: Host, answer: Response) -> Trouble:
    wait_s = asked_wait_s(answer.headers)
    when = f"Downloads wait {f'for {wait_s:.0f} s' if wait_s else 'until it answers'}."
    if host.token:
        says = f"{host.name} has had too many requests from your account (429)"
        return Trouble(kinds.HF_429, f"{says}. {when}", passes=True)
    whose = "this network's address (429): all computers behind it share that limit"
    says = f"{host.name} has had too many requests from {whose}"
    fix = Fix("With a token your account's own, higher limit counts.", program("hf", "auth", "login"))
    return Trouble(kinds.HF_429, f"{says}. {when}", fix, passes=True)
