"""Servers that are not what was asked for: a hub that says no, a login page, TLS of a stranger, a hole."""

from __future__ import annotations

import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from provision.system.machine import LOOPBACK

TOKEN = "hf_ATokenOfAPersonForTheHub"
COMMIT = {"X-Repo-Commit": "7" * 40}
Answer = tuple[int, Mapping[str, str]]


class Quiet(BaseHTTPRequestHandler):
    """A handler whose log nobody reads."""

    def log_message(self, format: str, *args: object) -> None:
        """Nothing is shown."""


@contextmanager
def served(handler: type[Quiet], tls: ssl.SSLContext | None = None) -> Iterator[int]:
    """The port of a server on loopback, until the end."""
    with ThreadingHTTPServer((LOOPBACK, 0), handler) as server:
        if tls is not None:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


@contextmanager
def hub(plain: Answer, with_token: Answer | None = None, tls: ssl.SSLContext | None = None) -> Iterator[str]:
    """A server that answers with a status and headers, others to who brings a token."""

    class Handler(Quiet):
        def do_HEAD(self) -> None:
            known = self.headers.get("Authorization") == f"Bearer {TOKEN}"
            status, headers = with_token if known and with_token else plain
            self.send_response(status)
            for name, value in {"Content-Length": "0", **headers}.items():
                self.send_header(name, value)
            self.end_headers()

        def do_GET(self) -> None:
            self.do_HEAD()

    with served(Handler, tls) as port:
        yield f"{'https' if tls else 'http'}://{LOOPBACK}:{port}"


@contextmanager
def black_hole() -> Iterator[str]:
    """An address at which connections neither open nor fail: a listener whose queue is full."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind((LOOPBACK, 0))
        listener.listen(0)
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        yield f"http://{LOOPBACK}:{listener.getsockname()[1]}"


# -- TLS ----------------------------------------------------------------------------------------------------------


def own_certificate(folder: Path, name: str = f"IP:{LOOPBACK}") -> tuple[Path, ssl.SSLContext]:
    """A certificate that vouches for itself, as that of a proxy which opens TLS, and what a server does with it."""
    key, certificate = folder / "key.pem", folder / "cert.pem"
    subprocess.run(
        [
            "openssl",
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-days",
            "30",
            "-subj",
            f"/CN={folder.name}",
            "-addext",
            f"subjectAltName={name}",
            "-keyout",
            key,
            "-out",
            certificate,
        ],
        check=True,
        capture_output=True,
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return certificate, context


def of_another_time(folder: Path, begins: str, ends: str) -> tuple[Path, ssl.SSLContext]:
    """As `own_certificate`, valid from one day to another (`20010101`)."""
    key, request, certificate, config = (folder / name for name in ("key.pem", "asked.csr", "cert.pem", "ca.cnf"))
    for name, text in (("index.txt", ""), ("serial", "01")):
        (folder / name).write_text(text, encoding="ascii")
    config.write_text(
        f"[ca]\ndefault_ca = own\n[own]\ndatabase = {folder}/index.txt\nserial = {folder}/serial\n"
        f"new_certs_dir = {folder}\ndefault_md = sha256\npolicy = any\ncopy_extensions = copy\n"
        "[any]\ncommonName = supplied\n",
        encoding="ascii",
    )
    asked = [
        "openssl",
        "req",
        "-new",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-subj",
        f"/CN={folder.name}",
        "-addext",
        f"subjectAltName=IP:{LOOPBACK}",
        "-keyout",
        key,
        "-out",
        request,
    ]
    signed = [
        "openssl",
        "ca",
        "-selfsign",
        "-batch",
        "-notext",
        "-config",
        config,
        "-keyfile",
        key,
        "-in",
        request,
        "-out",
        certificate,
        "-startdate",
        f"{begins}000000Z",
        "-enddate",
        f"{ends}000000Z",
    ]
    for words in (asked, signed):
        subprocess.run(words, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return certificate, context


@contextmanager
def proxy_with_a_page(tls: ssl.SSLContext, page: str) -> Iterator[str]:
    """A proxy that answers in the name of every host, and sends everybody on to a page."""

    class Proxy(Quiet):
        def do_CONNECT(self) -> None:
            self.send_response(200)
            self.end_headers()
            with tls.wrap_socket(self.connection, server_side=True) as opened:
                opened.recv(65536)
                opened.sendall(f"HTTP/1.1 302 Found\r\nLocation: {page}\r\nContent-Length: 0\r\n\r\n".encode())
            self.close_connection = True

    with served(Proxy) as port:
        yield f"http://{LOOPBACK}:{port}"
