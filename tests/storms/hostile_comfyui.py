"""A ComfyUI that answers right but for one thing, which is named `ROUTE KIND`.

It is run as a home's `main.py`, so that the tool takes it for its own; or in a thread of a test.
"""

from __future__ import annotations

import base64
import hashlib
import json
import socket
import sys
import threading
from pathlib import Path
from urllib.parse import unquote

from tests.storms.evil import (
    BODIES,
    PICTURES,
    ROUTES,
    SHAKES,
    STREAMS,
    TEXTS,
    TRANSPORT,
    WRONG,
    Connection,
    frame,
    good_png,
    head,
    silent,
    told,
)

CHECKPOINT = "sd_xl_turbo_1.0_fp16.safetensors"
IMAGE = {"filename": "provision_00001_.png", "subfolder": "", "type": "output"}
ENTRY = {"outputs": {"7": {"images": [IMAGE]}}, "status": {"status_str": "success", "messages": []}}
FAILED = {"node_id": "5", "node_type": "KSampler", "exception_message": "odd", "traceback": []}
SYSTEM = {"comfyui_version": "0.38.1", "python_version": "3.12.1 (x)", "pytorch_version": "2.16", "argv": sys.argv}


class Hostile:
    """Who listens on the port; 0 takes one that is free."""

    def __init__(self, port: int, scenario: str, image_s: float = 0.2) -> None:
        self.route, self.kind = scenario.split(" ", 1)
        self.image_s = image_s
        self.listener = socket.create_server(("127.0.0.1", port))
        self.port = int(self.listener.getsockname()[1])
        self.prompt_id, self.asked, self.done = "", threading.Event(), threading.Event()

    def serve(self) -> None:
        """Answer, until the listener is closed."""
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.handle, args=(connection,), daemon=True).start()

    def handle(self, connection: Connection) -> None:
        """One connection, one request."""
        with connection:
            try:
                request, body = read_request(connection)
                self.answer(connection, request, body)
            except OSError:
                return

    def answer(self, connection: Connection, request: str, body: bytes) -> None:
        """What is right, but for the one thing."""
        evil = request.startswith(ROUTES[self.route])
        if request.startswith(ROUTES["ws"]):
            self.talk(connection, request, evil=evil)
        elif evil and self.kind in TRANSPORT:
            TRANSPORT[self.kind](connection)
        else:
            status, said = self.evil(request) if evil else (200, self.right(request, body))
            connection.sendall(head(status, said))

    def evil(self, request: str) -> tuple[int, bytes]:
        """The one thing, where it is a body."""
        status = 400 if self.route == "refusal" else 200
        if self.kind in PICTURES:
            return status, PICTURES[self.kind]()
        if self.kind in BODIES:
            return status, BODIES[self.kind]
        said = json.dumps(WRONG[self.route][int(self.kind.removeprefix("wrong-"))])
        asked = unquote(request.split(" ")[1]).rpartition("/")[2]
        return status, said.replace('"ID"', json.dumps(asked)).encode()

    def right(self, request: str, body: bytes) -> bytes:
        """What ComfyUI answers."""
        path = request.split(" ")[1]
        if request.startswith("POST /prompt"):
            self.prompt_id = json.loads(body).get("prompt_id") or "an-id"
            threading.Timer(self.image_s, self.done.set).start()
            self.asked.set()
            return json.dumps({"prompt_id": self.prompt_id, "number": 1, "node_errors": {}}).encode()
        return good_png() if path.startswith("/view") else json.dumps(self.object(path)).encode()

    def object(self, path: str) -> object:
        """As JSON."""
        if path == "/queue":
            running = self.asked.is_set() and not self.done.is_set()
            return {"queue_running": [[0, self.prompt_id, {}]] if running else [], "queue_pending": []}
        if path.startswith("/history?"):
            return {"x": {**ENTRY, "status": {"status_str": "error", "messages": [["execution_error", FAILED]]}}}
        if path.startswith("/history"):
            return {self.prompt_id: ENTRY} if self.done.is_set() else {}
        if path.startswith("/models"):
            return [CHECKPOINT]
        if path.startswith("/object_info"):
            return {"KSampler": {"python_module": "nodes"}}
        return {"system": SYSTEM, "devices": [{"name": "cpu", "type": "cpu"}]}

    def talk(self, connection: Connection, request: str, *, evil: bool) -> None:
        """The WebSocket: what is evil in it comes as soon as there is a prompt."""
        if evil and self.kind in SHAKES:
            SHAKES[self.kind](connection)
            return
        heads = (line.partition(": ") for line in request.split("\r\n"))
        key = next(value for name, _, value in heads if name.lower() == "sec-websocket-key")
        digest = hashlib.sha1(f"{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11".encode()).digest()
        accept = f"Sec-WebSocket-Accept: {base64.b64encode(digest).decode()}"
        lines = ("HTTP/1.1 101 X", "Upgrade: websocket", "Connection: Upgrade", accept, "", "")
        connection.sendall("\r\n".join(lines).encode())
        self.asked.wait()
        if evil:
            self.chatter(connection)
            if self.kind == "hangs-up":
                return
        self.done.wait()
        connection.sendall(frame(told("executing", node=None).replace(b"ID", self.prompt_id.encode())))
        silent(connection)

    def chatter(self, connection: Connection) -> None:
        """What is evil in the WebSocket."""
        ours = self.prompt_id.encode()
        if self.kind in TEXTS:
            connection.sendall(frame(TEXTS[self.kind].replace(b"ID", ours)) * 5)
            return
        for piece in STREAMS[self.kind](ours):
            connection.sendall(piece)


def read_request(connection: Connection) -> tuple[str, bytes]:
    """The head as text, and the body."""
    data = b""
    while b"\r\n\r\n" not in data:
        piece = connection.recv(65536)
        if not piece:
            raise ConnectionError
        data += piece
    text, _, body = data.partition(b"\r\n\r\n")
    request = text.decode("latin-1")
    lines = request.lower().split("\r\n")
    length = next((int(line.split(":")[1]) for line in lines if line.startswith("content-length:")), 0)
    while len(body) < length:
        body += connection.recv(65536)
    return request, body


def main() -> None:
    """Listen where the command line says, and do what `scenario` beside the program says."""
    scenario = Path(sys.argv[0]).with_name("scenario").read_text(encoding="utf-8")
    Hostile(int(sys.argv[sys.argv.index("--port") + 1]), scenario).serve()
