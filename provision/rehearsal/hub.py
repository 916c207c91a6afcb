"""A model hub on loopback that speaks the Hugging Face download protocol, git, git-lfs and PEP 503.

Two origins, as with the real one: the hub, and a cdn to which large files are redirected by signed addresses.
The folder that it serves:

    models/<ns>/<repo>/<file>, models/<ns>/<repo>.json   see model_repo
    git/<ns>/<repo>.git                                  bare repositories
    index/<channel>/<package>/*.whl                      wheels; a channel may be of parts: nightly/cpu
"""

from __future__ import annotations

import re
import socket
import sys
import threading
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socketserver import TCPServer
from typing import Any, ClassVar, Self
from urllib.parse import parse_qs, parse_qsl, quote, urlencode

from provision.rehearsal.git_http import GitHttp, LfsObjects, file_reply
from provision.rehearsal.model_repo import REPO_ID, ModelRepo, is_lfs, list_entries, model_folder, read_model_repo
from provision.rehearsal.replies import Origin, Reply, Request, json_reply, refusal
from provision.rehearsal.simple_index import index_reply

PAGE_ENTRIES = 1000
"""How many files the API lists at once, as the real hub does."""
URL_TTL_S = 3600.0
"""How long a signed address is good for."""
PIECE_BYTES = 1 << 18
RESOLVE = re.compile(rf"/(?P<repo>{REPO_ID})/resolve/(?P<rev>[^/]+)/(?P<path>.+)")
_MODEL_API = re.compile(rf"/api/models/(?P<repo>{REPO_ID})(?:/(?P<what>revision|tree)/(?P<rev>[^/]+))?")


@dataclass(slots=True)
class Exchange:
    """The account of a request: its status (0: no answer), bytes of body sent, and the model file it was about."""

    request: Request
    status: int = 0
    sent_bytes: int = 0
    file: str = ""


class Hub:
    """Serves `root` on 127.0.0.1 from `start` to `close`; the ports are bound before. Raises OSError for taken ones."""

    NAME: ClassVar[str] = "rehearsal"
    """What it calls itself in each answer."""

    def __init__(self, root: Path, *, port: int = 0, cdn_port: int = 0) -> None:
        self.root = root
        self.closing = threading.Event()
        self._lock = threading.Lock()
        self._log: list[Exchange] = []
        self._hub = _Server(self, "hub", port)
        try:
            self._cdn = _Server(self, "cdn", cdn_port)
        except OSError:
            self._hub.server_close()
            raise
        self.port, self.cdn_port = self._hub.server_port, self._cdn.server_port
        self.url = f"http://127.0.0.1:{self.port}"
        self.cdn_url = f"http://127.0.0.1:{self.cdn_port}"
        self.serve_objects(self.cdn_url)

    def serve_objects(self, origin: str, *, url_ttl_s: float = URL_TTL_S) -> None:
        """Sign addresses of large files below `origin`, each valid for so many seconds."""
        self._objects = LfsObjects(self.root, origin, url_ttl_s=url_ttl_s)
        self._git = GitHttp(self.root, self._objects, origin)

    def start(self) -> Self:
        self._hub.start()
        self._cdn.start()
        return self

    def close(self) -> None:
        """End at once: listeners, connections (stalled ones too), git children, threads; once is enough."""
        self.closing.set()
        self._git.close()
        self._hub.stop()
        self._cdn.stop()

    __enter__ = start

    def __exit__(self, *error: object) -> None:
        self.close()

    def sent_by_file(self) -> dict[str, int]:
        """Body bytes of model files written to sockets, parts of files too, by path in their repository."""
        sent: Counter[str] = Counter()
        with self._lock:
            for exchange in self._log:
                sent[exchange.file] += exchange.sent_bytes
        return {file: count for file, count in sent.items() if file and count}

    def sent_bytes(self) -> int:
        return sum(self.sent_by_file().values())

    def note(self, request: Request) -> Exchange:
        """Open the account of one exchange."""
        exchange = Exchange(request)
        with self._lock:
            self._log.append(exchange)
        return exchange

    def answer(self, request: Request) -> Reply:
        if request.origin == "cdn":
            return self._git.archive(request) or self._objects.answer(request)
        return self._route(request)

    def _route(self, request: Request) -> Reply:
        if request.path.startswith("/whl/"):
            return index_reply(request, self.root / "index", request.path.removeprefix("/whl/"))
        if reply := self._git.answer(request):
            return reply
        if found := RESOLVE.fullmatch(request.path):
            return self._resolve(request, found)
        if found := _MODEL_API.fullmatch(request.path):
            return self._model_api(request, found)
        return refusal(404, "Not Found")

    def _resolve(self, request: Request, found: re.Match[str]) -> Reply:
        repo, path = found["repo"], found["path"]
        model = self.model_at(repo, found["rev"])
        if isinstance(model, Reply):
            return model
        commit = {"X-Repo-Commit": model.commit}
        if path not in model.files:
            missing = refusal(404, "Entry not found", "EntryNotFound")
            return replace(missing, headers={**missing.headers, **commit})
        size, sha256 = model.files[path]
        if not is_lfs(path):
            source = model_folder(self.root, repo) / path
            return file_reply(request, source, sha256, file=path, headers=commit)
        linked = {"X-Linked-Etag": f'"{sha256}"', "X-Linked-Size": str(size), "Accept-Ranges": "bytes"}
        return Reply(302, {**commit, **linked, "Location": self._objects.sign(repo, sha256, path)}, file=path)

    def model_at(self, repo: str, rev: str) -> ModelRepo | Reply:
        """The repository at a revision, or the refusal."""
        model = read_model_repo(self.root, repo)
        if model is None:
            return refusal(404, "Repository not found", "RepoNotFound")
        if rev not in ("main", model.commit):
            return refusal(404, f"Invalid rev id: {rev}", "RevisionNotFound")
        return model

    def _model_api(self, request: Request, found: re.Match[str]) -> Reply:
        model = self.model_at(found["repo"], found["rev"] or "main")
        if isinstance(model, Reply):
            return model
        if found["what"] == "tree":
            asked = {key: values[0] for key, values in parse_qs(request.query).items()}
            entries = list_entries(self.root, model, recursive=asked.get("recursive", "").lower() in ("true", "1"))
            return _page(request, entries, int(asked.get("cursor", 0)))
        siblings = [{"rfilename": path} for path in sorted(model.files)]
        named = {"id": model.repo, "modelId": model.repo, "sha": model.commit, "tags": []}
        return json_reply({**named, "private": False, "gated": False, "siblings": siblings})


def _page(request: Request, entries: list[dict[str, Any]], start: int) -> Reply:
    """A page of a list, with the next one in `Link` (RFC 8288), as the hub's API does."""
    reply, stop = json_reply(entries[start : start + PAGE_ENTRIES]), start + PAGE_ENTRIES
    if stop >= len(entries):
        return reply
    query = urlencode({**dict(parse_qsl(request.query)), "cursor": stop})
    return replace(reply, headers={**reply.headers, "Link": f'<{quote(request.path)}?{query}>; rel="next"'})


class _Server(ThreadingHTTPServer):
    """One origin; knows its open connections, so that `stop` never waits for a client."""

    allow_reuse_port = False  # newer Pythons would share a taken port
    request_queue_size = 128

    def __init__(self, hub: Hub, origin: Origin, port: int) -> None:
        self.hub = hub
        self.origin = origin
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._answering: list[threading.Thread] = []
        super().__init__(("127.0.0.1", port), Handler)

    def server_bind(self) -> None:
        # Without HTTPServer's look-up of the host's name, which can take seconds on macOS.
        TCPServer.server_bind(self)
        self.server_name, self.server_port = "127.0.0.1", self.socket.getsockname()[1]

    def start(self) -> None:
        self._accepting.start()

    def stop(self) -> None:
        if self._accepting.is_alive():
            # A connection wakes the thread that waits for one.
            with suppress(OSError):
                socket.create_connection(("127.0.0.1", self.server_port), timeout=1).close()
            self._accepting.join(timeout=5)
        self.server_close()
        with self._lock:
            for connection in self._open:
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
        for thread in self._answering:
            thread.join(timeout=5)

    def _accept(self) -> None:
        while not self.hub.closing.is_set():
            self.handle_request()

    def process_request(self, request: Any, client_address: Any) -> None:
        arguments = (request, client_address)
        thread = threading.Thread(target=self.process_request_thread, args=arguments, daemon=True)
        with self._lock:
            self._open.add(request)
        self._answering = [thread, *(other for other in self._answering if other.is_alive())]
        thread.start()

    def shutdown_request(self, request: Any) -> None:
        with self._lock:
            self._open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        # A client that went away and a disk that fails end the exchange; all else is a mistake of the hub and is shown.
        if not (isinstance(sys.exception(), OSError) or self.hub.closing.is_set()):
            super().handle_error(request, client_address)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version, sys_version = Hub.NAME, ""
    disable_nagle_algorithm = True
    server: _Server

    def do_GET(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = Request(self.server.origin, self.command, self.path, headers, self.body(headers))
        exchange = self.server.hub.note(request)
        reply = self.server.hub.answer(request)
        exchange.status, exchange.file = reply.status, reply.file
        self.send(reply, exchange)

    do_HEAD = do_POST = do_GET  # noqa: N815

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: `Hub.requests` is the log."""

    def body(self, headers: Mapping[str, str]) -> bytes:
        if headers.get("transfer-encoding", "").lower() != "chunked":
            return self.rfile.read(int(headers.get("content-length", 0)))
        body = bytearray()
        while size := int(self.rfile.readline().split(b";")[0], 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        while self.rfile.readline().strip():  # trailers
            pass
        return bytes(body)

    def send(self, reply: Reply, exchange: Exchange) -> None:
        self.send_response(reply.status)
        for name, value in {**reply.headers, "Content-Length": str(reply.length)}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            for piece in reply.pieces(PIECE_BYTES):
                self.write(piece, exchange)

    def write(self, piece: bytes, exchange: Exchange) -> None:
        """Send all of it, and keep the account."""
        view = memoryview(piece)
        # Counted before it is sent: whoever has received the last byte finds it in the account.
        exchange.sent_bytes += len(view)
        try:
            while view:
                view = view[self.connection.send(view) :]
        finally:
            exchange.sent_bytes -= len(view)
