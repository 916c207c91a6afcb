"""The way to a server: addresses that hang, proxies, certificates, and what is said when there is none."""

from __future__ import annotations

import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from provision.core.patience import Patience
from provision.core.step import Context
from provision.download.backend import Address
from provision.download.backends.http import fetch_http
from provision.download.http.transfer import Transfer
from provision.download.http.wire import Dialer, Line, in_turn
from provision.download.part_file import open_part
from provision.errors import DownloadError, NetworkError
from provision.rehearsal.model_repo import ModelRepo
from provision.system.proxies import proxy_for
from tests.support.faults import Fault
from tests.support.hints import said
from tests.support.hub import Hub
from tests.support.processes import eventually
from tests.support.small_model import FILE, Brisk, is_one_sentence_with_hint, remote_file, small_context


@pytest.fixture
def ctx(tmp_path: Path, hub: Hub, model: ModelRepo) -> Context:
    return small_context(tmp_path, model, hub.url)


def fetch(ctx: Context, hub: Hub, model: ModelRepo) -> None:
    file = remote_file(hub, model)
    fetch_http(ctx, file, open_part(ctx.machine, ctx.home, file))


def test_addresses_take_turns() -> None:
    assert in_turn(["::1", "::2", "::3", "1.1.1.1"]) == ["::1", "1.1.1.1", "::2", "::3"]
    assert in_turn(["1.1.1.1", "::1"]) == ["1.1.1.1", "::1"]
    assert in_turn(["1.1.1.1"]) == ["1.1.1.1"]


def test_an_address_that_hangs_does_not_hold_up_the_next(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    port = int(hub.url.rpartition(":")[2])
    with socket.socket() as full:  # its queue is full: a connection to it is never answered
        full.bind(("127.0.0.2", port))
        full.listen(0)
        waiting = [socket.socket() for _ in range(3)]
        for each in waiting:
            each.setblocking(False)
            each.connect_ex(("127.0.0.2", port))
        found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (host, port)) for host in ("127.0.0.2", "127.0.0.1")]
        ask = socket.getaddrinfo
        monkeypatch.setattr(
            socket,
            "getaddrinfo",
            lambda host, *words, **more: found if host == "hub.test" else ask(host, *words, **more),
        )
        dialer = Dialer({})
        began = time.monotonic()
        dialer.dial(("hub.test", port)).close()
        first_s = time.monotonic() - began
        dialer.dial(("hub.test", port)).close()
        assert 0.9 < first_s < 3
        assert time.monotonic() - began - first_s < 0.9, "what answered is asked first from then on"
        for each in waiting:
            each.close()


def test_what_came_with_the_head_is_not_passed_over(hub: Hub, model: ModelRepo, world: tuple[Path, ModelRepo]) -> None:
    """Buffers smaller than what http.client has read ahead; the rest is read past it, from the socket."""
    whole = (world[0].parent / "weights" / FILE).read_bytes()
    line, seen = Line(Dialer({}), patience_s=5), bytearray()
    with line.get(Address(remote_file(hub, model).url, {}), {}) as answer:
        room = memoryview(bytearray(100_000))
        while len(seen) < 300_000:
            count = answer.fill(room[: 7 + len(seen) // 3])
            seen += room[:count]
    line.close()
    assert seen == whole[: len(seen)]


def test_which_proxy() -> None:
    environ = {"https_proxy": "http://p:1", "HTTP_PROXY": "q:2", "no_proxy": "example.org,.local"}
    assert proxy_for("https://huggingface.co/x", environ) == "http://p:1"
    assert proxy_for("http://huggingface.co/x", environ) == "http://q:2"
    assert proxy_for("https://cdn.example.org/x", environ) == ""
    assert proxy_for("http://127.0.0.1:8/x", environ) == ""
    assert proxy_for("https://huggingface.co/x", {"all_proxy": "http://r:3"}) == "http://r:3"


class _Proxy(BaseHTTPRequestHandler):
    """Tunnels, and passes plain requests on, to loopback whatever the host; notes what it was asked."""

    asked: list[tuple[str, str, str]]
    target: int

    def do_CONNECT(self) -> None:
        self.asked.append((self.command, self.path, self.headers.get("Proxy-Authorization", "")))
        self.send_response(200)
        self.end_headers()
        with socket.create_connection(("127.0.0.1", self.target)) as onward:
            one = threading.Thread(target=pump, args=(self.connection, onward), daemon=True)
            one.start()
            pump(onward, self.connection)

    def do_GET(self) -> None:
        self.asked.append((self.command, self.path, self.headers.get("Proxy-Authorization", "")))
        self.send_response(200)
        self.send_header("Content-Length", "5")
        self.end_headers()
        self.wfile.write(b"plain")

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


def pump(source: socket.socket, target: socket.socket) -> None:
    try:
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        pass


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    if shutil.which("openssl") is None:
        pytest.skip("openssl makes the certificate")
    path = tmp_path / "hub.pem"
    subprocess.run(
        [
            "openssl",
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-days",
            "2",
            "-keyout",
            str(path),
            "-out",
            str(tmp_path / "cert"),
            "-subj",
            "/CN=hub.test",
            "-addext",
            "subjectAltName=DNS:hub.test,IP:127.0.0.1",
        ],
        check=True,
        capture_output=True,
    )
    path.write_text(path.read_text() + (tmp_path / "cert").read_text())
    return path


class _Page(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "200000")
        self.end_headers()
        self.wfile.write(b"x" * 200_000)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def tls_port(certificate: Path) -> Iterator[int]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Page)
    server.daemon_threads = True
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server.server_port
    server.shutdown()
    server.server_close()


def read_all(line: Line, url: str) -> bytes:
    answer = line.get(Address(url, {}), {})
    view, found = memoryview(bytearray(70_000)), bytearray()
    while True:
        try:
            found += view[: answer.fill(view)]
        except EOFError:
            return bytes(found)


def test_a_proxy_is_asked_for_a_tunnel_or_with_the_whole_address(certificate: Path, tls_port: int) -> None:
    asked: list[tuple[str, str, str]] = []
    handler = type("Proxy", (_Proxy,), {"asked": asked, "target": tls_port})
    proxy = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    proxy.daemon_threads = True
    threading.Thread(target=proxy.serve_forever, daemon=True).start()
    at = f"http://me:secret@127.0.0.1:{proxy.server_port}"
    line = Line(Dialer({"https_proxy": at, "http_proxy": at, "SSL_CERT_FILE": str(certificate)}), patience_s=5)
    assert read_all(line, "https://hub.test/file") == b"x" * 200_000
    assert read_all(line, "http://plain.test/file?a=b") == b"plain"
    line.close()
    proxy.shutdown()
    proxy.server_close()
    assert [(command, path) for command, path, _ in asked] == [
        ("CONNECT", "hub.test:443"),
        ("GET", "http://plain.test/file?a=b"),
    ]
    assert all(credentials == "Basic bWU6c2VjcmV0" for _, _, credentials in asked)


def test_tls_is_read_as_it_is_and_only_from_who_is_trusted(certificate: Path, tls_port: int) -> None:
    url = f"https://127.0.0.1:{tls_port}/file"
    line = Line(Dialer({"SSL_CERT_FILE": str(certificate)}), patience_s=5)
    assert read_all(line, url) == read_all(line, url) == b"x" * 200_000  # one connection for both
    line.close()
    with pytest.raises(ssl.SSLCertVerificationError):
        Line(Dialer({}), patience_s=5).get(Address(url, {}), {})


def test_an_unknown_issuer_is_said(
    tmp_path: Path, hub: Hub, model: ModelRepo, tls_port: int, certificate: Path
) -> None:
    """The hub answers, its CDN shows a certificate that nobody vouches for."""
    ctx = small_context(tmp_path, model, hub.url)
    hub.arm(Fault("*", "redirect_out", times=-1, value=f"https://127.0.0.1:{tls_port}", origin="hub"))
    with pytest.raises(NetworkError, match=r"certificate of 127\.0\.0\.1") as failed:
        fetch(ctx, hub, model)
    assert "SSL_CERT_FILE" in said(failed.value.hint)


def test_nobody_there_is_said(tmp_path: Path, hub: Hub, model: ModelRepo) -> None:
    ctx = small_context(tmp_path, model, hub.url)
    hub.arm(Fault("*", "redirect_out", times=-1, value="http://127.0.0.1:9", origin="hub"))
    with pytest.raises(NetworkError, match=r"127\.0\.0\.1:9 cannot be reached \(Connection refused\)"):
        fetch(ctx, hub, model)
    assert isinstance(ctx.machine, Brisk)
    assert sum(ctx.machine.slept) == ctx.patience.outage_s


class Counting(Brisk):
    """Counts how often the one who starts connections has come round."""

    def __init__(self) -> None:
        super().__init__()
        self.rounds = 0

    def check_interrupted(self) -> None:
        self.rounds += 1
        super().check_interrupted()


def test_a_failure_is_waited_out_however_late_it_is_seen(
    tmp_path: Path, hub: Hub, model: ModelRepo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A connection that has left, and whose end is not seen yet, makes no room for another."""
    machine, leave = Counting(), Transfer.leave

    def left_unseen(transfer: Transfer) -> None:
        leave(transfer)
        then = machine.rounds
        assert eventually(lambda: machine.rounds > then + 1)

    monkeypatch.setattr(Transfer, "leave", left_unseen)
    ctx = replace(small_context(tmp_path, model, hub.url, machine=machine), patience=Patience(outage_s=7))
    hub.arm(Fault("*", "redirect_out", times=-1, value="http://127.0.0.1:9", origin="hub"))
    with pytest.raises(NetworkError, match=r"127\.0\.0\.1:9 cannot be reached"):
        fetch(ctx, hub, model)
    assert machine.slept == [1, 2, 4]


def test_a_garbled_redirect_is_one_sentence(ctx: Context, hub: Hub, model: ModelRepo) -> None:
    hub.arm(Fault("*", "redirect_out", times=-1, value="http://[::1/x", origin="cdn"))
    with pytest.raises((NetworkError, DownloadError)) as failed:
        fetch(ctx, hub, model)
    assert is_one_sentence_with_hint(failed.value.message, said(failed.value.hint))
