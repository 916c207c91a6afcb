"""The web server: GET and HEAD of the files on offer, with ranges; nothing else has an answer.

uvicorn moves the bytes, starlette reads the ranges; both are pure Python. A file's ETag is its sha256, and what is on a
hub has the hub's `X-Repo-Commit`, so that the address is good for `--endpoint` too.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from starlette.responses import FileResponse, PlainTextResponse, Response

from provision.download.serving.offer import Offer, OfferedFile, commit_of
from provision.download.serving.readers import Readers

if TYPE_CHECKING:
    import uvicorn
    from starlette.types import Message, Receive, Scope, Send

CONNECTIONS_MAX = 512
"""Eight of each of 64 Macs; more are told to come again (503)."""
KEPT_OPEN_S = 30
STOPPING_S = 2
"""How long the transfers under way may take once serving has ended."""
INDEX = "index.html"


class LargePieces(FileResponse):
    """A file in pieces large enough that Python does not hold up a network of 10 Gbit/s."""

    chunk_size = 1 << 20


class Served:
    """The offer as an application of ASGI."""

    def __init__(self, offer: Offer, readers: Readers, greeting: str) -> None:
        self.offer, self.readers, self.greeting = offer, readers, greeting

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        path = scope["path"].removeprefix("/")
        path = f"{path}{INDEX}" if path.endswith("/") else path
        file = self.offer.files.get(path)
        response = self._response(scope["method"], path, file)
        if file is None:
            await response(scope, receive, send)
            return
        with self.readers.reading(scope["client"][0], path, file.size) as sent:

            async def counted(message: Message) -> None:
                await send(message)
                sent(len(message.get("body", b"")) if scope["method"] == "GET" else 0)

            await response(scope, receive, counted)

    def _response(self, method: str, path: str, file: OfferedFile | None) -> Response:
        if method not in ("GET", "HEAD"):
            return PlainTextResponse("Only GET and HEAD.\n", 405, {"Allow": "GET, HEAD"})
        if file is None:
            return PlainTextResponse(self.greeting) if not path else PlainTextResponse("Not found.\n", 404)
        headers = {"ETag": f'"{file.sha256}"'} if file.sha256 else {}
        if commit := commit_of(path):
            headers["X-Repo-Commit"] = commit
        if isinstance(file.content, bytes):
            return Response(file.content, headers=headers, media_type="text/plain")
        if (now := file.look()) is None:
            return PlainTextResponse("This file has changed since it was offered.\n", 404)
        return LargePieces(file.content, headers=headers, stat_result=now)


def _server(app: Served) -> uvicorn.Server:
    """uvicorn, which at its end also drops the connections of readers that read nothing."""
    import asyncio

    import uvicorn

    class Server(uvicorn.Server):
        async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
            await super().shutdown(sockets)
            for connection in [*self.server_state.connections]:
                if transport := getattr(connection, "transport", None):
                    transport.abort()
            await asyncio.sleep(0.01)  # they are closed by the loop

    return Server(
        uvicorn.Config(
            app,
            http="h11",
            loop="asyncio",
            ws="none",
            lifespan="off",
            interface="asgi3",
            log_config=None,
            log_level="critical",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            limit_concurrency=CONNECTIONS_MAX,
            timeout_keep_alive=KEPT_OPEN_S,
            timeout_graceful_shutdown=STOPPING_S,
        )
    )


@contextmanager
def serving(listener: socket.socket, app: Served) -> Iterator[None]:
    """Serve on a bound socket, in a thread, until the end of the context, which also closes the socket."""
    server = _server(app)
    thread = threading.Thread(target=server.run, args=([listener],), name="serve", daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.should_exit = True
        thread.join(STOPPING_S + 3)
        listener.close()
