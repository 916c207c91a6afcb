"""A ComfyUI that answers right but for one thing, which `scenario` beside it names: `ROUTE KIND`.

It stands where a home has its `main.py` and is run as that is, so that the tool takes it for its own. Nothing but the
standard library: what it sends is written byte by byte, so that it can be as wrong as is wanted.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import random
import socket
import struct
import sys
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import unquote

MiB = 1 << 20
CHECKPOINT = "sd_xl_turbo_1.0_fp16.safetensors"
ROUTES = {
    "stats": "GET /system_stats", "models": "GET /models/", "queue": "GET /queue", "history": "GET /history/",
    "newest": "GET /history?", "prompt": "POST /prompt", "refusal": "POST /prompt", "object": "GET /object_info",
    "view": "GET /view", "delete": "POST /queue", "interrupt": "POST /interrupt", "ws": "GET /ws",
}  # fmt: skip
Connection = socket.socket


# -- what is sent in the place of JSON -----------------------------------------------------------------------------

DEEP = b'{"a":' * 50_000 + b"1" + b"}" * 50_000
BODIES: dict[str, bytes] = {
    "null": b"null", "list": b"[]", "list-of-lists": b"[[[[]]]]", "string": b'"hello"', "number": b"5",
    "true": b"true", "digits": b"9" * 5000, "float": b"1e999", "deep": DEEP, "deep-list": b"[" * 100_000,
    "html": b"<html>sign in</html>", "empty": b"", "nan": b'{"a": NaN}', "surrogate": b'{"a": "\\ud800"}',
    "binary": bytes(range(256)) * 4, "object-of-null": b'{"a": null}', "cut": b'{"a": [1, 2',
    "escapes": b'{"a": "\\u001b]0;title\\u0007\\u202e"}', "twenty-mb": b'{"a": "' + b"x" * (20 * MiB) + b'"}',
}  # fmt: skip
WRONG: dict[str, list[object]] = {
    "stats": [
        {"system": 5, "devices": []}, {"system": {"argv": 5}, "devices": []}, {"system": {"argv": ["x"]}, "devices": ["cpu"]},
        {"system": {"comfyui_version": ["\x1b[31m"]}, "devices": [None]}, {"system": {"argv": [None]}, "devices": {}},
    ],
    "models": [[5], [None, {"a": 1}], {"0": "x"}, [["x"]]],
    "queue": [
        {}, {"queue_running": 5, "queue_pending": []}, {"queue_running": [5], "queue_pending": [[]]},
        {"queue_running": [[0]], "queue_pending": []}, {"queue_running": [[0, {}]], "queue_pending": None},
    ],
    "history": [
        {"ID": None}, {"ID": []}, {"ID": {"outputs": 5}}, {"ID": {"outputs": {"7": {"images": 5}}}},
        {"ID": {"outputs": {"7": {"images": [{}]}}}}, {"ID": {"outputs": {"7": {"images": [5]}}}}, {"ID": {}},
        {"ID": {"outputs": {"7": {"images": [{"filename": 5}]}}}}, {"ID": {"status": 5, "outputs": {}}},
        {"ID": {"status": {"messages": 5}}}, {"ID": {"status": {"messages": [5]}}},
        {"ID": {"status": {"messages": [["execution_error"]]}}}, {"ID": {"status": {"messages": [["execution_error", 5]]}}},
        {"ID": {"status": {"messages": [["execution_error", {"traceback": 5, "exception_message": {}}]]}}},
        {"ID": {"status": {"status_str": "error"}}}, {"ID": {"outputs": {"7": {"images": [{"filename": "../../x\x00\n"}]}}}},
    ],
    "newest": [{"a": None}, {"a": {"status": {"messages": [["execution_error", [1]]]}}}, {"a": {"status": []}},
               {"a": {"status": {"messages": [["execution_error", {"node_type": "\x1b[2J" * 300, "timestamp": "x"}]]}}}],
    "prompt": [{}, {"prompt_id": None}, {"prompt_id": 5}, {"prompt_id": ""}, {"prompt_id": "../../x?a=b c"}, {"prompt_id": "x" * 100_000}],
    "refusal": [
        {"error": 5}, {"error": "no"}, {"error": {"message": 5}}, {"node_errors": 5}, {"node_errors": [1]}, {"node_errors": {"1": 5}},
        {"node_errors": {"1": {"errors": 5}}}, {"node_errors": {"1": {"errors": [5]}}}, {"node_errors": {"1": {"class_type": [], "errors": [{}]}}},
        {"node_errors": {"1": {"errors": [{"type": "value_not_in_list", "extra_info": 5}]}}},
        {"node_errors": {"1": {"errors": [{"type": "value_not_in_list", "extra_info": {"input_config": 5, "input_name": [1]}}]}}},
        {"node_errors": {"1": {"errors": [{"type": "value_not_in_list", "extra_info": {"input_name": "ckpt_name", "input_config": [["\x1b]0;x\x07"] * 9000]}}]}}},
        {"error": {"message": "\x1b[31m" + "x" * 500_000, "details": [1]}},
    ],
    "object": [{"KSampler": 5}, {"KSampler": {"python_module": 5}}, {"KSampler": {"python_module": "custom_nodes.\x1b[31m"}}],
}  # fmt: skip


# -- the ways in which HTTP itself goes wrong ----------------------------------------------------------------------


def drip(connection: Connection, start: bytes, byte: bytes) -> None:
    """A byte now and then, without end."""
    connection.sendall(start)
    while True:
        connection.sendall(byte)
        time.sleep(0.05)


def endless(connection: Connection, start: bytes, block: bytes) -> None:
    """As fast as it goes, without end."""
    connection.sendall(start)
    while True:
        connection.sendall(block)


def silent(connection: Connection) -> None:
    """Nothing, until the other side goes."""
    while connection.recv(65536):
        pass


def reset(connection: Connection) -> None:
    """Break the connection off."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def bomb(levels: int) -> bytes:
    """A gigabyte of nothing, packed once or more."""
    packed = gzip.compress(b"[" + b" " * (64 * MiB) + b"]")
    for _ in range(levels - 1):
        packed = gzip.compress(packed)
    return head(200, packed, "Content-Encoding: " + ", ".join(["gzip"] * levels))


def head(status: int, body: bytes, *lines: str, length: int | None = None) -> bytes:
    """An answer."""
    more = "".join(f"{line}\r\n" for line in lines)
    return (
        f"HTTP/1.1 {status} X\r\nContent-Length: {len(body) if length is None else length}\r\n{more}\r\n".encode()
        + body
    )


def redirect(place: str) -> Callable[[Connection], None]:
    """An answer that sends elsewhere."""
    return lambda connection: connection.sendall(head(302, b"", f"Location: {place}"))


OK = b"HTTP/1.1 200 OK\r\n"
TRANSPORT: dict[str, Callable[[Connection], None]] = {
    "drip-head": lambda it: drip(it, OK, b"X"),
    "drip-body": lambda it: drip(it, OK + b"Content-Length: 99999\r\n\r\n", b" "),
    "drip-chunks": lambda it: drip(it, OK + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
    "drip-length": lambda it: drip(it, OK + b"Transfer-Encoding: chunked\r\n\r\n", b"0"),
    "endless-head": lambda it: endless(it, OK, b"X-A: " + b"y" * 1000 + b"\r\n"),
    "endless-line": lambda it: endless(it, OK, b"y" * 1000),
    "endless-body": lambda it: endless(it, OK + b"\r\n", b" " * 65536),
    "endless-continue": lambda it: endless(it, b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "huge-length": lambda it: endless(it, OK + b"Content-Length: 9999999999999\r\n\r\n", b"x" * 65536),
    "silent": silent, "reset": reset, "close": lambda it: None,
    "short": lambda it: it.sendall(head(200, b"{}", length=100)),
    "long": lambda it: it.sendall(head(200, b'{"a": 1}', length=1)),
    "negative": lambda it: it.sendall(head(200, b"{}", length=-5)),
    "no-http": lambda it: it.sendall(b"SSH-2.0-OpenSSH_9.9\r\n"),
    "odd-status": lambda it: it.sendall(b"HTTP/1.1 999999 X\r\n\r\n"),
    "odd-chunk": lambda it: it.sendall(OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\nabc"),
    "odd-head": lambda it: it.sendall(OK + b"\xff\x00: \x1b[31m\r\nContent-Length: x\r\n\r\n{}"),
    "500": lambda it: it.sendall(head(500, b"<h1>Internal</h1>")), "204": lambda it: it.sendall(head(204, b"")),
    "401": lambda it: it.sendall(head(401, b"{}", "WWW-Authenticate: Basic")),
    "gzip-bomb": lambda it: it.sendall(bomb(1)), "gzip-bombs": lambda it: it.sendall(bomb(3)),
    "odd-gzip": lambda it: it.sendall(head(200, b"{}", "Content-Encoding: gzip")),
    "to-elsewhere": redirect("http://127.0.0.1:9/"), "to-itself": redirect("/system_stats"),
    "to-bad-port": redirect("http://localhost:99999999/x"), "to-ip6": redirect("http://[::1/x"),
    "to-escape": redirect("http://\x1b[31m/"), "to-label": redirect(f"http://{'a' * 70}.example/"), "to-file": redirect("file:///etc/passwd"),
}  # fmt: skip


# -- pictures ------------------------------------------------------------------------------------------------------


def chunk(kind: bytes, data: bytes) -> bytes:
    """One chunk of a PNG."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def ihdr(width: int, height: int) -> bytes:
    """The header of a PNG in RGB."""
    return chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))


def pixels(width: int, height: int) -> bytes:
    """Smooth shapes with some grain: a picture, to who judges it."""
    grain = random.Random(5)
    rows = []
    for y in range(height):
        row = bytearray([0])
        for x in range(width):
            light = 80 + (x // 32 * 37 + y // 32 * 59) % 120 + grain.randrange(6)
            row += bytes((light, light * 3 // 4, 255 - light))
        rows.append(bytes(row))
    return zlib.compress(b"".join(rows))


SIGNATURE, IEND = b"\x89PNG\r\n\x1a\n", chunk(b"IEND", b"")


def good_png(width: int = 256, height: int = 192, *before: bytes) -> bytes:
    """A picture as it should be, with more chunks before its pixels."""
    return SIGNATURE + ihdr(width, height) + b"".join(before) + chunk(b"IDAT", pixels(width, height)) + IEND


def png_bomb(width: int, height: int) -> bytes:
    """A picture of one colour that is small until it is unpacked."""
    packer = zlib.compressobj(9)
    row = bytes(1 + width * 3)
    data = b"".join(packer.compress(row) for _ in range(min(height, 12_000))) + packer.flush()
    return SIGNATURE + ihdr(width, height) + chunk(b"IDAT", data) + IEND


PICTURES: dict[str, Callable[[], bytes]] = {
    "page": lambda: b"<html>sign in</html>", "json": lambda: b'{"error": "no"}', "none": lambda: b"",
    "cut-half": lambda: good_png()[: len(good_png()) // 2], "cut-end": lambda: good_png()[:-12],
    "cut-byte": lambda: good_png()[:-1], "other-size": lambda: good_png(128, 192),
    "bomb-60000": lambda: png_bomb(60_000, 60_000), "bomb-12000": lambda: png_bomb(12_000, 12_000),
    "bomb-max": lambda: SIGNATURE + ihdr(2**31 - 1, 2**31 - 1) + chunk(b"IDAT", b"") + IEND,
    "animated": lambda: good_png(256, 192, chunk(b"acTL", struct.pack(">II", 2, 0)), chunk(b"fcTL", struct.pack(">IIIIIHHBB", 0, 256, 192, 0, 0, 1, 10, 0, 0))),
    "two-headers": lambda: good_png(256, 192, ihdr(60_000, 60_000)), "no-pixels": lambda: SIGNATURE + ihdr(256, 192) + IEND,
    "text-bomb": lambda: good_png(256, 192, chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(200 * MiB)))),
    "odd-crc": lambda: good_png().replace(b"IHDR", b"IHDr"), "zero": lambda: SIGNATURE + ihdr(0, 0) + IEND,
    "jpeg": lambda: b"\xff\xd8\xff\xe0" + bytes(500) + b"\xff\xd9", "gif": lambda: b"GIF89a\x01\x00\x01\x00\x00\x00\x00;",
    "black": lambda: SIGNATURE + ihdr(256, 192) + chunk(b"IDAT", zlib.compress(bytes(192 * (1 + 256 * 3)))) + IEND,
    "fifty-mb": lambda: good_png() + bytes(50 * MiB),
}  # fmt: skip


# -- WebSocket -----------------------------------------------------------------------------------------------------


def frame(data: bytes, opcode: int = 1, fin: int = 0x80, length: int | None = None) -> bytes:
    """A frame, also one that announces another length than it has."""
    size = len(data) if length is None else length
    if size < 126:
        return bytes((fin | opcode, size)) + data
    if size < 65536:
        return bytes((fin | opcode, 126)) + struct.pack(">H", size) + data
    return bytes((fin | opcode, 127)) + struct.pack(">Q", size) + data


def told(kind: str, **data: object) -> bytes:
    """A message about the prompt, whose id is put in."""
    return json.dumps({"type": kind, "data": {"prompt_id": "ID", **data}}).encode()


TEXTS: dict[str, bytes] = {
    "text-no-json": b"hello", "text-list": b"[1, 2]", "text-null": b"null", "text-string": b'"x"', "text-deep": DEEP,
    "text-no-data": b'{"type": "executing"}', "text-list-data": b'{"type": "my.node", "data": [1, 2]}',
    "text-string-data": b'{"type": "my.node", "data": "x"}', "text-null-data": b'{"type": "my.node", "data": null}',
    "text-number-data": b'{"type": 5, "data": 5}', "text-no-utf8": b"\xff\xfe\x80",
    "id-in-a-list": b'["ID"]', "id-in-a-string": b'"ID"', "id-of-a-list": b'{"type": "executing", "data": ["ID"]}',
    "odd-node": told("executing", node={"a": [1]}), "odd-node-list": told("executing", node=["ID"]),
    "huge-progress": told("progress", value=10**300, max=10**300), "odd-progress": told("progress", value=[], max={}),
    "negative-progress": told("progress", value=-5, max=-1), "text-progress": told("progress", value="x", max=None),
    "digits-progress": told("progress").replace(b'"ID"', b'"ID", "value": ' + b"9" * 5000),
    "odd-error": told("execution_error", traceback=5, exception_message=[1], node_type={}, node_id=[]),
    "deep-error": b'{"type": "execution_error", "data": {"prompt_id": "ID", "current_inputs": ' + DEEP + b"}}",
    "error-of-escapes": told("execution_error", exception_message="\x1b]0;x\x07" * 9000, node_type="\x1b[2J"),
    "error-of-patterns": told("execution_error", exception_message="MPSGraph" * 400_000),
    "unknown-kind": told("progress_state", nodes={"5": {"value": 1}}), "early-end": told("executing", node=None),
    "early-success": told("execution_success"), "other-prompt": json.dumps({"type": "execution_error", "data": {"prompt_id": "other"}}).encode(),
}  # fmt: skip


def many(data: bytes) -> Iterator[bytes]:
    """The same without end, in large pieces."""
    block = data * max(1, 65536 // len(data))
    while True:
        yield block


def preview() -> Iterator[bytes]:
    """The binary frames of pictures in the making."""
    yield from (frame(struct.pack(">II", 1, 1) + bytes(100_000), 2) for _ in range(200))


STREAMS: dict[str, Callable[[], Iterator[bytes]]] = {
    "endless-texts": lambda: many(frame(b'{"type": "status", "data": {}}')),
    "endless-ours": lambda: many(frame(told("progress", value=1, max=2))),
    "endless-ends": lambda: many(frame(told("executing", node=None))),
    "endless-fragments": lambda: iter_of(frame(b"", 1, 0), many(frame(b"", 0, 0))),
    "endless-fragment": lambda: iter_of(frame(b"{", 1, 0), many(frame(b" " * 60_000, 0, 0))),
    "endless-binary": lambda: many(frame(bytes(60_000), 2)), "endless-pings": lambda: many(frame(b"x", 9)),
    "300-mb": lambda: iter_of(frame(b"", 2, length=300 * MiB), (bytes(65536) for _ in range(4800))),
    "300-mb-text": lambda: iter_of(frame(b"", 1, length=300 * MiB), (bytes(65536) for _ in range(4800))),
    "60-mb-text": lambda: iter_of(frame(b"", 1, length=60 * MiB), (b" " * 65536 for _ in range(960))),
    "exabyte": lambda: iter((frame(b"", 2, length=2**63 - 1),)), "previews": preview,
    "flood": lambda: (frame(told("progress", value=n % 20, max=20)) * 500 for n in range(200)),
    "close": lambda: iter((frame(b"\x03\xe8bye", 8),)), "odd-close": lambda: iter((frame(b"\xff", 8),)),
    "long-ping": lambda: iter((frame(bytes(200), 9),)), "bad-opcode": lambda: iter((frame(b"x", 5),)),
    "masked": lambda: iter((b"\x81\x85abcdhello",)), "reserved": lambda: iter((b"\xf1\x01x",)),
    "unbegun": lambda: iter((frame(b"x", 0),)), "noise": lambda: iter((random.Random(3).randbytes(100_000),)),
    "half-a-head": lambda: iter((b"\x81",)), "hangs-up": lambda: iter(()),
}  # fmt: skip


def iter_of(first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    """One, then the others."""
    yield first
    yield from rest


SHAKES: dict[str, Callable[[Connection], None]] = {
    "not-found": lambda it: it.sendall(head(404, b"")), "a-page": lambda it: it.sendall(head(200, b"<html>")),
    "wrong-key": lambda it: it.sendall(b"HTTP/1.1 101 X\r\nSec-WebSocket-Accept: AAAA\r\n\r\n"),
    "to-elsewhere": redirect("ws://127.0.0.1:9/"), "drip-shake": lambda it: drip(it, b"HTTP/1.1 101 X\r\n", b"X"),
    "endless-shake": lambda it: endless(it, b"HTTP/1.1 101 X\r\n", b"X-A: y\r\n"), "silent-shake": silent, "reset-shake": reset,
}  # fmt: skip


def scenarios() -> list[str]:
    """All of them."""
    json_routes = [route for route in ROUTES if route not in ("view", "ws", "delete", "interrupt")]
    found = [f"{route} {kind}" for route in json_routes for kind in (*BODIES, *TRANSPORT)]
    found += [f"{route} wrong-{place}" for route, wrong in WRONG.items() for place in range(len(wrong))]
    found += [f"view {kind}" for kind in (*PICTURES, *TRANSPORT)]
    found += [f"ws {kind}" for kind in (*TEXTS, *STREAMS, *SHAKES)]
    return found


# -- the server ----------------------------------------------------------------------------------------------------


class Hostile:
    """Who listens on the port."""

    def __init__(self, port: int, scenario: str) -> None:
        self.route, self.kind = scenario.split(" ", 1)
        self.listener = socket.create_server(("127.0.0.1", port))
        self.prompt_id, self.done, self.stream = "", threading.Event(), threading.Event()

    def serve(self) -> None:
        """Answer, without end."""
        while True:
            connection, _ = self.listener.accept()
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
            self.talk(connection, request, evil)
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
        if self.kind.startswith("wrong-"):
            said = json.dumps(WRONG[self.route][int(self.kind.removeprefix("wrong-"))]).encode()
            asked = unquote(request.split(" ")[1]).rpartition("/")[2]
            return status, said.replace(b'"ID"', json.dumps(asked).encode())
        return status, BODIES[self.kind]

    def right(self, request: str, body: bytes) -> bytes:
        """What ComfyUI answers."""
        path = request.split(" ")[1]
        if request.startswith("POST /prompt"):
            self.prompt_id = json.loads(body).get("prompt_id") or "an-id"
            threading.Timer(0.2, self.done.set).start()
            self.stream.set()
            return json.dumps({"prompt_id": self.prompt_id, "number": 1, "node_errors": {}}).encode()
        if path.startswith("/view"):
            return good_png()
        return json.dumps(self.object(path)).encode()

    def object(self, path: str) -> object:
        """As JSON."""
        image = {"filename": "provision_00001_.png", "subfolder": "", "type": "output"}
        entry = {
            "outputs": {"7": {"images": [image]}},
            "status": {"status_str": "success", "completed": True, "messages": []},
        }
        if path == "/queue":
            return {"queue_running": [] if self.done.is_set() else [[0, self.prompt_id, {}]], "queue_pending": []}
        if path.startswith("/history?"):
            failed = {"node_id": "5", "node_type": "KSampler", "exception_message": "odd", "traceback": []}
            return {"x": {**entry, "status": {"status_str": "error", "messages": [["execution_error", failed]]}}}
        if path.startswith("/history"):
            return {self.prompt_id: entry} if self.done.is_set() else {}
        if path.startswith("/models"):
            return [CHECKPOINT]
        if path.startswith("/object_info"):
            return {"KSampler": {"python_module": "nodes"}}
        system = {
            "comfyui_version": "0.38.1",
            "python_version": "3.12.1 (x)",
            "pytorch_version": "2.16",
            "argv": sys.argv,
        }
        return {"system": system, "devices": [{"name": "cpu", "type": "cpu"}]}

    def talk(self, connection: Connection, request: str, evil: bool) -> None:
        """The WebSocket: what is evil in it comes as soon as there is a prompt."""
        if evil and self.kind in (*SHAKES, *TRANSPORT):
            {**TRANSPORT, **SHAKES}[self.kind](connection)
            return
        key = next(
            line.split(": ")[1] for line in request.split("\r\n") if line.lower().startswith("sec-websocket-key")
        )
        accept = base64.b64encode(hashlib.sha1(f"{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11".encode()).digest()).decode()
        connection.sendall(
            f"HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n".encode()
        )
        self.stream.wait()
        if evil:
            pieces = (
                STREAMS[self.kind]()
                if self.kind in STREAMS
                else iter([frame(TEXTS[self.kind].replace(b"ID", self.prompt_id.encode()))] * 5)
            )
            for piece in pieces:
                connection.sendall(
                    piece.replace(b'"ID"', json.dumps(self.prompt_id).encode()) if len(piece) < MiB else piece
                )
            if self.kind == "hangs-up":
                return
        self.done.wait()
        connection.sendall(
            frame(json.dumps({"type": "executing", "data": {"prompt_id": self.prompt_id, "node": None}}).encode())
        )
        silent(connection)


def read_request(connection: Connection) -> tuple[str, bytes]:
    """The head as text, and the body."""
    data = b""
    while b"\r\n\r\n" not in data:
        piece = connection.recv(65536)
        if not piece:
            raise ConnectionError
        data += piece
    text, _, body = data.partition(b"\r\n\r\n")
    lines = text.decode("latin-1").split("\r\n")
    length = next((int(line.split(":")[1]) for line in lines if line.lower().startswith("content-length:")), 0)
    while len(body) < length:
        body += connection.recv(65536)
    return "\r\n".join(lines), body


if __name__ == "__main__":
    scenario = Path(__file__).with_name("scenario").read_text(encoding="utf-8")
    Hostile(int(sys.argv[sys.argv.index("--port") + 1]), scenario).serve()
