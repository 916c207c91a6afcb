"""HTTP requests as the downloads need them: redirects in sight, the token kept at home, failures as sentences."""

from __future__ import annotations

import re
import socket
import ssl
from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

from provision.command import Fix, ours, program
from provision.core.step import Context
from provision.download.backend import Address
from provision.download.retry import CONNECT_TIMEOUT_S
from provision.errors import HubRefused, NetworkError, Passing, ProvisionError, UsageError, lasting
from provision.system.address import NoAddress, Url, quoted, read_address, read_redirect
from provision.system.bounded_http import bounded_session
from provision.system.proxies import is_dead_socks, proxy_for, unspoken
from provision.system.tls import certificate_fix, clock_fix, is_of_time, trusted

if TYPE_CHECKING:
    from requests import PreparedRequest, Response, Session

READ_TIMEOUT_S = 30
REDIRECTS_MAX = 8
KNOWN_NAMES = ("huggingface.co", "github.com")
REFUSED_BY_PROXY = re.compile(r"Tunnel connection failed: 4\d\d")

RESUME = Fix("Run the same command again: the download resumes.")


class Heading(Protocol):
    """What is known of a response before its body, whichever library brought it."""

    @property
    def status_code(self) -> int: ...

    @property
    def url(self) -> str: ...

    @property
    def headers(self) -> Mapping[str, str]: ...


def origin_of(url: str) -> tuple[str, str, int]:
    """Scheme, host and port: what two addresses must share for a token to go to both. Raises UsageError."""
    return place_of(url).origin


def place_of(url: str) -> Url:
    """An address that a person gave, in its parts. Raises UsageError where it is none."""
    try:
        return read_address(url)
    except NoAddress as error:
        raise no_address(url) from error


def host_of(url: str) -> str:
    """The host as a person names it, without the query in which signatures stand; of no address, what stands there."""
    try:
        return read_address(url).netloc
    except NoAddress:
        return quoted((url.partition("://")[2] or url).partition("/")[0].rpartition("@")[2])


def ask(
    ctx: Context,
    method: str,
    address: Address,
    *,
    extra: Mapping[str, str] | None = None,
    own: bool = False,
    body_s: float | None = None,
) -> Response:
    """One request, its body not yet read, no redirect followed; head and body come to an end in time.

    `body_s`: the seconds that a body may take which is not small.
    `own`: with what the person has for that host in the address or in ~/.netrc, as for a package index.
    Raises NetworkError, or UsageError for an address that is none.
    """
    import urllib3

    try:
        return session_for(address.url, ctx.machine.environ, body_s).request(
            method,
            address.url,
            headers={"Accept-Encoding": "identity", "User-Agent": "provision", **address.headers, **(extra or {})},
            auth=_own_credentials(address.url) if own else as_it_is,
            allow_redirects=False,
            stream=True,
            timeout=(CONNECT_TIMEOUT_S, READ_TIMEOUT_S),
        )
    except (OSError, ValueError, urllib3.exceptions.HTTPError) as error:
        # RequestException is an OSError, and so is a bundle of certificates that is not there; the others come
        # of a proxy whose name is none.
        raise unreachable(address.url, error) from error


def _own_credentials(url: str) -> tuple[str, str] | None:
    """What ~/.netrc has for the host; what stands in the address itself comes before it."""
    from requests.utils import get_netrc_auth

    return None if "@" in url.partition("://")[2].partition("/")[0] else get_netrc_auth(url)


def session_for(url: str, environ: Mapping[str, str], body_s: float | None = None) -> Session:
    """A session for requests to one host: never through a proxy to this machine, trusting whom the system trusts.

    Raises UsageError for an address that is none, NetworkError for a proxy that is not spoken to, OSError.
    """
    session = bounded_session(body_s, tls=trusted(environ) if place_of(url).scheme == "https" else None)
    session.trust_env = False
    if proxy := proxy_for(url, environ):
        if kind := unspoken(proxy):
            says = f"The proxy for {host_of(url)} is named with {kind}://; this tool speaks http:// and socks5://."
            hint = Fix("Most proxies take one of these, as in:", program("export", "HTTPS_PROXY=http://HOST:PORT"))
            raise lasting(NetworkError(says, hint=hint))
        session.proxies = {place_of(url).scheme: proxy}
    return session


def fetch(
    ctx: Context,
    address: Address,
    *,
    extra: Mapping[str, str] | None = None,
    own: bool = False,
    body_s: float | None = None,
) -> Response:
    """GET, redirects followed; the token does not leave the origin of `address`. Raises HubRefused, and as `ask`."""
    for _ in range(REDIRECTS_MAX):
        response = ask(ctx, "GET", address, extra=extra, own=own, body_s=body_s)
        target = redirect_of(response)
        if target is None:
            return response
        response.close()
        address = moved(address, target)
    raise redirect_loop(address.url)


def moved(address: Address, target: str) -> Address:
    """Where a redirect leads to; the token does not leave the origin of `address`."""
    return Address(target, address.headers if origin_of(target) == origin_of(address.url) else {})


def redirect_of(response: Heading) -> str | None:
    """Where a response sends us on to, None when it does not. Raises HubRefused for what is no address."""
    if response.status_code not in (301, 302, 303, 307, 308) or "Location" not in response.headers:
        return None
    return address_from(response.url, response.headers["Location"])


def address_from(base: str, text: str) -> str:
    """An address that the server at `base` named. Raises HubRefused for what is none, and for http after https."""
    try:
        return read_redirect(base, text).url
    except NoAddress as error:
        raise HubRefused(
            f"{host_of(base)} redirects to {quoted(text) or 'nowhere'}, which is not usable: {error}.",
            hint=Fix(
                "A proxy may be in the way: try another network; if HF_ENDPOINT is set, unset it, then run the "
                "command again."
            ),
        ) from error


def redirect_loop(url: str) -> HubRefused:
    return HubRefused(
        f"{host_of(url)} redirects in a circle.",
        hint=Fix(
            "Log in to this network if it has a login page; if HF_ENDPOINT is set, unset it, then run "
            "the command again."
        ),
    )


def is_loopback(url: str) -> bool:
    """Whether an address is this machine's own."""
    try:
        return read_address(url).loopback
    except NoAddress:
        return False


def unreachable(url: str, error: Exception) -> ProvisionError:
    """What kept a request from its answer, as an error to raise."""
    from requests import exceptions as of

    if isinstance(error, (of.InvalidURL, of.MissingSchema, of.InvalidSchema)):
        return no_address(url)
    tls, proxy, late = (isinstance(error, kind) for kind in (of.SSLError, of.ProxyError, of.Timeout))
    proxy = proxy or any(map(is_dead_socks, _causes(error)))
    return _no_answer(host_of(url), error, tls=tls, proxy=proxy, late=late)


def not_reached(url: str, error: Exception, *, proxied: bool = False) -> NetworkError:
    """The same for the standard library's errors."""
    tls, late = isinstance(error, ssl.SSLError), isinstance(error, TimeoutError)
    return _no_answer(host_of(url), error, tls=tls, proxy=proxied, late=late)


def _no_answer(host: str, error: Exception, *, tls: bool, proxy: bool, late: bool) -> NetworkError:
    inner = _causes(error)[-1]
    why = _in_words(inner)
    if is_of_time(inner):
        return lasting(
            NetworkError(
                f"The certificate of {host} is not valid at this computer's current time ({why}).",
                hint=clock_fix(),
            )
        )
    if isinstance(inner, ssl.SSLCertVerificationError):
        return lasting(NetworkError(f"The certificate of {host} cannot be verified ({why}).", hint=certificate_fix()))
    if tls:
        broke = isinstance(inner, (ssl.SSLEOFError, ssl.SSLZeroReturnError, ConnectionError))
        return NetworkError(
            f"No TLS connection to {host} ({why}).", hint=RESUME, passing=None if broke else Passing.ANSWER
        )
    if proxy:
        refused = REFUSED_BY_PROXY.search(str(inner)) is not None
        does = "refuses it" if refused else "does not answer"
        return NetworkError(
            f"The proxy for {host} {does} ({why}).",
            hint=Fix("Check HTTPS_PROXY, or name the host in NO_PROXY, then run the same command again."),
            passing=Passing.ANSWER if refused else None,
        )
    return NetworkError(
        f"{host} did not answer in time." if late else f"{host} cannot be reached ({why}).",
        hint=Fix("Check the network, then run the same command again: the download resumes."),
        passing=Passing.NAME if unknown_name(inner) else None,
    )


def unknown_name(error: BaseException) -> bool:
    """Whether the resolver knows no such host, and does know others: a Mac that is offline says so of all."""
    if not isinstance(error, socket.gaierror) or error.errno != socket.EAI_NONAME:
        return False
    return any(map(_resolves, KNOWN_NAMES))


def _resolves(name: str) -> bool:
    try:
        return bool(socket.getaddrinfo(name, 443))
    except OSError:
        return False


def silent_middle(url: str, seconds: float) -> NetworkError:
    """An answer that stopped in its middle without an end."""
    return NetworkError(f"{host_of(url)} has sent nothing for {seconds:.0f} s.", hint=RESUME)


def broken(url: str, error: Exception) -> NetworkError:
    """What ended an answer in its middle."""
    return NetworkError(f"The connection to {host_of(url)} broke ({_in_words(_causes(error)[-1])}).", hint=RESUME)


def no_address(url: str) -> UsageError:
    return UsageError(
        f"'{quoted(url.partition('?')[0])}' is not an http or https address.",
        hint=ours("all", under=("env", "HF_ENDPOINT=https://huggingface.co")),
    )


def as_it_is(request: PreparedRequest) -> PreparedRequest:
    """An `auth` that adds nothing: without one, requests takes credentials from ~/.netrc."""
    return request


def _causes(error: BaseException) -> list[BaseException]:
    """An error, and what it was made of; the libraries' own say where, and the last says why."""
    found = [error]
    while (inner := found[-1].__cause__ or found[-1].__context__) is not None:
        found.append(inner)
    return found


def _in_words(error: BaseException) -> str:
    strerror = getattr(error, "strerror", None)
    return quoted(str(strerror or error).rstrip(".").partition("\n")[0], 200) or type(error).__name__
