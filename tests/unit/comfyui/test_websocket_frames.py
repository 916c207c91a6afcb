"""Frames of a WebSocket: whole whatever pieces they come in, and nothing kept that is not for us."""

from __future__ import annotations

import struct
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provision.comfyui.websocket_frames import CLOSE, KEEP_MAX_BYTES, MESSAGE_MAX_BYTES, PING, TEXT, BadFrame, Frames
from tests.storms.evil import frame

BINARY, CONTINUED, LAST = 2, 0, 0x80


@given(
    st.lists(st.tuples(st.sampled_from([TEXT, BINARY, PING]), st.binary(max_size=125), st.integers(1, 3)), max_size=8),
    st.lists(st.integers(1, 40), min_size=1),
)
def test_texts_come_out_whole_whatever_pieces_they_come_in(
    messages: list[tuple[int, bytes, int]], pieces: list[int]
) -> None:
    stream = b"".join(fragments(opcode, data, 1 if opcode == PING else parts) for opcode, data, parts in messages)
    frames, out, place, turn = Frames(), list[tuple[int, bytes]](), 0, 0
    while place < len(stream):
        piece = stream[place : place + pieces[turn % len(pieces)]]
        out += frames.feed(piece)
        place, turn = place + len(piece), turn + 1
    assert out == [(opcode, data) for opcode, data, _ in messages if opcode != BINARY]


def fragments(opcode: int, data: bytes, parts: int) -> bytes:
    """A message in so many frames."""
    size = len(data) // parts + 1
    cut = [data[start : start + size] for start in range(0, max(1, len(data)), size)]
    return b"".join(
        frame(piece, CONTINUED if place else opcode, LAST if place == len(cut) - 1 else 0)
        for place, piece in enumerate(cut)
    )


def test_a_ping_between_two_parts_of_a_text() -> None:
    stream = frame(b"a", TEXT, 0) + frame(b"p", PING) + frame(b"b", CONTINUED) + frame(b"", CLOSE)
    assert list(Frames().feed(stream)) == [(PING, b"p"), (TEXT, b"ab"), (CLOSE, b"")]


@pytest.mark.parametrize("opcode", [TEXT, BINARY])
def test_what_is_long_is_passed_over_without_being_kept(opcode: int) -> None:
    frames, block, length = Frames(), bytes(1 << 16), 60 << 20
    tracemalloc.start()
    assert list(frames.feed(frame(b"", opcode, length=length))) == []
    for _ in range(length // len(block)):
        assert list(frames.feed(block)) == []
    assert list(frames.feed(frame(b"next"))) == [(TEXT, b"next")]
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()


def test_a_text_that_grows_too_long_in_parts_is_passed_over() -> None:
    part, frames = bytes(KEEP_MAX_BYTES // 4), Frames()
    assert list(frames.feed(frame(part, TEXT, 0))) == []
    for _ in range(4):
        assert list(frames.feed(frame(part, CONTINUED, 0))) == []
    assert list(frames.feed(frame(b"", CONTINUED) + frame(b"next"))) == [(TEXT, b"next")]


@pytest.mark.parametrize(
    "stream",
    [
        frame(b"", BINARY, length=MESSAGE_MAX_BYTES + 1),
        frame(b"", TEXT, length=2**64 - 1),
        frame(b"x", 5),
        frame(bytes(126), PING),
        frame(b"", PING, 0),
        frame(b"x", CONTINUED),
        frame(b"a", TEXT, 0) + frame(b"b", TEXT),
        b"\x81\x85abcdhello",
        b"\xf1\x01x",
        frame(bytes(MESSAGE_MAX_BYTES - 1), BINARY, 0) + frame(b"xx", CONTINUED),
    ],
    ids=["long", "exabytes", "opcode", "long ping", "parted ping", "unbegun", "unended", "masked", "reserved", "parts"],
)
def test_what_no_server_sends_is_refused(stream: bytes) -> None:
    with pytest.raises(BadFrame):
        list(Frames().feed(stream))


def test_lengths_of_every_kind() -> None:
    for size in (0, 125, 126, 65535, 65536):
        assert list(Frames().feed(frame(bytes(size)))) == [(TEXT, bytes(size))]
    assert list(Frames().feed(b"\x81\x7e" + struct.pack(">H", 3) + b"abc")) == [(TEXT, b"abc")]
