"""The rehearsal's hub, made to misbehave: by faults, slowly, for those with a token alone; and with Xet."""

from __future__ import annotations

import base64
import socket
import struct
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from provision.rehearsal import hub
from provision.rehearsal.hub import PIECE_BYTES, RESOLVE, URL_TTL_S, Exchange
from provision.rehearsal.replies import Origin, Reply, Request, refusal
from tests.support.faults import ArmedFaults, BentReply, Fault, as_bent, bend
from tests.support.xet import TOKEN_ROUTE, XetStorage


@dataclass(frozen=True, slots=True)
class Faults:
    """How a hub behaves from its start: faults in the order of use, pace, and who is let in.

    `rate_bytes_s` limits each connection, `agents` those of programs whose User-Agent begins so. With a `token`,
    repositories answer 401 without it; when they are also `gated`, 403 with it (the licence was not accepted). Signed
    addresses live for `url_ttl_s` seconds. With `xet`, large files are offered by Xet too.
    """

    faults: tuple[Fault, ...] = ()
    rate_bytes_s: float | None = None
    agents: Mapping[str, float] = field(default_factory=dict)
    token: str | None = None
    gated: bool = False
    url_ttl_s: float = URL_TTL_S
    xet: bool = False

    def rate_for(self, request: Request) -> float | None:
        """The limit for one answer in bytes per second, None for none."""
        agent = request.headers.get("user-agent", "")
        return next((rate for name, rate in self.agents.items() if agent.startswith(name)), self.rate_bytes_s)


@dataclass(frozen=True, slots=True)
class Seen:
    """One exchange: `status` 0 when nothing was answered, `sent_bytes` of body (at most one piece ahead of
    the socket while it still runs), `range` the Range header, `file` the model file it was about."""

    origin: Origin
    method: str
    path: str
    headers: Mapping[str, str]
    status: int
    sent_bytes: int
    range: str | None
    file: str


def _seen(exchange: Exchange) -> Seen:
    asked = exchange.request
    said = (asked.origin, asked.method, asked.path, asked.headers)
    return Seen(*said, exchange.status, exchange.sent_bytes, asked.headers.get("range"), exchange.file)


class Hub(hub.Hub):
    """A hub of the rehearsal that behaves as `faults` say, and as what is armed later says."""

    def __init__(self, root: Path, *, port: int = 0, cdn_port: int = 0, faults: Faults | None = None) -> None:
        super().__init__(root, port=port, cdn_port=cdn_port)
        self.faults = faults or Faults()
        self._armed = ArmedFaults(self.faults.faults)
        self._expired: set[str] = set()
        self._xet = XetStorage(root, self.cdn_url, url_ttl_s=self.faults.url_ttl_s)
        self.serve_objects(self.cdn_url, url_ttl_s=self.faults.url_ttl_s)
        for server in (self._hub, self._cdn):
            server.RequestHandlerClass = Handler

    @property
    def requests(self) -> list[Seen]:
        """Every exchange so far, in the order of arrival."""
        with self._lock:
            return [_seen(exchange) for exchange in self._log]

    def arm(self, *faults: Fault) -> None:
        """Let these faults happen, after those that wait already."""
        self._armed.arm(*faults)

    def disarm(self) -> None:
        """Behave well from now on."""
        self._armed.disarm()

    def answer(self, request: Request) -> Reply:
        """The reply to a request, faults included."""
        reply = self._stored(request) if request.origin == "cdn" else self._let_in(request)
        fault = self._armed.take(request, reply)
        if fault is None:
            return reply
        if fault.kind == "expire":
            self._expired.add(request.query)
        return bend(fault, request, reply)

    def _stored(self, request: Request) -> Reply:
        if request.query in self._expired:
            return refusal(403, "Request has expired")
        return self._xet.answer(request) if self._xet.answers(request) else super().answer(request)

    def _let_in(self, request: Request) -> Reply:
        open_to_all = request.path.startswith("/whl/")
        if not open_to_all and (refused := self._refused(request)):
            return refused
        if self.faults.xet and (found := TOKEN_ROUTE.fullmatch(request.path)):
            model = self.model_at(found["repo"], found["rev"])
            return model if isinstance(model, Reply) else self._xet.token()
        reply = super().answer(request)
        return self._offered(request, reply) if self.faults.xet and reply.status == 302 else reply

    def _offered(self, request: Request, reply: Reply) -> Reply:
        """The redirect to a large file, which offers the file by Xet too."""
        found = RESOLVE.fullmatch(request.path)
        assert found
        said = reply.headers
        described = (int(said["X-Linked-Size"]), said["X-Linked-Etag"].strip('"'))
        offer = self._xet.offer(self.url, found["repo"], said["X-Repo-Commit"], found["path"], described)
        return replace(reply, headers={**said, **offer})

    def _refused(self, request: Request) -> Reply | None:
        """What a repository says to somebody whom it does not let in; None for everybody else."""
        token = self.faults.token
        if token is None:
            return None
        sent = request.headers.get("authorization", "")
        if token_of(sent) == token:
            message = "Access to this model is restricted and you are not in the authorized list."
            return refusal(403, message, "GatedRepo") if self.faults.gated else None
        message = "Invalid credentials in Authorization header" if sent else "Invalid username or password."
        code = "" if sent else "GatedRepo" if self.faults.gated else "RepoNotFound"
        reply = refusal(401, message, code)
        return replace(reply, headers={**reply.headers, "WWW-Authenticate": 'Basic realm="hub"'})


class Handler(hub.Handler):
    """Sends what goes wrong on its way: cut, stalled, reset, without a length; and no faster than the hub is told."""

    def send(self, reply: Reply, exchange: Exchange) -> None:
        bent = as_bent(reply)
        if bent.status:
            self._send_head(bent)
            if self.command != "HEAD":
                self._send_body(bent, exchange)
        self._end(bent)

    def _send_head(self, reply: BentReply) -> None:
        self.send_response(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        if reply.framing == "length":
            self.send_header("Content-Length", str(reply.length))
        elif reply.framing == "chunked":
            self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()

    def _send_body(self, reply: BentReply, exchange: Exchange) -> None:
        at = self.server.hub
        assert isinstance(at, Hub)
        rate = at.faults.rate_for(exchange.request)
        size = PIECE_BYTES if rate is None else max(1, min(PIECE_BYTES, int(rate / 20)))
        chunked = reply.framing == "chunked"
        left = reply.stop_after
        began = time.monotonic()
        for piece in reply.pieces(size):
            part = piece if left is None else piece[:left]
            if chunked:
                self.connection.sendall(b"%x\r\n" % len(piece))
            self.write(part, exchange)
            if left is not None and (left := left - len(part)) <= 0:
                return
            if chunked:
                self.connection.sendall(b"\r\n")
            if rate is not None:
                at.closing.wait(began + exchange.sent_bytes / rate - time.monotonic())
        if chunked:
            self.connection.sendall(b"0\r\n\r\n")

    def _end(self, reply: BentReply) -> None:
        if reply.framing == "close" or reply.ending != "keep":
            self.close_connection = True
        if reply.ending == "stall":
            # Nothing more, until the client or the hub hangs up.
            while self.connection.recv(PIECE_BYTES):
                pass
        elif reply.ending == "reset":
            # Linger 0 makes close send RST; socketserver's own end would send FIN before it.
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            socket.close(self.connection.detach())


def token_of(authorization: str) -> str:
    """The token in an Authorization header: `Bearer`, or the password of `Basic`, as git sends it."""
    scheme, _, value = authorization.partition(" ")
    if scheme.lower() == "basic":
        with suppress(ValueError):
            return base64.b64decode(value).decode().partition(":")[2]
    return value if scheme.lower() == "bearer" else ""
