"""Connections for the bytes themselves: the standard library's HTTP, kept alive, read straight into a buffer.

Proxies and certificates are taken from the environment (see `system/proxies.py`, `system/tls.py`).
"""

from __future__ import annotations

import base64
import http.client
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Self
from urllib.parse import urlsplit

from provision.download.backend import Address
from provision.download.retry import CONNECT_TIMEOUT_S
from provision.download.web import REDIRECTS_MAX, moved, origin_of, place_of, redirect_loop, redirect_of
from provision.system.bounded_http import BoundedResponse
from provision.system.proxies import credentials_of, is_socks, proxy_for
from provision.system.tls import trusted

FIRST_TRY_S = 1.0
"""An address that has not answered after so long gets its turn again after the others: IPv6 may lead nowhere."""
TICK_S = 0.2
"""How long a read waits at most before the reader looks around."""
SOCKS_PORT = 1080
FIRST_READ_BYTES = 1 << 16
"""How much is read at first; then as much as comes within a tick, so that slow bytes are not held back."""


class Fields(dict[str, str]):
    """Header fields; their names are found in any case."""

    def __init__(self, message: http.client.HTTPMessage) -> None:
        super().__init__((name.lower(), str(value)) for name, value in reversed(message.items()))

    def __getitem__(self, name: str) -> str:
        return super().__getitem__(name.lower())

    def __contains__(self, name: object) -> bool:
        return super().__contains__(str(name).lower())

    def get(self, name: str, default: str = "") -> str:  # type: ignore[override]
        return super().get(name.lower(), default)


class Dialer:
    """Opens connections for one download: what was found out for one holds for the next. For all threads."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self._lock = threading.Lock()
        self._tls: ssl.SSLContext | None = None
        self._reached: dict[tuple[str, int], str] = {}

    def connection(self, url: str) -> tuple[http.client.HTTPConnection, str]:
        """A connection, not yet open, and what stands before a path in its requests.

        Raises OSError (ssl.SSLError is one) for certificates that cannot be read.
        """
        asked = place_of(url)
        proxy = proxy_for(url, self._environ)
        through = partial(_through_socks, proxy) if is_socks(proxy) else self.dial
        via = urlsplit(proxy) if proxy and not is_socks(proxy) else None
        if via and via.scheme != "http":
            raise OSError(f"proxies of the kind {via.scheme}:// are not supported")
        at = (via.hostname or "", via.port or 8080) if via else (asked.host, asked.port)
        credentials = _proxy_credentials(proxy) if via else {}
        opened: http.client.HTTPConnection
        if asked.scheme == "https":
            opened = http.client.HTTPSConnection(*at, timeout=CONNECT_TIMEOUT_S, context=self._context())
            if via:
                opened.set_tunnel(asked.host, asked.port, headers=credentials)
        else:
            opened = http.client.HTTPConnection(*at, timeout=CONNECT_TIMEOUT_S)
        opened.response_class = BoundedResponse
        # The one hook for how a connection is made; the public way would be to write `connect` anew.
        setattr(opened, "_create_connection", through)  # noqa: B010
        return opened, f"http://{asked.netloc}" if via and asked.scheme == "http" else ""

    def proxied(self, url: str) -> bool:
        """Whether a proxy stands between."""
        return bool(proxy_for(url, self._environ))

    def proxy_headers(self, url: str) -> dict[str, str]:
        """What a request through a proxy must carry: with https it is the tunnel's business."""
        proxy = proxy_for(url, self._environ)
        plain = proxy and not is_socks(proxy) and place_of(url).scheme == "http"
        return _proxy_credentials(proxy) if plain else {}

    def dial(self, at: tuple[str, int], timeout: float = CONNECT_TIMEOUT_S, source: object = None) -> socket.socket:
        """Connect to one of a host's addresses, families in turn, a second each, then with patience.

        Raises OSError, that of the last address.
        """
        found = in_turn([info[4][0] for info in socket.getaddrinfo(*at, type=socket.SOCK_STREAM)])
        known = self._reached.get(at)
        addresses = sorted(dict.fromkeys(map(str, found)), key=lambda address: address != known)
        tries = [(address, FIRST_TRY_S) for address in addresses[:-1]] + [(addresses[-1], timeout)]
        tries += [(address, timeout) for address in addresses[:-1]]
        problem: OSError | None = None
        for address, patience_s in tries:
            try:
                connected = socket.create_connection((address, at[1]), timeout=patience_s)
            except OSError as error:
                problem = error
                continue
            self._reached[at] = address
            return connected
        raise problem or OSError(f"{at[0]} has no address")

    def _context(self) -> ssl.SSLContext:
        with self._lock:
            if self._tls is None:
                self._tls = trusted(self._environ)
            return self._tls


class Line:
    """One connection, kept alive from request to request, of one thread."""

    def __init__(self, dialer: Dialer, *, patience_s: float) -> None:
        self._dialer = dialer
        self._patience_s = patience_s
        self._open: tuple[http.client.HTTPConnection, str] | None = None
        self._origin: tuple[str, str, int] | None = None
        self._socket: socket.socket | None = None

    def get(self, address: Address, extra: Mapping[str, str]) -> Answer:
        """GET, redirects followed; the token does not leave the origin of `address`.

        Raises OSError, http.client.HTTPException or ValueError when the server cannot be reached or is not understood,
        HubRefused for redirects in a circle.
        """
        for _ in range(REDIRECTS_MAX):
            answer = self._ask(address, extra)
            target = redirect_of(answer)
            if target is None:
                return answer
            self.close()  # with the body of the redirect
            address = moved(address, target)
        raise redirect_loop(address.url)

    def proxied(self, url: str) -> bool:
        """Whether a proxy stands between."""
        return self._dialer.proxied(url)

    def close(self) -> None:
        """Hang up."""
        if self._open is not None:
            self._open[0].close()
        self._open = self._origin = self._socket = None

    def _ask(self, address: Address, extra: Mapping[str, str]) -> Answer:
        if self._origin == origin_of(address.url):
            try:
                return self._exchange(address, extra)
            except (ConnectionError, http.client.BadStatusLine):
                pass  # a kept connection may be gone by now; a fresh one tells whether more is wrong
        self.close()
        try:
            self._open = self._dialer.connection(address.url)
            self._open[0].connect()
            self._socket = self._open[0].sock
            self._origin = origin_of(address.url)
            return self._exchange(address, extra)
        except BaseException:
            self.close()
            raise

    def _exchange(self, address: Address, extra: Mapping[str, str]) -> Answer:
        assert self._open is not None
        assert self._socket is not None
        opened, before = self._open
        self._socket.settimeout(self._patience_s)
        path = place_of(address.url).target
        fixed = {"Accept-Encoding": "identity", "User-Agent": "provision", **self._dialer.proxy_headers(address.url)}
        opened.request("GET", before + path, headers={**fixed, **address.headers, **extra})
        response = opened.getresponse()
        assert isinstance(response, BoundedResponse)
        return Answer(response, self._socket, address, self._patience_s)


class Answer:
    """A response whose body is read into a buffer; `address` is where it came from, after all redirects."""

    def __init__(
        self, response: BoundedResponse, connected: socket.socket, address: Address, patience_s: float
    ) -> None:
        self.status_code = response.status
        self.headers: Mapping[str, str] = Fields(response.headers)
        self.address = address
        self.url = address.url
        self._response = response
        self._socket, self._patience_s = connected, patience_s
        self._at_once = FIRST_READ_BYTES
        self._left = response.length  # None: until the connection ends, or in chunks
        self._read: Callable[[memoryview], int] | None = None
        self._early = memoryview(b"")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._response.close()

    @property
    def over(self) -> bool:
        """Whether the whole body was read, so that the connection can be used again."""
        return self._left == 0 and not self._response.will_close

    def fill(self, view: memoryview) -> int:
        """Read into the buffer until it is full, the body ends, or nothing more comes for a moment.

        Returns how many bytes came, 0 when none did. Raises EOFError at the end of the body (also one that comes
        before its length says so), OSError or http.client.HTTPException when the connection breaks.
        """
        if self._left == 0:
            raise EOFError
        if self._left is None:
            return self._piece(view[:FIRST_READ_BYTES])
        view = view[: min(self._left, self._at_once)]
        if self._read is None:
            # What came with the head lies in the response's own buffer; the rest is read past it.
            self._early = memoryview(self._response.read1(FIRST_READ_BYTES))
            if not self._early:
                raise EOFError
            self._read = straight(self._socket)
        if self._early:
            count = min(len(self._early), len(view))
            view[:count] = self._early[:count]
            self._early = self._early[count:]
        else:
            began = time.monotonic()
            count = self._read(view)
            slow = time.monotonic() - began > TICK_S / 2
            self._at_once = max(FIRST_READ_BYTES, self._at_once // 2 if slow else 2 * len(view))
        self._left -= count
        if self._left == 0:
            self._response.close()
        return count

    def _piece(self, view: memoryview) -> int:
        self._response.within(self._patience_s)  # what stands between two pieces may be dripped without end
        piece = self._response.read1(len(view))
        if not piece:
            raise EOFError
        view[: len(piece)] = piece
        return len(piece)


def straight(connected: socket.socket) -> Callable[[memoryview], int]:
    """How a socket is best read into a buffer; 0 when nothing came for a moment, EOFError at its end."""
    if isinstance(connected, ssl.SSLSocket):
        connected.settimeout(TICK_S)
        return lambda view: _fill_tls(connected, view)
    # The kernel waits for a full buffer, and for no longer than a moment: far fewer calls.
    connected.settimeout(None)
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("@ll", 0, int(TICK_S * 1e6)))
    return lambda view: _fill_plain(connected, view)


def _fill_plain(connected: socket.socket, view: memoryview) -> int:
    try:
        count = connected.recv_into(view, len(view), socket.MSG_WAITALL)
    except BlockingIOError:
        return 0
    if not count:
        raise EOFError
    return count


def _fill_tls(connected: ssl.SSLSocket, view: memoryview) -> int:
    """A TLS record holds at most 16 KiB: several are gathered."""
    filled = 0
    while filled < len(view):
        try:
            count = connected.recv_into(view[filled:])
        except TimeoutError:
            return filled
        except OSError:
            if filled:
                return filled  # the next read meets the error again
            raise
        if not count:
            if filled:
                return filled
            raise EOFError
        filled += count
    return filled


def in_turn(addresses: list[str | int]) -> list[str]:
    """Addresses of a host, IPv6 and IPv4 in turn, beginning with the family that the system puts first."""
    texts = [str(address) for address in addresses]
    first = [text for text in texts if (":" in text) == (":" in texts[0])]
    second = [text for text in texts if text not in first]
    mixed = [text for pair in zip(first, second, strict=False) for text in pair]
    return mixed + first[len(second) :] + second[len(first) :]


def _through_socks(proxy: str, at: tuple[str, int], timeout: float, source: object = None) -> socket.socket:
    """Connect to a host through a SOCKS proxy; with `socks5h` and `socks4a` the proxy finds its address."""
    import socks

    via = urlsplit(proxy)
    kind = socks.SOCKS4 if via.scheme.startswith("socks4") else socks.SOCKS5
    name, word = credentials_of(proxy) or (None, None)
    far = via.scheme in ("socks5h", "socks4a")
    opened: socket.socket = socks.create_connection(
        at, int(timeout), None, kind, via.hostname, via.port or SOCKS_PORT, far, name, word
    )
    return opened


def _proxy_credentials(proxy: str) -> dict[str, str]:
    if (known := credentials_of(proxy)) is None:
        return {}
    return {"Proxy-Authorization": f"Basic {base64.b64encode(':'.join(known).encode()).decode()}"}
