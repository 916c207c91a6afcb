"""An answer comes to an end, whatever the server does."""

from __future__ import annotations

import gzip
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest
import requests

from provision.system import bounded_http
from provision.system.bounded_http import bounded_session, json_of
from provision.system.strict import Unreadable

OBJECT = dict[str, object]
OK = b"HTTP/1.1 200 OK\r\n"
Behaviour = Callable[[socket.socket], None]


@pytest.fixture
def serve() -> Iterator[Callable[[Behaviour], str]]:
    """Starts a server that answers each connection with one behaviour; returns its address."""
    listeners: list[socket.socket] = []

    def start(behave: Behaviour) -> str:
        listener = socket.create_server(("127.0.0.1", 0))
        listeners.append(listener)
        threading.Thread(target=accept, args=(listener, behave), daemon=True).start()
        return f"http://127.0.0.1:{listener.getsockname()[1]}/"

    yield start
    for listener in listeners:
        listener.close()


def accept(listener: socket.socket, behave: Behaviour) -> None:
    while True:
        try:
            caller, _ = listener.accept()
        except OSError:
            return
        with caller:
            caller.recv(1 << 16)
            try:
                behave(caller)
            except OSError:
                continue


def drip(caller: socket.socket, start: bytes, byte: bytes) -> None:
    """A byte now and then, without end: no single wait is long."""
    caller.sendall(start)
    while True:
        caller.sendall(byte)
        time.sleep(0.02)


def flood(caller: socket.socket) -> None:
    caller.sendall(OK)
    while True:
        caller.sendall(b"X-A: " + b"y" * 1000 + b"\r\n")


@pytest.mark.parametrize(
    "behave",
    [
        lambda caller: drip(caller, OK, b"X"),
        lambda caller: drip(caller, b"", b"H"),
        lambda caller: drip(caller, OK + b"Content-Length: 9999\r\n\r\n", b" "),
        lambda caller: drip(caller, OK + b"Transfer-Encoding: chunked\r\n\r\n", b"0"),
        lambda caller: drip(caller, OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"X: y\r\n"),
        flood,
    ],
    ids=["head", "status", "body", "chunk length", "trailers", "flood"],
)
def test_an_endless_answer_ends(
    serve: Callable[[Behaviour], str], behave: Behaviour, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounded_http, "HEAD_S", 0.5)
    with pytest.raises(OSError), bounded_session(body_s=0.5).get(serve(behave), stream=True, timeout=30) as answer:  # noqa: PT011
        json_of(answer, OBJECT)


def test_a_bomb_is_not_unpacked(serve: Callable[[Behaviour], str]) -> None:
    packed = gzip.compress(b"0" * (100 << 20))
    head = OK + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(packed)
    with (
        pytest.raises(Unreadable, match="more than"),
        bounded_session().get(serve(lambda caller: caller.sendall(head + packed)), stream=True, timeout=30) as answer,
    ):
        json_of(answer, OBJECT)


def test_an_answer_in_bounds_is_read(serve: Callable[[Behaviour], str]) -> None:
    address = serve(lambda caller: caller.sendall(OK + b'Content-Length: 8\r\n\r\n{"a": 1}'))
    with bounded_session().get(address, stream=True, timeout=30) as answer:
        assert isinstance(answer, requests.Response)
        assert json_of(answer, OBJECT) == {"a": 1}
