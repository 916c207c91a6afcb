"""ComfyUI's WebSocket: opened within bounds of time and bytes, read without waiting longer than asked."""

from __future__ import annotations

import base64
import hashlib
import os
import select
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress

from provision.comfyui.websocket_frames import CLOSE, PING, TEXT, BadFrame, Frames
from provision.system.machine import LOOPBACK

HEAD_MAX_BYTES = 64 << 10
READ_BYTES = 1 << 18
PONG_HEAD = 0x8A
ACCEPTED = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
"""What a server adds to the key before it hashes it (RFC 6455, section 1.3)."""


class EventStream:
    """The texts that a server sends. `open` is false once it ended, or sent something else."""

    def __init__(self, connected: socket.socket, rest: bytes) -> None:
        self._socket, self._rest = connected, rest
        self._frames = Frames()
        self.open = True

    def texts(self, wait_s: float) -> Iterator[bytes]:
        """The texts of one read, after waiting for `wait_s` at most where there is nothing."""
        try:
            for opcode, data in self._frames.feed(self._read(wait_s)):
                if opcode == TEXT:
                    yield data
                elif opcode == PING:
                    self._pong(data)
                elif opcode == CLOSE:
                    self.close()
                    return
        except (OSError, BadFrame):
            self.close()

    def close(self) -> None:
        """Hang up."""
        self.open = False
        self._socket.close()

    def _read(self, wait_s: float) -> bytes:
        if self._rest:
            rest, self._rest = self._rest, b""
            return rest
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        if not poll.poll(wait_s * 1000):
            return b""
        data = self._socket.recv(READ_BYTES)
        if not data:
            raise ConnectionResetError
        return data

    def _pong(self, data: bytes) -> None:
        mask = os.urandom(4)
        masked = bytes(byte ^ mask[place % 4] for place, byte in enumerate(data))
        with suppress(BlockingIOError):  # a server that does not read gets none
            self._socket.send(bytes((PONG_HEAD, 0x80 | len(data))) + mask + masked)


def open_events(port: int, client_id: str, timeout_s: float) -> EventStream | None:
    """The WebSocket of a client; None where ComfyUI does not open one in time."""
    deadline, key = time.monotonic() + timeout_s, base64.b64encode(os.urandom(16))
    request = (
        f"GET /ws?clientId={client_id} HTTP/1.1\r\nHost: {LOOPBACK}:{port}\r\nUpgrade: websocket\r\n"
        f"Connection: Upgrade\r\nSec-WebSocket-Key: {key.decode()}\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    accepted = base64.b64encode(hashlib.sha1(key + ACCEPTED, usedforsecurity=False).digest())
    with suppress(OSError), ExitStack() as unless_open:
        connected = unless_open.enter_context(socket.create_connection((LOOPBACK, port), timeout_s))
        connected.sendall(request.encode())
        head, _, rest = _read_head(connected, deadline).partition(b"\r\n\r\n")
        if head.startswith(b"HTTP/1.1 101 ") and accepted in head:
            connected.setblocking(False)
            unless_open.pop_all()
            return EventStream(connected, rest)
    return None


def _read_head(connected: socket.socket, deadline: float) -> bytes:
    """Everything until the end of the head is there. Raises OSError."""
    data = b""
    while b"\r\n\r\n" not in data:
        connected.settimeout(max(0.001, deadline - time.monotonic()))
        piece = connected.recv(HEAD_MAX_BYTES)
        if not piece or len(data) > HEAD_MAX_BYTES or time.monotonic() > deadline:
            raise ConnectionError
        data += piece
    return data
