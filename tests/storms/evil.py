"""What a ComfyUI can do wrong, in one thing at a time: as bodies, as HTTP, as pictures, as a WebSocket.

All of it is written byte by byte, so that it can be as wrong as is wanted.
"""

from __future__ import annotations

import gzip
import json
import random
import socket
import struct
import time
import zlib
from collections.abc import Callable, Iterator
from functools import cache

MiB = 1 << 20
ROUTES = {
    "stats": "GET /system_stats",
    "models": "GET /models/",
    "queue": "GET /queue",
    "history": "GET /history/",
    "newest": "GET /history?",
    "prompt": "POST /prompt",
    "refusal": "POST /prompt",
    "object": "GET /object_info",
    "view": "GET /view",
    "delete": "POST /queue",
    "interrupt": "POST /interrupt",
    "ws": "GET /ws",
}
Connection = socket.socket


# -- what is sent in the place of JSON -----------------------------------------------------------------------------

DEEP = b'{"a":' * 50_000 + b"1" + b"}" * 50_000
BODIES: dict[str, bytes] = {
    "null": b"null",
    "list": b"[]",
    "list-of-lists": b"[[[[]]]]",
    "string": b'"hello"',
    "number": b"5",
    "true": b"true",
    "digits": b"9" * 5000,
    "float": b"1e999",
    "deep": DEEP,
    "deep-list": b"[" * 100_000,
    "html": b"<html>sign in</html>",
    "empty": b"",
    "nan": b'{"a": NaN}',
    "surrogate": b'{"a": "\\ud800"}',
    "binary": bytes(range(256)) * 4,
    "object-of-null": b'{"a": null}',
    "cut": b'{"a": [1, 2',
    "escapes": b'{"a": "\\u001b]0;title\\u0007\\u202e"}',
    "twenty-mb": b'{"a": "' + b"x" * (20 * MiB) + b'"}',
}
WRONG: dict[str, list[object]] = {
    "stats": [
        {"system": 5, "devices": []}, {"system": {"argv": 5}, "devices": []},
        {"system": {"argv": ["x"]}, "devices": ["cpu"]},
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
        {"ID": {"status": {"messages": [["execution_error"]]}}},
        {"ID": {"status": {"messages": [["execution_error", 5]]}}},
        {"ID": {"status": {"messages": [["execution_error", {"traceback": 5, "exception_message": {}}]]}}},
        {"ID": {"status": {"status_str": "error"}}},
        {"ID": {"outputs": {"7": {"images": [{"filename": "../../x\x00\n"}]}}}},
    ],
    "newest": [
        {"a": None}, {"a": {"status": {"messages": [["execution_error", [1]]]}}}, {"a": {"status": []}},
        {"a": {"status": {"messages": [["execution_error", {"node_type": "\x1b[2J" * 300, "timestamp": "x"}]]}}},
        {"a": {"status": {"messages": [["execution_error", {"node_type": "\x1b[2J" * 300, "traceback": ["\x07"]}]]}}},
    ],
    "prompt": [
        {}, {"prompt_id": None}, {"prompt_id": 5}, {"prompt_id": ""}, {"prompt_id": "../../x?a=b c"},
        {"prompt_id": "x" * 100_000},
    ],
    "refusal": [
        {"error": 5}, {"error": "no"}, {"error": {"message": 5}}, {"node_errors": 5}, {"node_errors": [1]},
        {"node_errors": {"1": 5}}, {"node_errors": {"1": {"errors": 5}}}, {"node_errors": {"1": {"errors": [5]}}},
        {"node_errors": {"1": {"class_type": [], "errors": [{}]}}},
        *({"node_errors": {"1": {"errors": [{"type": "value_not_in_list", "extra_info": about}]}}} for about in (
            5, {"input_config": 5, "input_name": [1]}, {"input_config": 5, "input_name": "ckpt_name"},
            {"input_name": "ckpt_name", "input_config": [["\x1b]0;x\x07"] * 9000]},
            {"input_name": "seed", "input_config": ["COMBO", {"options": {}}], "received_value": [[[]]]},
        )),
        {"error": {"message": "\x1b[31m" + "x" * 500_000, "details": [1]}},
        {"error": {"message": "\x1b[31m" + "x" * 500_000}},
    ],
    "object": [
        {"KSampler": 5}, {"KSampler": {"python_module": 5}}, {"KSampler": {"python_module": "custom_nodes.\x1b[31m"}},
    ],
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


@cache
def bomb(levels: int) -> bytes:
    """Much of nothing, packed once or more."""
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
    "silent": silent,
    "reset": reset,
    "close": lambda it: None,
    "short": lambda it: it.sendall(head(200, b"{}", length=100)),
    "long": lambda it: it.sendall(head(200, b'{"a": 1}', length=1)),
    "negative": lambda it: it.sendall(head(200, b"{}", length=-5)),
    "no-http": lambda it: it.sendall(b"SSH-2.0-OpenSSH_9.9\r\n"),
    "odd-status": lambda it: it.sendall(b"HTTP/1.1 999999 X\r\n\r\n"),
    "odd-chunk": lambda it: it.sendall(OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\nabc"),
    "odd-head": lambda it: it.sendall(OK + b"\xff\x00: \x1b[31m\r\nContent-Length: x\r\n\r\n{}"),
    "500": lambda it: it.sendall(head(500, b"<h1>Internal</h1>")),
    "204": lambda it: it.sendall(head(204, b"")),
    "401": lambda it: it.sendall(head(401, b"{}", "WWW-Authenticate: Basic")),
    "gzip-bomb": lambda it: it.sendall(bomb(1)),
    "gzip-bombs": lambda it: it.sendall(bomb(3)),
    "odd-gzip": lambda it: it.sendall(head(200, b"{}", "Content-Encoding: gzip")),
    "to-elsewhere": redirect("http://127.0.0.1:9/"),
    "to-itself": redirect("/system_stats"),
    "to-bad-port": redirect("http://localhost:99999999/x"),
    "to-ip6": redirect("http://[::1/x"),
    "to-escape": redirect("http://\x1b[31m/"),
    "to-label": redirect(f"http://{'a' * 70}.example/"),
    "to-file": redirect("file:///etc/passwd"),
}


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
    """A picture of one colour that is small until it is unpacked; its first rows are all there."""
    packer = zlib.compressobj(9)
    row = bytes(1 + width * 3)
    data = b"".join(packer.compress(row) for _ in range(min(height, 200))) + packer.flush()
    return SIGNATURE + ihdr(width, height) + chunk(b"IDAT", data) + IEND


PICTURES: dict[str, Callable[[], bytes]] = {
    "page": lambda: b"<html>sign in</html>",
    "json": lambda: b'{"error": "no"}',
    "none": lambda: b"",
    "cut-half": lambda: good_png()[: len(good_png()) // 2],
    "cut-end": lambda: good_png()[:-12],
    "cut-byte": lambda: good_png()[:-1],
    "other-size": lambda: good_png(128, 192),
    "bomb-60000": lambda: png_bomb(60_000, 60_000),
    "bomb-12000": lambda: png_bomb(12_000, 12_000),
    "bomb-max": lambda: SIGNATURE + ihdr(2**31 - 1, 2**31 - 1) + chunk(b"IDAT", b"") + IEND,
    "animated": lambda: good_png(256, 192, chunk(b"acTL", struct.pack(">II", 2, 0))),
    "two-headers": lambda: good_png(256, 192, ihdr(60_000, 60_000)),
    "no-pixels": lambda: SIGNATURE + ihdr(256, 192) + IEND,
    "text-bomb": lambda: good_png(256, 192, chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(200 * MiB)))),
    "odd-crc": lambda: good_png().replace(b"IHDR", b"IHDr"),
    "zero": lambda: SIGNATURE + ihdr(0, 0) + IEND,
    "jpeg": lambda: b"\xff\xd8\xff\xe0" + bytes(500) + b"\xff\xd9",
    "gif": lambda: b"GIF89a\x01\x00\x01\x00\x00\x00\x00;",
    "black": lambda: SIGNATURE + ihdr(256, 192) + chunk(b"IDAT", zlib.compress(bytes(192 * (1 + 256 * 3)))) + IEND,
    "fifty-mb": lambda: good_png() + bytes(50 * MiB),
}


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
    "text-no-json": b"hello",
    "text-list": b"[1, 2]",
    "text-null": b"null",
    "text-string": b'"x"',
    "text-deep": DEEP,
    "text-no-data": b'{"type": "executing"}',
    "text-list-data": b'{"type": "my.node", "data": [1, 2]}',
    "text-string-data": b'{"type": "my.node", "data": "x"}',
    "text-null-data": b'{"type": "my.node", "data": null}',
    "text-number-data": b'{"type": 5, "data": 5}',
    "text-no-utf8": b"\xff\xfe\x80",
    "id-in-a-list": b'["ID"]',
    "id-in-a-string": b'"ID"',
    "id-of-a-list": b'{"type": "executing", "data": ["ID"]}',
    "odd-node": told("executing", node={"a": [1]}),
    "odd-node-list": told("executing", node=["ID"]),
    "huge-progress": told("progress", value=10**300, max=10**300),
    "odd-progress": told("progress", value=[], max={}),
    "negative-progress": told("progress", value=-5, max=-1),
    "text-progress": told("progress", value="x", max=None),
    "digits-progress": told("progress").replace(b'"ID"', b'"ID", "value": ' + b"9" * 5000),
    "odd-error": told("execution_error", traceback=5, exception_message=[1], node_type={}, node_id=[]),
    "deep-error": b'{"type": "execution_error", "data": {"prompt_id": "ID", "current_inputs": ' + DEEP + b"}}",
    "error-of-escapes": told("execution_error", exception_message="\x1b]0;x\x07" * 9000, node_type="\x1b[2J"),
    "error-of-patterns": told("execution_error", exception_message="MPSGraph" * 400_000),
    "unknown-kind": told("progress_state", nodes={"5": {"value": 1}}),
    "early-end": told("executing", node=None),
    "early-success": told("execution_success"),
    "other-prompt": told("execution_error", exception_message="odd").replace(b"ID", b"other"),
}


def many(data: bytes) -> Iterator[bytes]:
    """The same without end, in large pieces."""
    block = data * max(1, 65536 // len(data))
    while True:
        yield block


def preview() -> Iterator[bytes]:
    """The binary frames of pictures in the making."""
    yield from (frame(struct.pack(">II", 1, 1) + bytes(100_000), 2) for _ in range(200))


STREAMS: dict[str, Callable[[bytes], Iterator[bytes]]] = {
    "endless-texts": lambda it: many(frame(b'{"type": "status", "data": {}}')),
    "endless-ours": lambda it: many(frame(told("progress", value=1, max=2).replace(b"ID", it))),
    "endless-ends": lambda it: many(frame(told("executing", node=None).replace(b"ID", it))),
    "endless-fragments": lambda it: iter_of(frame(b"", 1, 0), many(frame(b"", 0, 0))),
    "endless-fragment": lambda it: iter_of(frame(b"{", 1, 0), many(frame(b" " * 60_000, 0, 0))),
    "endless-binary": lambda it: many(frame(bytes(60_000), 2)),
    "endless-pings": lambda it: many(frame(b"x", 9)),
    "300-mb": lambda it: iter_of(frame(b"", 2, length=300 * MiB), (bytes(65536) for _ in range(4800))),
    "300-mb-text": lambda it: iter_of(frame(b"", 1, length=300 * MiB), (bytes(65536) for _ in range(4800))),
    "60-mb-text": lambda it: iter_of(frame(b"", 1, length=60 * MiB), (b" " * 65536 for _ in range(960))),
    "exabyte": lambda it: iter((frame(b"", 2, length=2**63 - 1),)),
    "previews": lambda it: preview(),
    "flood": lambda it: (frame(told("progress", value=n % 20, max=20).replace(b"ID", it)) * 500 for n in range(200)),
    "close": lambda it: iter((frame(b"\x03\xe8bye", 8),)),
    "odd-close": lambda it: iter((frame(b"\xff", 8),)),
    "long-ping": lambda it: iter((frame(bytes(200), 9),)),
    "bad-opcode": lambda it: iter((frame(b"x", 5),)),
    "masked": lambda it: iter((b"\x81\x85abcdhello",)),
    "reserved": lambda it: iter((b"\xf1\x01x",)),
    "unbegun": lambda it: iter((frame(b"x", 0),)),
    "noise": lambda it: iter((random.Random(3).randbytes(100_000),)),
    "half-a-head": lambda it: iter((b"\x81",)),
    "hangs-up": lambda it: iter(()),
}


def iter_of(first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    """One, then the others."""
    yield first
    yield from rest


SHAKES: dict[str, Callable[[Connection], None]] = {
    "not-found": lambda it: it.sendall(head(404, b"")),
    "a-page": lambda it: it.sendall(head(200, b"<html>")),
    "wrong-key": lambda it: it.sendall(b"HTTP/1.1 101 X\r\nSec-WebSocket-Accept: AAAA\r\n\r\n"),
    "to-elsewhere": redirect("ws://127.0.0.1:9/"),
    "drip-shake": lambda it: drip(it, b"HTTP/1.1 101 X\r\n", b"X"),
    "endless-shake": lambda it: endless(it, b"HTTP/1.1 101 X\r\n", b"X-A: y\r\n"),
    "silent-shake": silent,
    "reset-shake": reset,
}


def scenarios() -> list[str]:
    """All of them."""
    json_routes = [route for route in ROUTES if route not in ("view", "ws", "delete", "interrupt")]
    found = [f"{route} {kind}" for route in json_routes for kind in (*BODIES, *TRANSPORT)]
    found += [f"{route} wrong-{place}" for route, wrong in WRONG.items() for place in range(len(wrong))]
    found += [f"view {kind}" for kind in (*PICTURES, *TRANSPORT)]
    found += [f"ws {kind}" for kind in (*TEXTS, *STREAMS, *SHAKES)]
    return found
