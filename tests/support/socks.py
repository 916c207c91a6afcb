"""A SOCKS5 proxy on loopback (RFC 1928), for which every host lies on this machine."""

from __future__ import annotations

import socketserver
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from socket import create_connection, socket


@contextmanager
def socks_proxy(asked: list[tuple[str, int]]) -> Iterator[str]:
    """Its host and port; each host and port that it is asked for goes into `asked`."""

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            _, methods = self.rfile.read(2)
            self.rfile.read(methods)
            self.connection.sendall(b"\5\0")
            kind = self.rfile.read(4)[3]
            host = self.rfile.read(self.rfile.read(1)[0] if kind == 3 else 4)
            (port,) = struct.unpack(">H", self.rfile.read(2))
            asked.append((host.decode() if kind == 3 else "an address", port))
            try:
                opened = create_connection(("127.0.0.1", port))
            except OSError:
                self.connection.sendall(b"\5\5\0\1" + bytes(6))  # "connection refused"
                return
            with opened as there:
                self.connection.sendall(b"\5\0\0\1" + bytes(6))
                back = threading.Thread(target=_pass_on, args=(there, self.connection), daemon=True)
                back.start()
                _pass_on(self.connection, there)
                back.join()

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()


def _pass_on(source: socket, target: socket) -> None:
    from contextlib import suppress
    from socket import SHUT_WR

    with suppress(OSError):
        while data := source.recv(1 << 16):
            target.sendall(data)
        target.shutdown(SHUT_WR)
