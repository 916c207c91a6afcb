"""HTTP with limits in bytes and seconds for heads and for small bodies.

A socket's time-out starts again with every byte, so a server that sends one a second would be waited for without end:
here the whole head, and on request the whole body, must arrive in time.
"""

from __future__ import annotations

import http.client
import io
import socket
import ssl
import time
import zlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, TypeVar

from provision.system.strict import JSON_MAX_BYTES, Unreadable, decode

if TYPE_CHECKING:
    import requests

T = TypeVar("T")

HEAD_MAX_BYTES = 64 << 10
HEAD_S = 20.0
BODY_S = 60.0
"""The limit for a small body: SDXL's header has 400 kB."""
LINE_MAX_BYTES = 64 << 10
PIECE_BYTES = 64 << 10
"""Bytes that are read, and unpacked, at once."""
PLAIN, PACKED = ("", "identity"), ("gzip", "x-gzip", "deflate")


class _Guard(io.RawIOBase):
    """A socket's stream that raises TimeoutError or HTTPException at its limits."""

    def __init__(self, inner: io.RawIOBase, connected: socket.socket) -> None:
        self._inner, self._socket = inner, connected
        self._patience_s = connected.gettimeout()
        self._until = self._left = float("inf")

    def bound(self, *, seconds: float, count: float) -> None:
        """Limit the bytes and seconds from now on."""
        self._until, self._left = time.monotonic() + seconds, count
        if seconds == float("inf"):
            self._socket.settimeout(self._patience_s)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        """As the socket's own stream."""
        if self._until != float("inf"):
            remaining = self._until - time.monotonic()
            if remaining <= 0:
                raise TimeoutError("the answer did not finish in time")
            self._socket.settimeout(min(remaining, self._patience_s or remaining))
        got: int | None = self._inner.readinto(buffer)
        self._left -= got or 0
        if self._left < 0:
            raise http.client.HTTPException("the headers of the answer do not end")
        return got

    def close(self) -> None:
        self._inner.close()
        super().close()


class _Lines(io.BufferedReader):
    """A stream with limited lines: urllib3 reads a chunk's size line however long it is."""

    def readline(self, size: int | None = -1) -> bytes:
        """A line. Raises HTTPException for one that is too long."""
        most = LINE_MAX_BYTES + 1 if size is None or size < 0 else size
        line = super().readline(most)
        if len(line) > LINE_MAX_BYTES:
            raise http.client.LineTooLong("line of the answer")
        return line


class BoundedResponse(http.client.HTTPResponse):
    """A response with a limited head; `body_s` limits its body, None gives both the connection's time-out together."""

    body_s: float | None = float("inf")

    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self._guard = _Guard(self.fp.detach(), sock)
        self.fp = _Lines(self._guard)

    def begin(self) -> None:
        """Read the head."""
        began, head_s = time.monotonic(), min(HEAD_S, self._guard._patience_s or HEAD_S)
        self._guard.bound(seconds=head_s, count=HEAD_MAX_BYTES)
        super().begin()
        body_s = began + head_s - time.monotonic() if self.body_s is None else self.body_s
        self.within(body_s)

    def within(self, seconds: float) -> None:
        """Limit the time of what is read from now on."""
        self._guard.bound(seconds=seconds, count=float("inf"))


def bounded_session(body_s: float | None = None, tls: ssl.SSLContext | None = None) -> requests.Session:
    """A session of requests for small answers: heads within HEAD_S, bodies within `body_s` seconds (BODY_S)."""
    import warnings

    import requests
    from requests.adapters import HTTPAdapter
    from urllib3.connection import HTTPConnection, HTTPSConnection
    from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
    from urllib3.contrib.socks import SOCKSProxyManager
    from urllib3.exceptions import SystemTimeWarning

    warnings.simplefilter("ignore", SystemTimeWarning)  # a clock that is wrong is told of in a sentence
    response_class = type("Response", (BoundedResponse,), {"body_s": BODY_S if body_s is None else body_s})
    plain = type("Plain", (HTTPConnection,), {"response_class": response_class})
    secured = type("Secured", (HTTPSConnection,), {"response_class": response_class})
    pools = {
        "http": type("PlainPool", (HTTPConnectionPool,), {"ConnectionCls": plain}),
        "https": type("SecuredPool", (HTTPSConnectionPool,), {"ConnectionCls": secured}),
    }

    class Adapter(HTTPAdapter):
        def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
            super().init_poolmanager(*args, **kwargs, ssl_context=tls)
            self.poolmanager.pool_classes_by_scheme = pools

        def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:
            manager = super().proxy_manager_for(*args, **kwargs, ssl_context=tls)
            by_socks = isinstance(manager, SOCKSProxyManager)
            manager.pool_classes_by_scheme = _through_socks(response_class) if by_socks else pools
            return manager

    session = requests.Session()
    for scheme in ("http://", "https://"):
        session.mount(scheme, Adapter())
    return session


def _through_socks(response_class: type[BoundedResponse]) -> dict[str, type]:
    """The pools of connections through a SOCKS proxy, which are classes of their own."""
    from urllib3.contrib import socks

    plain = type("Plain", (socks.SOCKSConnection,), {"response_class": response_class})
    secured = type("Secured", (socks.SOCKSHTTPSConnection,), {"response_class": response_class})
    return {
        "http": type("PlainPool", (socks.SOCKSHTTPConnectionPool,), {"ConnectionCls": plain}),
        "https": type("SecuredPool", (socks.SOCKSHTTPSConnectionPool,), {"ConnectionCls": secured}),
    }


def body_of(response: requests.Response, max_bytes: int) -> bytes:
    """A small body, unpacked. Raises Unreadable for a larger one, and OSError (which includes requests' errors)."""
    body = beginning_of(response, max_bytes + 1)
    if len(body) > max_bytes:
        raise Unreadable(f"an answer of more than {max_bytes:,} bytes")
    return body


def beginning_of(response: requests.Response, count: int) -> bytes:
    """At most the first `count` bytes of a body, unpacked. Raises Unreadable, OSError."""
    body = bytearray()
    for piece in _pieces(response):
        body += piece[: count - len(body)]
        if len(body) >= count:
            response.close()
            break
    return bytes(body)


def _pieces(response: requests.Response) -> Iterator[bytes]:
    """A body, unpacked in pieces; urllib3 would unpack all at once, and nested packings too."""
    coding = response.headers.get("Content-Encoding", "").strip().lower()
    if coding not in (*PLAIN, *PACKED):
        raise Unreadable("an answer with an unrequested compression")
    unpacker = zlib.decompressobj(wbits=47) if coding in PACKED else None  # 47: zlib's and gzip's own frames
    try:
        for piece in _raw_pieces(response):
            if unpacker is None:
                yield piece
            while unpacker is not None and piece and not unpacker.eof:
                yield unpacker.decompress(piece, PIECE_BYTES)
                piece = unpacker.unconsumed_tail
    except zlib.error as error:
        raise Unreadable("an answer that cannot be decompressed") from error


def _raw_pieces(response: requests.Response) -> Iterator[bytes]:
    """A body as the server sends it, with urllib3's errors as requests' own. Raises OSError."""
    import requests
    import urllib3

    try:
        yield from response.raw.stream(PIECE_BYTES, decode_content=False)
    except urllib3.exceptions.ReadTimeoutError as error:
        raise requests.ReadTimeout(error) from error
    except (urllib3.exceptions.HTTPError, http.client.HTTPException) as error:
        raise requests.ConnectionError(error) from error


def json_of(response: requests.Response, kind: type[T], max_bytes: int = JSON_MAX_BYTES) -> T:
    """The JSON of an answer as a value of `kind`. Raises Unreadable, OSError."""
    return decode(body_of(response, max_bytes), kind)
