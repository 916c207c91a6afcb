"""Which proxy stands between this computer and an address: as the environment names it, on a Mac as System Settings do.

`HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY` are understood as curl and Python understand them, in small
letters too, with http and SOCKS proxies. What System Settings hold is read once, with `scutil --proxy`, when the first
request or child asks, and stands in the environment, so that all that is started here goes by it as well.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from threading import RLock
from urllib.parse import unquote, urlsplit
from urllib.request import proxy_bypass_environment as bypassed  # type: ignore[attr-defined]

from provision.system.address import NoAddress, read_address
from provision.system.machine import LOOPBACK, Machine

SCUTIL = ("/usr/sbin/scutil", "--proxy")
ASKED_S = 5
NAMES = ("http", "https", "all")
LOOKED_FOR = frozenset(f"{name}_proxy" for name in (*NAMES, "no"))
SPOKEN = ("http", "socks4", "socks4a", "socks5", "socks5h")
OWN = ("localhost", LOOPBACK, "::1")
"""This computer itself, to which nobody needs a proxy."""
KINDS = {"HTTP": ("HTTP_PROXY", "http"), "HTTPS": ("HTTPS_PROXY", "http"), "SOCKS": ("ALL_PROXY", "socks5h")}
"""scutil's name of a kind, the variable for it and the scheme: what macOS means by HTTPS is a proxy for https."""


def proxy_for(url: str, environ: Mapping[str, str]) -> str:
    """The proxy that the environment names for an address, empty for none; never for this machine itself."""
    try:
        asked = read_address(url)
    except NoAddress:
        return ""
    if asked.loopback:
        return ""

    def named(kind: str) -> str:
        # HTTP_PROXY in capitals is as good here: no web server's headers can be in our environment.
        return environ.get(f"{kind}_proxy") or environ.get(f"{kind}_proxy".upper()) or ""

    found = named(asked.scheme) or named("all")
    if not found or bypassed(asked.netloc, {"no": named("no")}):
        return ""
    found = found if "://" in found else f"http://{found}"
    return re.sub(r"^socks://", "socks5://", found)  # as GNOME writes it


def unspoken(proxy: str) -> str:
    """The kind of a proxy that is none of those that are spoken to, as `https`; empty for one that is."""
    scheme = proxy.partition("://")[0].lower() if proxy else "http"
    return "" if scheme in SPOKEN else scheme


def is_socks(proxy: str) -> bool:
    """Whether a proxy speaks SOCKS."""
    return proxy.lower().startswith("socks")


def is_dead_socks(error: BaseException) -> bool:
    """Whether a SOCKS proxy itself does not serve; a host that one cannot reach is another matter."""
    import socks

    if not isinstance(error, socks.ProxyError):
        return False
    said = (socks.SOCKS4Error, socks.SOCKS5Error)  # by the proxy; PySocks wraps them once more
    return not any(isinstance(each, said) for each in (error, error.socket_err))


def credentials_of(proxy: str) -> tuple[str, str] | None:
    """The name and the password in a proxy's address; None where there is none."""
    parts = urlsplit(proxy)
    return (unquote(parts.username), unquote(parts.password or "")) if parts.username else None


def with_system_proxies(machine: Machine) -> Mapping[str, str]:
    """The machine's environment, with the proxies of System Settings where it names none itself.

    Programs that are started with it ask no proxy for this computer itself: uv and git would.
    """
    given = machine.environ
    if any(given.get(name) for kind in NAMES for name in _both(f"{kind}_proxy")):
        return _merged(given, {"NO_PROXY": ",".join(OWN)})
    return _WithSettings(machine) if machine.system == "Darwin" else given


class _WithSettings(Mapping[str, str]):
    """An environment that asks System Settings when a proxy, or all of it, is first looked at."""

    def __init__(self, machine: Machine) -> None:
        self._machine, self._given = machine, machine.environ
        self._whole: Mapping[str, str] | None = None
        self._asking = RLock()  # held again by scutil's own start, which is given what was there before

    def __getitem__(self, name: str) -> str:
        return (self._asked() if name.lower() in LOOKED_FOR else self._given)[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._asked())

    def __len__(self) -> int:
        return len(self._asked())

    def _asked(self) -> Mapping[str, str]:
        with self._asking:
            if self._whole is None:
                self._whole = self._given
                self._whole = _merged(self._given, parse_scutil_proxy(self._machine.said(SCUTIL, timeout_s=ASKED_S)))
            return self._whole


def _merged(given: Mapping[str, str], found: Mapping[str, str]) -> Mapping[str, str]:
    if not found:
        return given
    mine = given.get("no_proxy") or given.get("NO_PROXY") or ""
    listed = ",".join(dict.fromkeys([*mine.split(","), *found["NO_PROXY"].split(",")])).strip(",")
    exceptions = mine if mine.strip() == "*" else listed  # which means all hosts only where it stands alone
    both = {name: value for key, value in found.items() for name in _both(key)}
    return {**given, **both, "NO_PROXY": exceptions, "no_proxy": exceptions}


def _both(name: str) -> tuple[str, str]:
    """A variable in small letters, which curl asks for, and in capitals."""
    return name.lower(), name.upper()


def parse_scutil_proxy(out: str) -> dict[str, str]:
    """What `scutil --proxy` says as the variables of the environment; empty where no proxy is on."""
    values = dict(re.findall(r"(?m)^  (\w+) : (\S+)$", out))
    found = {
        name: f"{scheme}://{values[f'{kind}Proxy']}:{values[f'{kind}Port']}"
        for kind, (name, scheme) in KINDS.items()
        if values.get(f"{kind}Enable") == "1" and f"{kind}Proxy" in values and f"{kind}Port" in values
    }
    listed = re.search(r"(?ms)^  ExceptionsList : <array> \{\n(.*?)^  \}", out)
    exceptions = re.findall(r"(?m)^    \d+ : (\S+)$", listed[1]) if listed else []
    return found and {**found, "NO_PROXY": ",".join([*OWN, *map(_exception, exceptions)])}


def parse_scutil_script(out: str) -> str:
    """The address of the script (PAC) by which `scutil --proxy` says that proxies are chosen; empty for none."""
    values: dict[str, str] = dict(re.findall(r"(?m)^  (\w+) : (\S+)$", out))
    if values.get("ProxyAutoConfigEnable") == "1":
        return values.get("ProxyAutoConfigURLString", "a script")
    return "one that the network names (WPAD)" if values.get("ProxyAutoDiscoveryEnable") == "1" else ""


def _exception(text: str) -> str:
    """`*.local` as `.local`, `169.254/16` as `169.254.0.0/16`."""
    if found := re.fullmatch(r"([\d.]+)/(\d+)", text):
        return ".".join([*found[1].split("."), "0", "0", "0"][:4]) + f"/{found[2]}"
    return text.removeprefix("*")
