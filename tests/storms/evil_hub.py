"""A hub that behaves well but for one kind of request, which it answers with bytes that no hub sends."""

from __future__ import annotations

import gzip
import json
import re
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from provision.rehearsal.replies import Request
from tests.e2e.matrix import TlsHub
from tests.support import hub as rehearsed
from tests.support.hub import Faults, Hub

Kind = Literal["head", "header", "bytes", "cdn", "tree", "batch", "refs", "key", "storage"]
OK, FOUND = b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 302 Found\r\n"
HEADER_LIMIT = 1 << 16
PIECE = 1 << 16
DRIP_S = 0.05


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that is answered badly, and the hub's own address; `about` is what a hub says of a file, `oid` and
    `size` are those of the object that git-lfs wants."""

    connection: socket.socket
    url: str
    about: bytes
    oid: str = ""
    size: int = 0

    def send(self, data: bytes) -> None:
        self.connection.sendall(data)

    def endless(self, start: bytes, piece: bytes) -> None:
        """Without an end, as fast as it is taken."""
        self.send(start)
        while True:
            self.send(piece)

    def drip(self, start: bytes, piece: bytes) -> None:
        """Without an end, a little now and then: no single wait is long."""
        self.send(start)
        while True:
            self.send(piece)
            time.sleep(DRIP_S)


Behaviour = Callable[[Asked], None]


class EvilHub(TlsHub):
    """As a hub, behind TLS where there is a certificate, but for the requests of one kind."""

    def __init__(
        self, root: Path, kind: Kind, behave: Behaviour, faults: Faults, certificate: Path | None = None
    ) -> None:
        if certificate is None:
            Hub.__init__(self, root, faults=faults)
        else:
            super().__init__(root, certificate, faults)
        self.kind, self.behave = kind, behave
        for server in (self._hub, self._cdn):
            server.RequestHandlerClass = _Handler


class _Handler(rehearsed.Handler):
    def do_GET(self) -> None:  # noqa: N802
        hub = self.server.hub
        assert isinstance(hub, EvilHub)
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = Request(self.server.origin, self.command, self.path, headers)
        if hub.kind not in (kind_of(request), request.origin):
            super().do_GET()
            return
        body = self.body(headers)
        hub.note(request)
        self.close_connection = True
        wanted = json.loads(body)["objects"][0] if hub.kind == "batch" else {"oid": "", "size": 0}
        hub.behave(Asked(self.connection, hub.url, _about(hub, request), wanted["oid"], wanted["size"]))

    do_HEAD = do_POST = do_GET  # noqa: N815


def kind_of(request: Request) -> Kind | None:
    """What a request is for."""
    path = request.path
    if request.origin == "cdn":
        if re.match(r"/v\d/reconstructions/|/xorbs/", path):
            return "storage"
        first = re.fullmatch(r"bytes=0-(\d+)", request.headers.get("range", ""))
        return "header" if first and 0 < int(first[1]) < HEADER_LIMIT else "bytes"
    if "/xet-read-token/" in path:
        return "key"
    if "/tree/" in path:
        return "tree"
    if path.endswith("/batch"):
        return "batch"
    if path.endswith("/info/refs"):
        return "refs"
    return "head" if "/resolve/" in path else None


def _about(hub: EvilHub, request: Request) -> bytes:
    """The headers with which a hub describes the file."""
    if "/resolve/" not in request.path:
        return b""
    reply = Hub.answer(hub, request)
    return b"".join(f"{name}: {value}\r\n".encode() for name, value in reply.headers.items() if name[:2] == "X-")


# -- what it does -----------------------------------------------------------------------------------------------


def redirect(location: str | bytes) -> Behaviour:
    """To what is no address, or not one to go to."""
    raw = location if isinstance(location, bytes) else location.encode()
    return lambda asked: asked.send(FOUND + asked.about + b"Location: " + raw + b"\r\nContent-Length: 0\r\n\r\n")


def answer(headers: bytes, body: bytes = b"") -> Behaviour:
    return lambda asked: asked.send(OK + asked.about + headers + b"\r\n" + body)


def packed(body: bytes, layers: int = 1) -> Behaviour:
    for _ in range(layers):
        body = gzip.compress(body)
    coding = b"Content-Encoding: " + b", ".join([b"gzip"] * layers)
    return answer(coding + b"\r\nContent-Length: %d\r\n" % len(body), body)


def said(value: object | str) -> Behaviour:
    """JSON, or text in its place."""
    body = value.encode("utf-8", "surrogatepass") if isinstance(value, str) else json.dumps(value).encode()
    return answer(b"Content-Type: application/json\r\nContent-Length: %d\r\n" % len(body), body)


def header(text: str, length: int | None = None) -> Behaviour:
    """The beginning of a safetensors file, whatever range was asked for."""
    raw = text.encode("utf-8", "surrogatepass")
    body = (len(raw) if length is None else length).to_bytes(8, "little") + raw
    return answer(b"Content-Length: %d\r\n" % len(body), body)


def pages(following: str) -> Behaviour:
    """A list that goes on."""
    count = [0]

    def behave(asked: Asked) -> None:
        count[0] += 1
        link = following.format(url=asked.url, count=count[0]).encode()
        answer(b"Link: <" + link + b'>; rel="next"\r\nContent-Length: 2\r\n', b"[]")(asked)

    return behave


def batch_to(place: str | bytes) -> Behaviour:
    """git-lfs is sent on."""
    href = place if isinstance(place, str) else place.decode("latin-1")

    def behave(asked: Asked) -> None:
        wanted = {"oid": asked.oid, "size": asked.size, "actions": {"download": {"href": href}}}
        said({"transfer": "basic", "objects": [wanted]})(asked)

    return behave


BAD_PLACES: Mapping[str, str | bytes] = {
    "port": "http://localhost:99999999/x",
    "port 0": "http://localhost:0/x",
    "bracket": "http://[::1/x",
    "ESC": b"http://\x1b[31mlocalhost/x",
    "ESC in brackets": b"http://[\x1b]0;title\x07]/x",
    "label of 70": "http://" + "a" * 70 + ".example/x",
    "empty label": "http://a..example/x",
    "long": "http://localhost/" + "a" * 60_000,
    "empty": "",
    "userinfo": "http://user:pass@localhost/x",
    "file": "file:///etc/passwd",
    "ftp": "ftp://localhost/x",
    "javascript": "javascript:alert(1)",
    "data": "data:text/plain,x",
    "two slashes": "//localhost:99999999/x",
    "backslashes": "\\\\localhost\\x",
    "backslash before at": "http://localhost\\@evil.example/x",
    "tab": "http://local\thost/x",
    "space": "http://local host/x",
    "NUL": b"http://localhost/\x00x",
    "C1": b"http://localhost/\x9b31mx",
    "bidi": "http://localhost/\u202egnp.exe",
    "not latin": "http://\u0430\u0440\u0440le.example\u2100/x",
    "no scheme": "://localhost/x",
    "no host": "http:///x",
    "percent host": "http://%6c%6f%63alhost%00/x",
    "number host": "http://999999999999/x",
}
HEADS: Mapping[str, Behaviour] = {
    "endless head": lambda asked: asked.endless(OK + asked.about, b"X-A: " + b"y" * 1000 + b"\r\n"),
    "endless line": lambda asked: asked.endless(OK + asked.about + b"X-A: ", b"y" * PIECE),
    "dripped head": lambda asked: asked.drip(OK + asked.about, b"X"),
    "dripped status": lambda asked: asked.drip(b"", b"H"),
    "continues": lambda asked: asked.endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "no HTTP": lambda asked: asked.endless(b"", b"\x1b[2J\xff" * 100),
    "nothing": lambda asked: None,
}
BODIES: Mapping[str, Behaviour] = {
    "endless body": lambda asked: asked.endless(OK + asked.about + b"\r\n", b"[" * PIECE),
    "dripped body": lambda asked: asked.drip(OK + asked.about + b"Content-Length: 999999\r\n\r\n", b"["),
    "chunk length": lambda asked: asked.endless(OK + asked.about + b"Transfer-Encoding: chunked\r\n\r\n", b"1" * PIECE),
    "dripped chunk length": lambda asked: asked.drip(OK + asked.about + b"Transfer-Encoding: chunked\r\n\r\n", b"0"),
    "trailers": lambda asked: asked.drip(OK + asked.about + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"X: y\r\n"),
    "2^63": answer(b"Content-Length: 9223372036854775808\r\n", b"[]"),
    "5,000 digits": answer(b"Content-Length: " + b"9" * 5000 + b"\r\n", b"[]"),
    "negative": answer(b"Content-Length: -5\r\n", b"[]"),
    "superscript": answer(b"Content-Length: \xb2\r\n", b"[]"),
    "two lengths": answer(b"Content-Length: 2\r\nContent-Length: 700000000\r\n", b"[]"),
    "bomb": packed(b" " * (300 << 20)),
    "bomb of bombs": packed(bytes(64 << 20), 3),
    "broken gzip": answer(b"Content-Encoding: gzip\r\nContent-Length: 9\r\n", b"not gzip!"),
    "unknown packing": answer(b"Content-Encoding: zstd, br\r\nContent-Length: 2\r\n", b"[]"),
    "wait for ever": lambda asked: asked.send(
        b"HTTP/1.1 429 No\r\nRetry-After: " + b"9" * 400 + b"\r\nContent-Length: 0\r\n\r\n"
    ),
    "wait superscript": lambda asked: asked.send(b"HTTP/1.1 503 No\r\nRetry-After: \xb2\r\nContent-Length: 0\r\n\r\n"),
    "wait for a day": lambda asked: asked.send(
        b"HTTP/1.1 429 No\r\nRetry-After: Fri, 31 Dec 9999 23:59:59 -2359\r\nContent-Length: 0\r\n\r\n"
    ),
    "ESC in the reason": lambda asked: asked.send(b"HTTP/1.1 404 \x1b]0;x\x07\x1b[31m\r\nContent-Length: 0\r\n\r\n"),
    "status 999": lambda asked: asked.send(b"HTTP/1.1 999 X\r\nContent-Length: 0\r\n\r\n"),
    "error page without end": lambda asked: asked.endless(b"HTTP/1.1 500 X\r\n\r\n", b"x" * PIECE),
    "ESC in the range": lambda asked: asked.send(
        b"HTTP/1.1 206 OK\r\nContent-Range: bytes \x1b[31m1-2/3\r\nContent-Length: 0\r\n\r\n"
    ),
}
COMMIT = b"X-Repo-Commit: " + b"a" * 40 + b"\r\n"
WORDS: Mapping[str, Behaviour] = {
    "size superscript": lambda asked: asked.send(OK + COMMIT + b"X-Linked-Size: \xb2\r\n\r\n"),
    "size of 5,000 digits": lambda asked: asked.send(OK + COMMIT + b"X-Linked-Size: " + b"9" * 5000 + b"\r\n\r\n"),
    "size 2^63": lambda asked: asked.send(OK + COMMIT + b"X-Linked-Size: 9223372036854775808\r\n\r\n"),
    "ESC in the commit": lambda asked: asked.send(OK + b"X-Repo-Commit: \x1b[31m\r\n\r\n"),
    "ESC in the type": lambda asked: asked.send(OK + b"Content-Type: \x1b[31mtext/html\r\n\r\n"),
}
ENTRY = {"type": "file", "size": 5, "oid": "0" * 40}
STRANGE = (
    "\x1b[31mred",
    "../../../../etc/x",
    "/etc/x",
    "a\x00b",
    "n" * 5000,
    "\u202ecod",
    "a\nb",
    "\x9b31m",
    ".",
    "a/../b",
    "~/x",
    "-rf",
    "$(id)",
    "\ufeff",
    "\u2028x",
)
TREES: Mapping[str, Behaviour] = {
    "surrogate": said('[{"type": "file", "size": 5, "path": "\\ud800.safetensors"}]'),
    "raw surrogate": said('[{"type": "file", "size": 5, "path": "\ud800.safetensors"}]'),
    "strange names": said([{**ENTRY, "path": path + ".safetensors"} for path in STRANGE]),
    "deep": said("[" * 100_000 + "]" * 100_000),
    "deep in a name": said('[{"type":"file","path":' + "[" * 5000 + "]" * 5000 + "}]"),
    "another type": said({"error": "no"}),
    "null": said("null"),
    "a number": said("1e999"),
    "NaN": said('[{"type": "file", "path": "a", "size": NaN}]'),
    "numbers for names": said([{"type": 5, "path": 7, "size": "x"}]),
    "no keys": said([{}, None, 5, []]),
    "negative size": said([{**ENTRY, "path": "a.safetensors", "size": -5}]),
    "size 2^70": said([{**ENTRY, "path": "a.safetensors", "size": 2**70}]),
    "half a million": said([{"type": "file", "path": f"{number}"} for number in range(400_000)]),
    "no text": said("\udcff"),
    "the same page": pages("{url}/api/models/made/up-model/tree/main?same"),
    "pages without end": pages("{url}/api/models/made/up-model/tree/main?page={count}"),
    "next page: port": pages("http://localhost:99999999/"),
    "next page: ESC": pages("http://local\x1bhost/"),
    "next page: bracket": pages("http://[::1/"),
    "next page elsewhere": pages("http://localhost.invalid/"),
}
TENSOR = '"dtype":"F16","data_offsets":[0,4]'
HEADERS: Mapping[str, Behaviour] = {
    "5 MB, endless": lambda asked: asked.endless(
        OK + b"\r\n" + (4_900_000).to_bytes(8, "little") + b"{", b'"a":{},' * 8000
    ),
    "5 MB of lists": header('{"a":[' + "[]," * 1_600_000 + "1]}"),
    "99 MB": lambda asked: asked.endless(OK + b"\r\n" + (99_000_000).to_bytes(8, "little") + b"{", b'"a":{},' * 8000),
    "deep": header('{"a":' + "[" * 50_000 + "]" * 50_000 + "}"),
    "deep metadata": header('{"__metadata__":{"a":' + '{"b":' * 900 + "1" + "}" * 900 + "}}"),
    "surrogates": header('{"__metadata__":{"\\ud800":"\\udfff"},"\\ud800":{' + TENSOR + ',"shape":[2]}}'),
    "controls": header('{"__metadata__":{"\\u001b[31m":"\\u001b]0;x\\u0007\\u202e"},"a":{' + TENSOR + ',"shape":[2]}}'),
    "many dimensions": header('{"a":{' + TENSOR + ',"shape":[' + ",".join(["9223372036854775807"] * 60_000) + "]}}"),
    "long numbers": header('{"a":{' + TENSOR + ',"shape":[' + "9" * 5000 + "]}}"),
    "twice": header('{"a":{' + TENSOR + ',"shape":[2]},"a":{' + TENSOR + ',"shape":[2]}}'),
    "2^63": header("{}", 2**63),
    "NaN": header('{"a":{"dtype":"F16","data_offsets":[0,NaN],"shape":[Infinity]}}'),
}
BATCHES: Mapping[str, Behaviour] = {
    "no JSON": said("\x1b[31mno\x1b[0m"),
    "deep": said("[" * 100_000),
    "null": said("null"),
    "endless": lambda asked: asked.endless(OK + b"Content-Type: application/vnd.git-lfs+json\r\n\r\n", b" " * PIECE),
    "message with ESC": said({"message": "\x1b]0;x\x07\x1b[31m\u202e"}),
    **{f"address: {name}": batch_to(place) for name, place in BAD_PLACES.items() if name != "long"},
}
