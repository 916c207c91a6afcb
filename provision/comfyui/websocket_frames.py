"""The frames of a WebSocket from a server (RFC 6455, section 5): bytes in, messages out, no socket.

A binary message, and a text longer than `KEEP_MAX_BYTES`, is skipped as it comes and never kept in memory.
"""

from __future__ import annotations

from collections.abc import Iterator

MESSAGE_MAX_BYTES = 64 << 20
"""A preview of a large picture has some MB; anything larger ends the connection."""
KEEP_MAX_BYTES = 16_000_000
"""The longest text, as of any JSON."""
CONTROL_MAX_BYTES = 125
CONTINUED, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
FIN, RESERVED, OPCODE, MASKED = 0x80, 0x70, 0x0F, 0x80
LONG, LONGER = 126, 127
"""Marks that the length itself follows, in two bytes or in eight."""
Message = tuple[int, bytes]


class BadFrame(ValueError):
    """Not a frame of a server, or too long."""


class Frames:
    """The messages in a stream of bytes."""

    def __init__(self) -> None:
        self._bytes = bytearray()
        self._skip = 0
        """Bytes to come that are skipped."""
        self._opcode = CONTINUED
        """The opcode of the unfinished message; CONTINUED between two."""
        self._length = 0
        """Bytes of that message, skipped ones included."""
        self._text = bytearray()

    def feed(self, data: bytes) -> Iterator[Message]:
        """The texts, pings and close that are complete, as (opcode, bytes). Raises BadFrame."""
        passed = min(self._skip, len(data))
        self._skip -= passed
        self._bytes += data[passed:]
        place, end = 0, len(self._bytes)
        while (head := _head(self._bytes, place)) is not None:
            last, opcode, start, length = head
            stop = start + length
            kept = opcode >= CLOSE or self._is_kept(opcode, length)
            if kept and stop > end:
                break
            if opcode >= CLOSE:
                yield opcode, bytes(self._bytes[start:stop])
            else:
                self._add(opcode, length, self._bytes[start:stop] if kept else b"")
                if last and (text := self._finish()) is not None:
                    yield TEXT, text
            self._skip, place = max(0, stop - end), min(stop, end)
        del self._bytes[:place]

    def _is_kept(self, opcode: int, length: int) -> bool:
        if (opcode == CONTINUED) == (self._opcode == CONTINUED):
            raise BadFrame("message frames out of order")
        if self._length + length > MESSAGE_MAX_BYTES:
            raise BadFrame(f"a message of more than {MESSAGE_MAX_BYTES:,} bytes")
        return TEXT in (opcode, self._opcode) and self._length + length <= KEEP_MAX_BYTES

    def _add(self, opcode: int, length: int, text: bytes | bytearray) -> None:
        self._opcode = opcode or self._opcode
        self._length += length
        self._text += text

    def _finish(self) -> bytes | None:
        """The complete text; None for a message that was skipped."""
        text = bytes(self._text) if self._opcode == TEXT and len(self._text) == self._length else None
        self._opcode, self._length = CONTINUED, 0
        self._text.clear()
        return text


def _head(data: bytearray, place: int) -> tuple[int, int, int, int] | None:
    """The frame at `place`: whether it is its message's last, its opcode, where its bytes begin and how many they are.

    None where its head is not complete. Raises BadFrame.
    """
    if len(data) < place + 2:
        return None
    first, length = data[place], data[place + 1]
    opcode, start = first & OPCODE, place + 2
    if first & RESERVED or length & MASKED or opcode not in (CONTINUED, TEXT, BINARY, CLOSE, PING, PONG):
        raise BadFrame("not a server frame")
    if length >= LONG:
        start += 2 if length == LONG else 8
        if len(data) < start:
            return None
        length = int.from_bytes(data[place + 2 : start])
    if opcode >= CLOSE and (length > CONTROL_MAX_BYTES or not first & FIN):
        raise BadFrame("a control frame of an invalid length")
    if length > MESSAGE_MAX_BYTES:
        raise BadFrame(f"a message of {length:,} bytes")
    return first & FIN, opcode, start, length
