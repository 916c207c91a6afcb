"""The one parser of http addresses.

What a server names (a redirect, the next page, a storage) is parsed here before any library sees it: each library
fails in its own way on an invalid address, and two of them may find different hosts in one text.
"""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import ip_address
from urllib.parse import unquote, urljoin, urlsplit

ADDRESS_MAX = 8192
"""Characters: a signed address of the hub's storage has about 1,500; servers take 8 kB."""
HOST_MAX = 253
LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
"""One part of a host's name (RFC 1035, with the underscore that some have)."""
DEFAULT_PORTS = {"http": 80, "https": 443}
NUMBER_DIGITS = 18
SHOWN_MAX = 80
CREDENTIALS = re.compile(r"[^\s/'\"@:]+:[^\s/'\"@]*@")


class NoAddress(ValueError):
    """The text is not an http address; the message says why, and follows "because"."""


@dataclass(frozen=True, slots=True)
class Url:
    """An address in its parts; `target` is path and query, as a request names them."""

    scheme: str
    host: str
    port: int
    target: str

    @property
    def origin(self) -> tuple[str, str, int]:
        """Scheme, host and port: what two addresses must share for a token to go to both (RFC 6454)."""
        return self.scheme, self.host, self.port

    @property
    def netloc(self) -> str:
        """Host and port as they stand in an address; the usual port is left out."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def url(self) -> str:
        """The address, in the one spelling that every library reads alike."""
        return f"{self.scheme}://{self.netloc}{self.target}"

    @property
    def loopback(self) -> bool:
        """Whether it is this machine."""
        with suppress(ValueError):
            return self.host == "localhost" or ip_address(self.host).is_loopback
        return False


@lru_cache(maxsize=256)
def read_address(text: str) -> Url:
    """An http or https address. Raises NoAddress."""
    _check_letters(text)
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as error:  # an open bracket, an invalid port
        raise NoAddress("its port is invalid" if "ort" in str(error) else "its host is invalid") from error
    if parts.scheme not in DEFAULT_PORTS:
        raise NoAddress("it does not begin with http:// or https://")
    if port == 0:
        raise NoAddress("its port is invalid")
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    if not target.isascii():
        raise NoAddress("it contains invalid characters")
    return Url(parts.scheme, _host(parts.hostname or ""), port or DEFAULT_PORTS[parts.scheme], target)


def read_redirect(base: str, text: str) -> Url:
    """Where a server redirects to from `base`.

    Raises NoAddress, also for an address with credentials, and from https to http unless both are on this machine.
    """
    if not text:
        raise NoAddress("it is empty")
    _check_letters(text)  # urljoin would take some of them away
    here = read_address(base)
    try:
        joined = urljoin(here.url, text)
    except ValueError as error:
        raise NoAddress("its host is invalid") from error
    there = read_address(joined)
    if "@" in urlsplit(joined).netloc:
        raise NoAddress("it holds a user name or a password")
    if (here.scheme, there.scheme) == ("https", "http") and not (here.loopback and there.loopback):
        raise NoAddress("it goes from https to http, which is not secure")
    return there


def file_name_of(link: str) -> str:
    """The last name in a link's path, decoded; may be empty."""
    try:
        return unquote(urlsplit(link).path).rpartition("/")[2]
    except ValueError:
        return ""


def natural(text: str) -> int | None:
    """A header's natural number; None where it is not one that a file or a time can have."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= NUMBER_DIGITS else None


def quoted(text: str, most: int = SHOWN_MAX) -> str:
    """Text from outside for a sentence of ours: its beginning, with unprintable characters escaped.

    A name and a password before a host, as a library repeats them of a proxy, are left out.
    """
    text = CREDENTIALS.sub("...@", text)
    shown = "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text[:most])
    return shown + ("..." if len(text) > most else "")


def _check_letters(text: str) -> None:
    if len(text) > ADDRESS_MAX:
        raise NoAddress(f"it is {len(text):,} characters long")
    if not text.isprintable() or " " in text or "\\" in text:
        raise NoAddress("it contains invalid characters")


def _host(name: str) -> str:
    if ":" in name:
        try:
            return str(ip_address(name))
        except ValueError as error:
            raise NoAddress("its host is invalid") from error
    with suppress(UnicodeError):
        host = name if name.isascii() else name.encode("idna").decode()
        if len(host) <= HOST_MAX and all(map(LABEL.fullmatch, host.removesuffix(".").split("."))):
            return host
    raise NoAddress("its host is invalid")
